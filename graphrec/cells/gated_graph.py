"""Messages combined by a gated recurrent unit: the gated graph network, and the message-passing network."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure import Structure
from ..structure.checks import as_count
from ..structure.edge_widths import Widths
from .convolutions import NodeState
from .edges import edge_layer


class _Gathering(Cell):
    """The state is updated by a gated recurrent unit whose input is the sum of messages; round 0 is x, zero-padded."""

    State = NodeState
    begins_with_x = True

    def __init__(self, inputs: int, hidden: int) -> None:
        hidden = as_count("hidden", hidden, 1)
        inputs = as_count("inputs", inputs, -1)
        super().__init__(None if inputs == -1 else inputs, hidden)
        if inputs > hidden:
            raise ValueError(
                f"the state of round 0 is x padded with zeros, so that hidden must be {inputs} or more, got {hidden}: "
                f"raise it, or put a linear layer before the cell."
            )
        self.rnn: nn.GRUCell = nn.GRUCell(hidden, hidden)

    def initial_from_x(self, x: Tensor, s: Structure) -> NodeState:
        """h_0 = [x, 0]."""
        if x.dim() != 2 or x.shape[1] > self.hidden:
            raise ValueError(
                f"x must have shape [{s.num_nodes}, D], D being {self.hidden} at most, got {tuple(x.shape)}."
            )
        missing = self.hidden - x.shape[1]
        return self.State(F.pad(x, (0, missing)) if missing else x)

    def project(self, x: Tensor) -> Tensor:
        """No columns: x is the state of round 0, and nothing else reads it."""
        return x[:, :0]


class GGNNCell(_Gathering):
    """The gated graph neural network, with a matrix for each relation.

        m_v = sum_u a_uv W_r(u,v) h_u                            (2)
        h_v = GRU(m_v, h_v)                                      (3) to (6)

    Li, Tarlow, Brockschmidt & Zemel, *Gated graph sequence neural networks*, ICLR 2016; h_0 is x, padded with zeros
    (1), and a the edge's weight, 1 where edges have none. To send along edges in both directions, add reversed edges
    with their own relations. With one relation it is PyG's `GatedGraphConv`, except that the rounds there have a matrix
    each: `graphrec.GNN` with cells that share `rnn`.

    Args:
        inputs: D, H at most, or -1: the width of x.
        hidden: H.
        relations: how many there are.

    Raises:
        ValueError: inputs wider than the state.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    reads_edges: Any = ("edge_weight",)

    class Message(NamedTuple):
        """W h where there is one relation; h, where there are several."""

        z: Tensor

    def __init__(self, inputs: int, hidden: int, relations: int = 1) -> None:
        super().__init__(inputs, hidden)
        self.relations: int = as_count("relations", relations, 1)
        self.weight: nn.Parameter = nn.Parameter(
            torch.empty(self.relations, self.hidden, self.hidden)
        )  # W_r, transposed
        self.init_parameters()

    def init_parameters(self) -> None:
        """W_r."""
        nn.init.uniform_(self.weight, -(self.hidden**-0.5), self.hidden**-0.5)

    def as_message(self, state: Any) -> Message:
        """W h."""
        return self.Message(state.h @ self.weight[0] if self.relations == 1 else state.h)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        weight = inbox.edge_weight if inbox.has("edge_weight") else None
        if self.relations == 1:
            m = inbox.sum_of("z", weight)
        else:  # first summed, then multiplied: there are fewer nodes than edges
            z = inbox.z if weight is None else weight.unsqueeze(-1) * inbox.z
            sums = inbox.sum_by_relation(z, self.relations)
            m = torch.einsum("nri,rio->no", sums, self.weight)
        return self.State(self.rnn(m, own.h))


class MPNNCell(_Gathering):
    """The message-passing neural network with an edge network.

        m_v = sum_u A(e_uv) h_u
        h_v = GRU(m_v, h_v)

    Gilmer, Schoenholz, Riley, Vinyals & Dahl, *Neural message passing for quantum chemistry*, ICML 2017, section 5,
    "edge network", and the update of Li et al. (2016); h_0 is x, padded with zeros. The matrices A are computed once
    for all rounds. Parameters are named as in PyG's `NNConv` and `torch.nn.GRUCell`.

    Args:
        inputs: D, H at most, or -1: the width of x.
        hidden: H.
        edges: the width of the edges' features, or of those of each relation; see `PerRelation`.
        network: A, `[E, edges] → [E, H * H]`; by default two layers with a ReLU between them.

    Raises:
        ValueError: inputs wider than the state.

    Shapes: x `[N, D]`, edge_attr `[E, edges]`; State `h` `[N, H]`.
    """

    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int, edges: Widths, network: nn.Module | None = None) -> None:
        super().__init__(inputs, hidden)
        self.edges = edges
        if network is None:
            network = nn.Sequential(edge_layer(edges, hidden), nn.ReLU(), nn.Linear(hidden, hidden * hidden))
        self.nn = network

    def project_edges(self, edge_attr: Any) -> Tensor:
        """A(e) of all edges, `[E, H, H]`."""
        return self.nn(edge_attr).unflatten(-1, (self.hidden, self.hidden))

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        m = inbox.sum((inbox.h.unsqueeze(1) @ inbox.edge_attr).squeeze(1))
        return self.State(self.rnn(m, own.h))

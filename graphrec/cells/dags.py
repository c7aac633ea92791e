"""Networks for directed acyclic graphs, which run in dependency order."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_widths
from ..structure.edge_widths import Widths
from .activation import Activation, activation_function
from .convolutions import NodeState
from .edges import edge_layer
from .gru import gated


class DAGRNNCell(Cell):
    """The recurrent network over DAGs.

        h_v = f(U x_v + W sum_u h_u + b)

    Shuai, Zuo, Wang & Wang, *DAG-recurrent neural networks for scene labeling*, CVPR 2016, equation (3). On a chain it
    is the simple recurrent network.

    Args:
        inputs: D.
        hidden: H.
        activation: f: `"relu"`, `"tanh"`, `"logistic"`, `"linear"`, or a function.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    State = NodeState
    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "relu") -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.activation: Activation = activation_function(activation)
        self.input: nn.Linear = nn.Linear(inputs, hidden)  # U, b
        self.recurrent: nn.Linear = nn.Linear(hidden, hidden, bias=False)  # W

    def project(self, x: Tensor) -> Tensor:
        """U x + b."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        return self.State(self.activation(x + self.recurrent(inbox.sum(inbox.h))))


class DAGNNCell(Cell):
    """One layer of the directed acyclic graph network: attention to the sources, and a gated recurrent unit.

        m_v = sum_u softmax_u(w_1 . x_v + w_2 . h_u + w_3 . e_uv) h_u     (5)
        h_v = GRU(x_v, m_v)                                               (6)

    where x_v is the node's state in the layer below, and m_v the GRU's previous state. Thost & Chen, *Directed acyclic
    graph neural networks*, ICLR 2021, equations (5) and (6). w_1 . x_v is the same in all scores of a node and so
    cancels in the softmax: there is no w_1 here. `graphrec.DAGNN` is the whole network.

    Args:
        inputs: D.
        hidden: H.
        edges: the width of the edges' features e, or the widths by relation, each with its own weights (see
            `PerRelation`), or None: they are not read.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    State = NodeState
    reads_edges: Any = ()

    class Message(NamedTuple):
        """The state, and its contribution to the scores, `[N, 1]`."""

        h: Tensor
        score: Tensor

    def __init__(self, inputs: int, hidden: int, edges: Widths | None = None) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.edges = edges
        self.input: nn.Linear = nn.Linear(inputs, 3 * hidden)  # of r, z, n
        self.recurrent: nn.Linear = nn.Linear(hidden, 3 * hidden)
        self.score: nn.Linear = nn.Linear(hidden, 1, bias=False)  # w_2
        self.edge_score: nn.Module | None = None if edges is None else edge_layer(edges, 1, bias=False)  # w_3

    def project(self, x: Tensor) -> Tensor:
        """The GRU's products with x."""
        return self.input(x)

    def project_edges(self, edge_attr: Any) -> Tensor:
        """w_3 . e."""
        return edge_attr if self.edge_score is None else self.edge_score(edge_attr)

    def as_message(self, state: Any) -> Message:
        """The state and w_2 . h."""
        return self.Message(state.h, self.score(state.h))

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        score = inbox.score if self.edge_score is None else inbox.score + inbox.edge_attr
        m = inbox.sum(inbox.softmax(score) * inbox.h)
        return self.State(gated(x, self.recurrent(m), m))


class DVAECell(Cell):
    """The encoder of the variational autoencoder for DAGs: a gated sum over the sources, and a gated recurrent unit.

        m_v = sum_u g([h_u, e_uv]) * m([h_u, e_uv]),  g a linear layer under a sigmoid, m one without a bias
        h_v = GRU(x_v, m_v)

    Zhang, Jiang, Cui, Garnett & Chen, *D-VAE: a variational autoencoder for directed acyclic graphs*, NeurIPS 2019,
    equations (2) to (4). For architectures the authors let e be the source's layer number (one-hot),
    equation (8).

    Args:
        inputs: D.
        hidden: H.
        edges: the width of the edges' features e, or the widths by relation, each with its own weights (see
            `PerRelation`), or None: they are not read.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    State = NodeState
    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int, edges: Widths | None = None) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.edges = edges
        self.input: nn.Linear = nn.Linear(inputs, 3 * hidden)  # of r, z, n
        self.recurrent: nn.Linear = nn.Linear(hidden, 3 * hidden)
        self.gate: nn.Linear = nn.Linear(hidden, hidden)  # g
        self.map: nn.Linear = nn.Linear(hidden, hidden, bias=False)  # m
        # The parts of g and m that read e, concatenated.
        self.edge: nn.Module | None = None if edges is None else edge_layer(edges, 2 * hidden, bias=False)

    def project(self, x: Tensor) -> Tensor:
        """The GRU's products with x."""
        return self.input(x)

    def project_edges(self, edge_attr: Any) -> Tensor:
        """The products with e."""
        return edge_attr if self.edge is None else self.edge(edge_attr)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        gate, value = self.gate(inbox.h), self.map(inbox.h)
        if self.edge is not None:
            of_gate, of_value = inbox.edge_attr.chunk(2, dim=-1)
            gate, value = gate + of_gate, value + of_value
        m = inbox.sum(torch.sigmoid(gate) * value)
        return self.State(gated(x, self.recurrent(m), m))

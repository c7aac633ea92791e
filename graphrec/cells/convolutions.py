"""The graph convolution of Kipf & Welling (2017), and GraphSAGE and GIN, which weigh neighbours alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from .cell import Cell

if TYPE_CHECKING:
    from ..engine.inbox import Inbox
    from ..structure import Structure


class NodeState(NamedTuple):
    """The hidden state."""

    h: Tensor


class Convolution(Cell):
    """What graph convolutions have in common: the input is the state of round 0.

    One round turns x `[N, D]` into h `[N, H]`; several with the same weights, or async mode on a DAG, need D = H.
    """

    State = NodeState
    begins_with_x = True

    def before(self, x: Tensor, s: Structure) -> Any:
        """h_0 = x."""
        return self.State(x)

    def project(self, x: Tensor) -> Tensor:
        """Nothing is left of x: it is the state of round 0."""
        return x[:, :0]


class GCNCell(Convolution):
    """The graph convolutional network: a sum over neighbours and the node itself, normalised by their degrees.

    h_v = W h_v / d_v + sum_u a_uv W h_u / sqrt(d_u d_v) + b,   d_v = 1 + sum_u a_uv

    Kipf & Welling, *Semi-supervised classification with graph convolutional networks*, ICLR 2017, equation (2),
    before the activation. A node that has an edge to itself is given no second one, as in PyG's `GCNConv`, whose
    parameters have the same names.

    Args:
        inputs: D.
        hidden: H.
        weighted: whether the edges' features `[E]` or `[E, 1]` are the weights a; 1 otherwise.

    Shapes: x `[N, D]`; State `h` `[N, H]`, and `[N]` each, which do not change, `scale`, 1 / sqrt(d), and `loop`,
    the weight of the edge to itself that each node is given.
    """

    class State(NamedTuple):
        """The hidden state; what is known of the degree."""

        h: Tensor
        scale: Tensor
        loop: Tensor

    constants = ("scale", "loop")

    class Shown(NamedTuple):
        """W h / sqrt(d)."""

        z: Tensor

    def __init__(self, inputs: int, hidden: int, weighted: bool = False) -> None:
        super().__init__(inputs, hidden)
        self.weighted = weighted
        self.lin = nn.Linear(inputs, hidden, bias=False)  # W
        self.bias = nn.Parameter(torch.empty(hidden))
        self.init_parameters()

    def init_parameters(self) -> None:
        """W and b."""
        nn.init.xavier_uniform_(self.lin.weight)
        nn.init.zeros_(self.bias)

    def shapes(self) -> list[tuple[int, ...]]:
        """h, scale and loop."""
        return [(self.hidden,), (), ()]

    def check(self, structure: Structure) -> None:
        """Refuse edges without weights, where there should be some."""
        weight = structure.edge_attr
        if self.weighted and (weight is None or weight.numel() != structure.num_edges):
            got = "none" if weight is None else f"shape {tuple(weight.shape)}"
            raise ValueError(
                f"the cell takes a weight per edge, edge_attr of shape [{structure.num_edges}] or "
                f"[{structure.num_edges}, 1], got {got}: give them, or make the cell with weighted=False."
            )

    def before(self, x: Tensor, s: Structure) -> State:
        """h_0 = x, and the degrees."""
        if self.weighted:
            assert s.edge_attr is not None
            return self.State(x, *_scales(s, s.edge_attr.flatten().to(x.dtype)))
        key = ("gcn", x.dtype)
        if key not in s.cache:
            with torch.inference_mode(False):
                s.cache[key] = _scales(s, torch.ones(s.num_edges, dtype=x.dtype, device=x.device))
        return self.State(x, *s.cache[key])

    def show(self, state: Any) -> Shown:
        """W h / sqrt(d)."""
        return self.Shown(state.scale.unsqueeze(-1) * self.lin(state.h))

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        weight = inbox.edge_attr.flatten() if self.weighted else None
        total = inbox.sum_of("z", weight) + own.loop.unsqueeze(-1) * own.z
        return self.State(own.scale.unsqueeze(-1) * total + self.bias, own.scale, own.loop)


def _scales(s: Structure, weight: Tensor) -> tuple[Tensor, Tensor]:
    """1 / sqrt(d) and the weight of the edge to itself, `[N]` each, where each edge has a weight `[E]`."""
    loop = weight.new_ones(s.num_nodes).index_fill(0, s.target[s.source == s.target], 0)
    degree = loop.index_add(0, s.target, weight)
    return torch.where(degree > 0, degree, torch.inf).rsqrt(), loop


class SAGECell(Convolution):
    """GraphSAGE with the mean aggregator.

    h_v = W_1 mean_u h_u + W_2 h_v + b

    Hamilton, Ying & Leskovec, *Inductive representation learning on large graphs*, NIPS 2017, algorithm 1, lines 4
    and 5, before the activation. Parameters are named as in PyG's `SAGEConv`.

    Args:
        inputs: D.
        hidden: H.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.lin_l = nn.Linear(inputs, hidden)  # W_1, b
        self.lin_r = nn.Linear(inputs, hidden, bias=False)  # W_2

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        mean = inbox.sum_of("h") / inbox.degree.clamp(min=1).unsqueeze(-1)
        return self.State(self.lin_l(mean) + self.lin_r(own.h))


class GINCell(Convolution):
    """The graph isomorphism network: a network over the sum of a node and its neighbours.

    h_v = MLP((1 + eps) h_v + sum_u h_u)                    (4.1)

    Xu, Hu, Leskovec & Jegelka, *How powerful are graph neural networks?*, ICLR 2019, equation (4.1). Parameters are
    named as in PyG's `GINConv`.

    Args:
        inputs: D.
        hidden: H.
        network: `[N, D] → [N, H]`; by default two layers with a ReLU between them.
        eps: its value at the beginning.
        train_eps: whether it is learned (GIN-eps) or kept (GIN-0).

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        network: nn.Module | None = None,
        eps: float = 0.0,
        train_eps: bool = False,
    ) -> None:
        super().__init__(inputs, hidden)
        if network is None:
            network = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.nn = network
        self.initial_eps = eps
        if train_eps:
            self.eps = nn.Parameter(torch.empty(1))
        else:
            self.register_buffer("eps", torch.empty(1))
        self.init_parameters()

    def init_parameters(self) -> None:
        """eps."""
        nn.init.constant_(self.eps, self.initial_eps)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        return self.State(self.nn((1 + self.eps) * own.h + inbox.sum_of("h")))

"""The graph convolution of Kipf & Welling (2017), and GIN, which weighs neighbours equally."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear

from ..cell import Cell, Inbox
from ..structure import Structure
from ..structure.checks import as_count, as_flag, as_number
from ..structure.outside import has_values, is_stand_in, outside


class NodeState(NamedTuple):
    """The hidden state."""

    h: Tensor


class Given(NamedTuple):
    """The rows of targets, or None where they have none; see `Cell.message_pair`."""

    h: Any


def as_pair(inputs: int | tuple[int, int]) -> tuple[int, int]:
    """The widths of the rows of sources and of targets; -1: taken from the first rows."""
    of_source, of_target = inputs if isinstance(inputs, tuple) and len(inputs) == 2 else (inputs, inputs)
    return as_count("inputs", of_source, -1), as_count("inputs", of_target, -1)


def as_one(widths: Any) -> Any:
    """The width of both, or the pair of widths where they differ."""
    return widths[0] if isinstance(widths, tuple) and widths[0] == widths[1] else widths


class Convolution(Cell):
    """What graph convolutions have in common: the input is the state of round 0.

    One round turns x `[N, D]` into h `[N, H]`; several with the same weights, or async mode on a DAG, need D = H.
    """

    State = NodeState
    begins_with_x = True

    def initial_from_x(self, x: Tensor, s: Structure) -> Any:
        """h_0 = x."""
        return self.State(x)

    def project(self, x: Tensor) -> Tensor:
        """No columns: x is the state of round 0, and nothing else reads it."""
        return x.new_zeros(x.shape[0], 0)


class LinearConvolution(Convolution):
    """A convolution that reads x by linear layers of PyG, which infer a width that is left open (-1).

    Attributes:
        input_layers: the names of the layers that read sources and targets.
    """

    input_layers: tuple[str, ...]

    @property
    def inputs(self) -> Any:
        """D, or a pair where sources and targets differ; None before the first run if it was left open."""
        source, target = self.input_layers
        of_source = attrgetter(f"{source}.in_channels")(self)
        of_target = of_source if target == source else attrgetter(f"{target}.in_channels")(self)
        return as_one(tuple(None if width == -1 else width for width in (of_source, of_target)))


class GCNCell(LinearConvolution):
    """The graph convolutional network: a sum over neighbours and the node itself, normalised by their degrees.

        h_v = W h_v / d_v + sum_u a_uv W h_u / sqrt(d_u d_v) + b,   d_v = 1 + sum_u a_uv

    Kipf & Welling, *Semi-supervised classification with graph convolutional networks*, ICLR 2017, equation (2),
    before the activation. a is the edge's weight, 1 where edges have none. An edge from a node to itself replaces the
    loop that each node is given, which has the weight of the last such edge, as in PyG's `GCNConv`, whose parameters
    have the same names.

    Args:
        inputs: D, or -1: the width of x in the first run.
        hidden: H.
        weighted: whether there must be weights: `edge_weight`, or else edge features `[E]` or `[E, 1]`, which serve
            as weights.
        normalize: whether to normalise by degrees; if not, h_v = sum_u a_uv W h_u + b.
        self_loops: whether each node is given an edge to itself; None: if `normalize`. Without, edges from nodes to
            themselves are ordinary edges.

    Raises:
        ValueError: self_loops without normalize, which PyG does not have either.

    Shapes: x `[N, D]`; State `h` `[N, H]`, and `[N]` each, which do not change, `scale`, 1 / sqrt(d), and `loop`,
    the weight of the edge to itself that each node is given.
    """

    weighted: bool
    normalize: bool

    reads_edges: Any = ("edge_weight",)
    input_layers: tuple[str, ...] = ("lin", "lin")

    class State(NamedTuple):
        """The hidden state, and the node's degree."""

        h: Tensor
        scale: Tensor
        loop: Tensor

    constants: tuple[str, ...] = ("scale", "loop")

    class Message(NamedTuple):
        """W h / sqrt(d)."""

        z: Tensor

    def __init__(
        self,
        inputs: int,
        hidden: int,
        weighted: bool = False,
        normalize: bool = True,
        self_loops: bool | None = None,
    ) -> None:
        hidden = as_count("hidden", hidden, 1)
        super().__init__(hidden=hidden)
        if isinstance(inputs, tuple):
            raise TypeError(
                "degrees are those of one set of nodes, so that inputs must be one width, or -1: take SAGECell or "
                "GATCell from one set of nodes to another."
            )
        normalize = as_flag("normalize", normalize)
        self_loops = self_loops if self_loops is None else as_flag("self_loops", self_loops)
        if self_loops and not normalize:
            raise ValueError(
                "edges from nodes to themselves are added where degrees normalise sums: leave out self_loops, or "
                "normalize=False."
            )
        self.weighted, self.normalize = as_flag("weighted", weighted), normalize
        self.self_loops: bool = normalize if self_loops is None else self_loops
        self.lin: Any = Linear(as_pair(inputs)[0], hidden, bias=False, weight_initializer="glorot")  # W
        self.bias: nn.Parameter = nn.Parameter(torch.empty(hidden))
        self.init_parameters()

    def init_parameters(self) -> None:
        """b."""
        nn.init.zeros_(self.bias)

    def shapes(self) -> list[tuple[int, ...]]:
        """h, scale and loop."""
        return [(self.hidden,), (), ()]

    def check(self, structure: Structure) -> None:
        """Refuse edges without weights, where there should be some."""
        weight = structure.edge_weight if structure.edge_weight is not None else structure.edge_attr
        if self.weighted and (not isinstance(weight, Tensor) or weight.numel() != structure.num_edges):
            got = f"edge_attr of shape {tuple(weight.shape)}" if isinstance(weight, Tensor) else "none"
            raise ValueError(
                f"the cell takes a weight per edge, edge_weight of shape [{structure.num_edges}], or edge_attr of that "
                f"shape or [{structure.num_edges}, 1], got {got}: give them, or make the cell with weighted=False."
            )

    def initial_from_x(self, x: Tensor, s: Structure) -> State:
        """h_0 = x, and the degrees."""
        weight = s.edge_weight
        if weight is None and self.weighted:
            assert s.edge_attr is not None
            weight = s.edge_attr.flatten()
        if weight is not None:
            return self.State(x, *self._degrees(s, weight.to(x.dtype)))
        key = ("gcn", x.dtype, self.normalize, self.self_loops)
        if key not in s.cache:
            with outside():
                s.cache[key] = self._degrees_by_counts(s, x.dtype)
        return self.State(x, *s.cache[key])

    def _degrees_by_counts(self, s: Structure, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The same where edges have no weights."""
        cannot_look = is_stand_in(s.target) or not has_values(s.target)
        if cannot_look or bool((s.source == s.target).any()):
            return self._degrees(s, s.target.new_ones(s.num_edges, dtype=dtype))
        loop = torch.full_like(s.graph, self.self_loops, dtype=dtype)
        degree = torch.bincount(s.target, minlength=s.num_nodes).to(dtype) + loop
        if not self.normalize:
            return torch.ones_like(loop), loop
        return degree.masked_fill_(degree == 0, torch.inf).rsqrt_(), loop

    def _degrees(self, s: Structure, weight: Tensor) -> tuple[Tensor, Tensor]:
        """1 / sqrt(d), and the weight of the loop that each node is given, `[N]` each."""
        loop = weight.new_zeros(s.num_nodes)
        if self.self_loops:
            loop = torch.cat([weight, weight.new_ones(1)]).index_select(0, _last_loop(s))
            weight = weight.masked_fill(s.source == s.target, 0)
        if not self.normalize:
            return torch.ones_like(loop), loop
        degree = loop.index_add(0, s.target, weight)
        return degree.masked_fill(degree <= 0, torch.inf).rsqrt(), loop

    def as_message(self, state: Any) -> Message:
        """W h / sqrt(d)."""
        return self.Message(state.scale.unsqueeze(-1) * self.lin(state.h))

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        sums = inbox.sum_of("z", self._weight(inbox, own.scale))
        total = torch.addcmul(sums, own.loop.unsqueeze(-1), own.z)
        return self.State(torch.addcmul(self.bias, own.scale.unsqueeze(-1), total), own.scale, own.loop)

    def _weight(self, inbox: Inbox, like: Tensor) -> Tensor | None:
        """a `[e]`, 0 for edges that `loop` replaces; None: 1 for all."""
        weight = None
        if inbox.has("edge_weight"):
            weight = inbox.edge_weight
        elif self.weighted:
            weight = inbox.edge_attr.flatten().to(like.dtype)
        if not self.self_loops or inbox.is_loop is None:
            return weight
        weight = like.new_ones(inbox.num_edges) if weight is None else weight
        return weight.masked_fill(inbox.is_loop, 0)


def _last_loop(s: Structure) -> Tensor:
    """`[N]`: for each node the last edge from it to itself, or E."""
    if "last_loop" not in s.cache:
        with outside():
            # (Computed from the structure's own numbers: it may have no values.)
            edges = torch.ones_like(s.target).cumsum(0) - 1
            loops = edges.masked_fill(s.source != s.target, -1)
            last = torch.full_like(s.graph, -1).scatter_reduce(0, s.target, loops, "amax")
            s.cache["last_loop"] = last.masked_fill(last < 0, s.num_edges)
    return s.cache["last_loop"]


class GINCell(LinearConvolution):
    """The graph isomorphism network: a network over the sum of a node and its neighbours.

        h_v = MLP((1 + eps) h_v + sum_u h_u)                    (4.1)

    Xu, Hu, Leskovec & Jegelka, *How powerful are graph neural networks?*, ICLR 2019, equation (4.1). Parameters are
    named as in PyG's `GINConv`.

    Args:
        inputs: D, or -1: the width of x in the first run.
        hidden: H.
        network: `[N, D] → [N, H]`; by default two layers with a ReLU between them.
        eps: its initial value.
        train_eps: whether eps is learned (GIN-eps) or fixed (GIN-0).

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    reads_edges: Any = ()

    def __init__(
        self,
        inputs: int,
        hidden: int,
        network: nn.Module | None = None,
        eps: float = 0.0,
        train_eps: bool = False,
    ) -> None:
        hidden = as_count("hidden", hidden, 1)
        super().__init__(hidden=hidden)
        self.input_layers: Any = ("nn.0", "nn.0") if network is None else ()
        inputs = as_pair(inputs)[0]
        self.given_inputs: int | None = None if inputs == -1 else inputs
        if network is not None and not isinstance(network, nn.Module):
            raise TypeError(
                f"network must be a module, or None for the usual one, got {type(network).__name__}."
            )
        if network is None:
            network = nn.Sequential(Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.nn = network
        self.initial_eps = as_number("eps", eps)
        if as_flag("train_eps", train_eps):
            self.eps: nn.Parameter = nn.Parameter(torch.empty(1))
        else:
            self.register_buffer("eps", torch.empty(1))
        self.init_parameters()

    @property
    def inputs(self) -> Any:
        """D, where it is known."""
        return super().inputs if self.input_layers else self.given_inputs

    def init_parameters(self) -> None:
        """eps."""
        nn.init.constant_(self.eps, self.initial_eps)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        total = inbox.sum_of("h")
        return self.State(self.nn(total if own.h is None else torch.addcmul(total, own.h, 1 + self.eps)))

    def message_pair(self, x_source: Tensor, x_target: Tensor | None) -> tuple[Any, Any]:
        """The rows of both, which are added."""
        if x_target is not None and x_target.shape[1:] != x_source.shape[1:]:
            raise ValueError(
                f"the rows of sources and targets are added up, so that they must be of one width, got "
                f"{x_source.shape[-1]} and {x_target.shape[-1]}: put a linear layer before one of them."
            )
        return self.State(x_source), Given(x_target)

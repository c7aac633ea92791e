"""Graph attention networks: neighbours are weighed by scores of what they and the node send."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import Linear

from ..cell import Inbox
from ..structure.checks import as_count, as_flag, as_number, as_share
from ..structure.edge_widths import relation_widths
from .convolutions import LinearConvolution, NodeState, as_pair
from .edges import PerRelation


class Attention(LinearConvolution):
    """K heads, concatenated or averaged: what `GATCell` and `GATv2Cell` have in common."""

    heads: int
    average: bool
    slope: float
    dropout: float
    edges: Any
    self_loops: bool

    reads_edges: Any = ()

    def __init__(
        self,
        inputs: int | tuple[int, int],
        hidden: int,
        heads: int,
        average: bool,
        slope: float,
        dropout: float,
        edges: Any,
        residual: bool,
        self_loops: bool,
    ) -> None:
        hidden, heads = as_count("hidden", hidden, 1), as_count("heads", heads, 1)
        super().__init__(hidden=hidden)
        as_pair(inputs)
        average, residual = as_flag("average", average), as_flag("residual", residual)
        if not average and hidden % heads:
            raise ValueError(
                f"heads stand side by side in the state, so that hidden must be a multiple of their number: got "
                f"hidden={hidden}, heads={heads}."
            )
        self.heads, self.average = heads, average
        self.slope, self.dropout = as_number("slope", slope), as_share("dropout", dropout)
        self.edges, self.self_loops = edges, as_flag("self_loops", self_loops)
        self.width: int = hidden if average else hidden // heads
        self.lin_edge: Any = None  # W_e
        if relation_widths(edges) is not None:
            self.lin_edge = PerRelation(edges, heads * self.width, bias=False)
        elif edges is not None:
            self.lin_edge = self._linear(as_count("edges", edges), bias=False)
        self.res: Any = None  # W_r
        if residual:
            self.res = Linear(as_pair(inputs)[1], hidden, bias=False, weight_initializer="glorot")
        self.bias: nn.Parameter = nn.Parameter(torch.empty(hidden))

    def _linear(self, inputs: int, bias: bool) -> Linear:
        return Linear(inputs, self.heads * self.width, bias=bias, weight_initializer="glorot")

    def _by_head(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, self.width))

    def scores(self, inbox: Inbox, own: Any) -> tuple[Tensor, Tensor | None]:
        """e of the sources `[e, K]`, and of the node itself `[n, K]`, or None where it is not among them."""
        raise NotImplementedError

    def attention(self, inbox: Inbox, own: Any) -> tuple[Tensor, Tensor | None]:
        """The weight of each source `[e, K]`, and of the node itself `[n, K]` or None; they add up to one."""
        score, own_score = self.scores(inbox, own)
        if own_score is None:
            return inbox.softmax(score), None
        if inbox.is_loop is not None:  # the node itself is among its sources in any case
            score = score.masked_fill(inbox.is_loop.unsqueeze(-1), -torch.inf)
        return inbox.softmax_with_own(score, own_score)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        share, own_share = self.attention(inbox, own)
        h = inbox.sum_of("z", F.dropout(share, self.dropout, self.training))
        if own_share is not None:
            h = torch.addcmul(h, F.dropout(own_share, self.dropout, self.training).unsqueeze(-1), own.z)
        h = h.mean(1) if self.average else h.flatten(1)
        if self.res is not None and own.h is not None:  # (targets may have no rows of their own)
            h = h + self.res(own.h)
        return self.State(h + self.bias)

    def _adds_itself(self, own: Any) -> bool:
        """Whether a node is its own source, which it is not where sources are another set of nodes."""
        return self.self_loops and own.z is not None

    def _with_edges(self, inbox: Inbox, values: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The features of edges that enter the scores, of the inbox and of the node itself.

        An edge from a node to itself has the mean of the features of the other edges, as in PyG.
        """
        if self.lin_edge is None:
            return values, own
        features = inbox.edge_attr
        values = values + features
        if own is None:
            return values, None
        count = inbox.degree
        if inbox.is_loop is not None:
            features = features.masked_fill(inbox.is_loop.view(-1, *[1] * (features.dim() - 1)), 0)
            count = inbox.sum((~inbox.is_loop).long())
        count = count.clamp(min=1).view(-1, *[1] * (features.dim() - 1))
        return values, own + inbox.sum_unmasked(features) / count


class GATCell(Attention):
    """The graph attention network.

        e_uv = LeakyReLU(a_1 . W h_u + a_2 . W h_v + a_3 . W_e e_uv)              (1), (3)
        h_v  = sum_u softmax_u(e_uv) W h_u + b,  u = v and all neighbours          (2), (4)

    for each of K heads, which are concatenated (5) or averaged (6).

    Veličković, Cucurull, Casanova, Romero, Liò & Bengio, *Graph attention networks*, ICLR 2018, before the
    activation. The features of edges are as in PyG: an edge from a node to itself has the mean of those that enter
    the node. Edges from nodes to themselves count once, whether they are given or not. Parameters are named as in
    PyG's `GATConv`.

    Args:
        inputs: D, or a pair, of sources and of targets, each with its own W; -1: the width of x in the first run.
        hidden: H, all heads together; a multiple of `heads`, unless they are averaged.
        heads: K.
        average: whether heads are averaged (equation 6), each of width H.
        slope: of the LeakyReLU below zero.
        dropout: the probability with which attention is dropped in training.
        edges: the width of the edges' features e (PyG's `edge_dim`), or None: they are not read.
        residual: whether W_r h_v is added.
        self_loops: whether each node is among its sources; without, edges from nodes to themselves are ordinary
            others.

    Raises:
        ValueError: heads that do not fit into `hidden`.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    lin_src: Any
    lin_dst: Any

    class Message(NamedTuple):
        """W h by heads `[N, K, H / K]`, and the two parts of scores `[N, K]`."""

        z: Any
        to_targets: Any
        to_itself: Any

    class Asking(NamedTuple):
        """The own fields of targets that are not sources: their part of scores, and h."""

        z: None
        to_itself: Any
        h: Any

    def __init__(
        self,
        inputs: int | tuple[int, int],
        hidden: int,
        heads: int = 1,
        average: bool = False,
        slope: float = 0.2,
        dropout: float = 0.0,
        edges: Any = None,
        residual: bool = False,
        self_loops: bool = True,
    ) -> None:
        super().__init__(inputs, hidden, heads, average, slope, dropout, edges, residual, self_loops)
        if isinstance(inputs, tuple):
            self.lin_src, self.lin_dst = (self._linear(width, bias=False) for width in inputs)  # W of each
            self.input_layers: tuple[str, ...] = ("lin_src", "lin_dst")
        else:
            self.lin: Any = self._linear(inputs, bias=False)  # W
            self.input_layers = ("lin", "lin")
        self.att_src: nn.Parameter = nn.Parameter(torch.empty(1, heads, self.width))  # a_1
        self.att_dst: nn.Parameter = nn.Parameter(torch.empty(1, heads, self.width))  # a_2
        att_edge = None if edges is None else nn.Parameter(torch.empty(1, heads, self.width))
        self.att_edge: nn.Parameter | None = att_edge  # a_3
        self.init_parameters()

    def init_parameters(self) -> None:
        """Redraw all weights but those of the linear layers."""
        for weight in (self.att_src, self.att_dst, self.att_edge):
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.bias)

    def project_edges(self, edge_attr: Any) -> Tensor:
        """a_3 . W_e e, `[E, K]`."""
        if self.lin_edge is None or self.att_edge is None:
            return edge_attr
        return (self._by_head(self.lin_edge(edge_attr)) * self.att_edge).sum(-1)

    def as_message(self, state: Any) -> Message:
        """The parts of scores and sums that depend on one node."""
        of_source, of_target = self.input_layers
        z = getattr(self, of_source)(state.h)
        if of_source == of_target:
            return self.Message(self._by_head(z), *self._products(z, self.att_src, self.att_dst))
        asked = getattr(self, of_target)(state.h)
        return self.Message(
            self._by_head(z), *self._products(z, self.att_src), *self._products(asked, self.att_dst)
        )

    def message_pair(self, x_source: Tensor, x_target: Tensor | None) -> tuple[Any, Any]:
        """The parts of scores and sums that depend on one node; targets contribute nothing to the sum."""
        of_source, of_target = self.input_layers
        z, to_itself = getattr(self, of_source)(x_source), None
        if x_target is not None:
            (to_itself,) = self._products(getattr(self, of_target)(x_target), self.att_dst)
        (to_targets,) = self._products(z, self.att_src)
        return self.Message(self._by_head(z), to_targets, None), self.Asking(None, to_itself, x_target)

    def _products(self, z: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        """a . z, `[N, K]`, for each a `[1, K, H / K]`: by one product with matrices that are zero between heads."""
        heads = torch.eye(self.heads, dtype=weights[0].dtype, device=weights[0].device).unsqueeze(1)
        columns = [(weight[0].unsqueeze(-1) * heads).flatten(0, 1) for weight in weights]
        return (z @ torch.cat(columns, dim=1)).split(self.heads, dim=1)

    def scores(self, inbox: Inbox, own: Any) -> tuple[Tensor, Tensor | None]:
        """LeakyReLU of the sums."""
        score = inbox.to_targets
        if own.to_itself is not None:
            score = score + inbox.to_edges(own.to_itself)
        own_score = own.to_targets + own.to_itself if self._adds_itself(own) else None
        score, own_score = self._with_edges(inbox, score, own_score)
        return F.leaky_relu(score, self.slope), None if own_score is None else F.leaky_relu(
            own_score, self.slope
        )


class GATv2Cell(Attention):
    """The graph attention network whose attention depends on source and target jointly.

        e_uv = a . LeakyReLU(W_1 h_u + W_2 h_v + W_e e_uv)                        (7)
        h_v  = sum_u softmax_u(e_uv) W_1 h_u + b,  u = v and all neighbours

    Brody, Alon & Yahav, *How attentive are graph attention networks?*, ICLR 2022, equation (7), with W = [W_2, W_1].
    Otherwise like `GATCell`. Parameters are named as in PyG's `GATv2Conv`.

    Args:
        inputs, hidden, heads, average, slope, dropout, edges, residual, self_loops: as in `GATCell`.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    lin_l: Any
    lin_r: Any

    input_layers: tuple[str, ...] = ("lin_l", "lin_r")

    class Message(NamedTuple):
        """W_1 h and W_2 h by heads, `[N, K, H / K]`."""

        z: Any
        asked: Any

    class Asking(NamedTuple):
        """The own fields of targets that are not sources: W_2 h, and h."""

        z: None
        asked: Any
        h: Any

    def __init__(
        self,
        inputs: int | tuple[int, int],
        hidden: int,
        heads: int = 1,
        average: bool = False,
        slope: float = 0.2,
        dropout: float = 0.0,
        edges: Any = None,
        residual: bool = False,
        self_loops: bool = True,
    ) -> None:
        super().__init__(inputs, hidden, heads, average, slope, dropout, edges, residual, self_loops)
        self.lin_l, self.lin_r = (self._linear(width, bias=True) for width in as_pair(inputs))  # W_1, W_2
        self.att: nn.Parameter = nn.Parameter(torch.empty(1, heads, self.width))  # a
        self.init_parameters()

    def init_parameters(self) -> None:
        """All but products."""
        nn.init.xavier_uniform_(self.att)
        nn.init.zeros_(self.bias)

    def project_edges(self, edge_attr: Any) -> Tensor:
        """W_e e by heads, `[E, K, H / K]`."""
        return edge_attr if self.lin_edge is None else self._by_head(self.lin_edge(edge_attr))

    def as_message(self, state: Any) -> Message:
        """The two products."""
        return self.Message(self._by_head(self.lin_l(state.h)), self._by_head(self.lin_r(state.h)))

    def message_pair(self, x_source: Tensor, x_target: Tensor | None) -> tuple[Any, Any]:
        """W_1 h of sources, and W_2 h of targets, which contribute nothing to the sum."""
        if x_target is None:
            raise ValueError("attention depends on both ends together: give rows of targets, too.")
        z, asked = self._by_head(self.lin_l(x_source)), self._by_head(self.lin_r(x_target))
        return self.Message(z, None), self.Asking(None, asked, x_target)

    def scores(self, inbox: Inbox, own: Any) -> tuple[Tensor, Tensor | None]:
        """a . LeakyReLU of the sums."""
        both = inbox.z + inbox.to_edges(own.asked)
        itself = own.z + own.asked if self._adds_itself(own) else None
        both, itself = self._with_edges(inbox, both, itself)
        return self._score(both), None if itself is None else self._score(itself)

    def _score(self, both: Tensor) -> Tensor:
        return (self.att * F.leaky_relu(both, self.slope)).sum(-1)

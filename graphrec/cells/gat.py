"""Graph attention networks: neighbours are weighed by what they and the node show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import Linear

from .convolutions import LinearConvolution, NodeState, as_pair

if TYPE_CHECKING:
    from ..engine.inbox import Inbox


class _Attention(LinearConvolution):
    """K heads, side by side or averaged."""

    def __init__(self, hidden: int, heads: int, average: bool, slope: float, dropout: float) -> None:
        super().__init__(hidden=hidden)
        if heads < 1 or (not average and hidden % heads):
            raise ValueError(
                f"heads stand side by side in the state, so that hidden must be a multiple of their number: got "
                f"hidden={hidden}, heads={heads}."
            )
        self.heads, self.average, self.slope, self.dropout = heads, average, slope, dropout
        self.width = hidden if average else hidden // heads
        self.bias = nn.Parameter(torch.empty(hidden))

    def _linear(self, inputs: int, bias: bool) -> Linear:
        return Linear(inputs, self.heads * self.width, bias=bias, weight_initializer="glorot")

    def _by_head(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, self.width))

    def _attend(self, inbox: Inbox, own: Any, score: Tensor, own_score: Tensor | None) -> NodeState:
        """h from z of sources and node, by the softmax of their scores, `[e, K]` and `[n, K]`; None: sources alone."""
        if own_score is None:
            share = F.dropout(inbox.softmax(score), self.dropout, self.training)
            return self._joined(inbox.sum_of("z", share))
        if inbox.is_loop is not None:  # the node itself is there in any case
            score = score.masked_fill(inbox.is_loop.unsqueeze(-1), -torch.inf)
        share, own_share = inbox.softmax_with_own(score, own_score)
        share = F.dropout(share, self.dropout, self.training)
        own_share = F.dropout(own_share, self.dropout, self.training)
        return self._joined(inbox.sum_of("z", share) + own_share.unsqueeze(-1) * own.z)

    def _joined(self, h: Tensor) -> NodeState:
        return self.State((h.mean(1) if self.average else h.flatten(1)) + self.bias)


class GATCell(_Attention):
    """The graph attention network.

    e_uv = LeakyReLU(a_1 . W h_u + a_2 . W h_v)                               (1), (3)
    h_v  = sum_u softmax_u(e_uv) W h_u + b,  u = v and all neighbours          (2), (4)

    for each of K heads, which stand side by side (5) or are averaged (6).

    Veličković, Cucurull, Casanova, Romero, Liò & Bengio, *Graph attention networks*, ICLR 2018, before the
    activation. Edges from nodes to themselves count once, whether they are there or not. Parameters are named as in
    PyG's `GATConv`.

    Args:
        inputs: D, or a pair, of sources and of targets, which have a W each then; -1: as wide as x is in the first run.
        hidden: H, all heads together; a multiple of `heads`, unless they are averaged.
        heads: K.
        average: whether heads are averaged (equation 6), each being H wide.
        slope: of the LeakyReLU below zero.
        dropout: the share of attention that is dropped in training.

    Raises:
        ValueError: heads that do not fit into `hidden`.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    reads_edges = ()

    class Shown(NamedTuple):
        """W h by heads `[N, K, H / K]`, and the two parts of scores `[N, K]`."""

        z: Any
        to_targets: Any
        to_itself: Any

    def __init__(
        self,
        inputs: int | tuple[int, int],
        hidden: int,
        heads: int = 1,
        average: bool = False,
        slope: float = 0.2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(hidden, heads, average, slope, dropout)
        if isinstance(inputs, tuple):
            self.lin_src, self.lin_dst = (self._linear(width, bias=False) for width in inputs)  # W of each
            self.input_layers = ("lin_src", "lin_dst")
        else:
            self.lin = self._linear(inputs, bias=False)  # W
            self.input_layers = ("lin", "lin")
        self.att_src = nn.Parameter(torch.empty(1, heads, self.width))  # a_1
        self.att_dst = nn.Parameter(torch.empty(1, heads, self.width))  # a_2
        self.init_parameters()

    def init_parameters(self) -> None:
        """All but products."""
        for weight in (self.att_src, self.att_dst):
            nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.bias)

    def show(self, state: Any) -> Shown:
        """What of scores and sums depends on one node."""
        of_source, of_target = self.input_layers
        z = self._by_head(getattr(self, of_source)(state.h))
        asked = z if of_source == of_target else self._by_head(getattr(self, of_target)(state.h))
        return self.Shown(z, (z * self.att_src).sum(-1), (asked * self.att_dst).sum(-1))

    def show_pair(self, x_source: Tensor, x_target: Tensor | None) -> tuple[Any, Any]:
        """What of scores and sums depends on one node; of targets that they have none of their own in the sum."""
        of_source, of_target = self.input_layers
        z = self._by_head(getattr(self, of_source)(x_source))
        to_itself = None
        if x_target is not None:
            to_itself = (self._by_head(getattr(self, of_target)(x_target)) * self.att_dst).sum(-1)
        return self.Shown(z, (z * self.att_src).sum(-1), None), self.Shown(None, None, to_itself)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        score = (
            inbox.to_targets if own.to_itself is None else inbox.to_targets + inbox.to_edges(own.to_itself)
        )
        own_score = None if own.z is None else F.leaky_relu(own.to_targets + own.to_itself, self.slope)
        return self._attend(inbox, own, F.leaky_relu(score, self.slope), own_score)


class GATv2Cell(_Attention):
    """The graph attention network whose attention depends on both ends together.

    e_uv = a . LeakyReLU(W_1 h_u + W_2 h_v)                                   (7)
    h_v  = sum_u softmax_u(e_uv) W_1 h_u + b,  u = v and all neighbours

    Brody, Alon & Yahav, *How attentive are graph attention networks?*, ICLR 2022, equation (7), with W = [W_2, W_1].
    Otherwise as `GATCell`. Parameters are named as in PyG's `GATv2Conv`.

    Args:
        inputs, hidden, heads, average, slope, dropout: as in `GATCell`.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    reads_edges = ()
    input_layers = ("lin_l", "lin_r")

    class Shown(NamedTuple):
        """W_1 h and W_2 h by heads, `[N, K, H / K]`."""

        z: Any
        asked: Any

    def __init__(
        self,
        inputs: int | tuple[int, int],
        hidden: int,
        heads: int = 1,
        average: bool = False,
        slope: float = 0.2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(hidden, heads, average, slope, dropout)
        self.lin_l, self.lin_r = (self._linear(width, bias=True) for width in as_pair(inputs))  # W_1, W_2
        self.att = nn.Parameter(torch.empty(1, heads, self.width))  # a
        self.init_parameters()

    def init_parameters(self) -> None:
        """All but products."""
        nn.init.xavier_uniform_(self.att)
        nn.init.zeros_(self.bias)

    def show(self, state: Any) -> Shown:
        """The two products."""
        return self.Shown(self._by_head(self.lin_l(state.h)), self._by_head(self.lin_r(state.h)))

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        score = self._score(inbox.z + inbox.to_edges(own.asked))
        own_score = None if own.z is None else self._score(own.z + own.asked)
        return self._attend(inbox, own, score, own_score)

    def show_pair(self, x_source: Tensor, x_target: Tensor | None) -> tuple[Any, Any]:
        """W_1 h of sources, W_2 h of targets, which have none of their own in the sum."""
        if x_target is None:
            raise ValueError("attention depends on both ends together: give rows of targets, too.")
        z, asked = self._by_head(self.lin_l(x_source)), self._by_head(self.lin_r(x_target))
        return self.Shown(z, None), self.Shown(None, asked)

    def _score(self, both: Tensor) -> Tensor:
        return (self.att * F.leaky_relu(both, self.slope)).sum(-1)

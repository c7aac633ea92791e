"""Recurrent units whose matrices are convolutions over a graph, for graphs over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..io.powers import chebyshev_names, diffusion_names
from ..structure import Structure
from ..structure.checks import as_count, as_widths
from ..structure.over_time import OWN_PAST
from .kinds import PerKind


class GraphGRUState(NamedTuple):
    """What the stages of a step hand on.

    Attributes:
        h: `[N, H]`, the hidden state; of gates r * h_{t-1}, of candidates n.
        x: `[N, D]`, the input.
        z, previous: `[N, H]`, of gates: z and h_{t-1}.
    """

    h: Tensor
    x: Tensor
    z: Tensor
    previous: Tensor


class GraphLSTMState(NamedTuple):
    """The hidden and the cell state, `[N, H]`, and the input `[N, D]`."""

    h: Tensor
    c: Tensor
    x: Tensor


class Hidden(NamedTuple):
    """What goes from step to step: the hidden state."""

    h: Tensor


class HiddenAndCell(NamedTuple):
    """What goes from step to step: the hidden and the cell state."""

    h: Tensor
    c: Tensor


class _Convolving(Cell):
    """A stage that sees x and h of the nodes with which its matrices join it."""

    reads_edges = ("edge_weight",)

    def __init__(self, inputs: int, hidden: int, matrices: int, columns: int) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.relations = 1 + matrices
        self.convolution = nn.Linear(matrices * (inputs + hidden), columns)  # W_x and W_h for each matrix, b

    def convolved(self, inbox: Inbox) -> tuple[Tensor, Tensor]:
        """`[n, columns]`: W_x * x + W_h * h + b; and `[n, H]`: h of the node itself, by relation 0."""
        values = torch.cat([inbox.x, inbox.h], dim=-1)
        if inbox.has("edge_weight"):
            values = inbox.edge_weight.unsqueeze(-1) * values
        sums = inbox.sum_by_relation(values, self.relations)
        return self.convolution(sums[:, 1:].flatten(1)), sums[:, 0, -self.hidden :]


class _GRUStage(Cell):
    State = GraphGRUState

    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.hidden,), (self.inputs,), (self.hidden,), (self.hidden,)]


class _Gates(_GRUStage, _Convolving):
    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> GraphGRUState:
        gates, previous = self.convolved(inbox)
        r, z = torch.sigmoid(gates).chunk(2, dim=-1)
        return self.State(r * previous, x, z, previous)


class _Candidate(_GRUStage, _Convolving):
    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> GraphGRUState:
        n = torch.tanh(self.convolved(inbox)[0])
        return self.State(n, x, torch.zeros_like(n), torch.zeros_like(n))


class _Update(_GRUStage):
    arity = 2  # gates, candidate
    reads_edges = ()

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> GraphGRUState:
        gates, candidate = inbox.of_slot(0, 2), inbox.of_slot(1, 2)
        z = gates.z
        h = z * gates.previous + (1 - z) * candidate.h
        return self.State(h, x, torch.zeros_like(h), torch.zeros_like(h))


class _LSTMUpdate(_Convolving):
    State = GraphLSTMState

    def __init__(self, inputs: int, hidden: int, matrices: int) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden, matrices, 4 * hidden)  # of i, f, c, o
        self.peepholes = nn.Parameter(torch.empty(3, hidden))  # w_ci, w_cf, w_co
        self.init_parameters()

    def init_parameters(self) -> None:
        """The weights that see c."""
        nn.init.uniform_(self.peepholes, -(self.hidden**-0.5), self.hidden**-0.5)

    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.hidden,), (self.hidden,), (self.inputs,)]

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> GraphLSTMState:
        w_i, w_f, w_o = self.peepholes.unbind()
        of_i, of_f, of_c, of_o = self.convolved(inbox)[0].chunk(4, dim=-1)
        previous = inbox.sum_by_relation(inbox.c, self.relations)[:, 0]
        i, f = torch.sigmoid(of_i + w_i * previous), torch.sigmoid(of_f + w_f * previous)
        c = f * previous + i * torch.tanh(of_c)
        h = torch.sigmoid(of_o + w_o * c) * torch.tanh(c)
        return self.State(h, c, x)


class _Before(Cell):
    """What stands before the first step: the initial state, or zero."""

    reads_edges = ()

    def __init__(self, like: Cell) -> None:
        super().__init__(like.inputs, like.hidden)
        self.State, self._shapes = like.State, like.shapes()

    def shapes(self) -> list[tuple[int, ...]]:
        return self._shapes

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        sums = {name: inbox.sum(getattr(inbox, name)) for name in self.State._fields}
        return self.State(**{**sums, "x": x})


class StagedCell(PerKind):
    """A cell whose step has stages: a kind of node for each, and one for what stands before the first step.

    A node sends its input with its state. Where a step ends that is the input of the next one, so that neighbours
    receive x_t with h_{t-1}.

    Attributes:
        stages: their names, and what each reads; see `graphrec.structure.in_stages`.
        Carried: the type of what goes from step to step, fields of the state.
    """

    hidden: int

    stages: ClassVar[Mapping[str, Sequence[tuple[str, bool]]]]
    Carried: Any

    def __init__(self, cells: Sequence[Cell], matrices: tuple[str, ...]) -> None:
        super().__init__([*cells, _Before(cells[0])])
        self.hidden, self._names = cells[0].hidden, (OWN_PAST, *matrices)

    def check(self, structure: Structure) -> None:
        """Refuse nodes that are no stages, and relations that are not the matrices of this convolution."""
        if structure.num_nodes and structure.kind_names != (*self.stages, "before"):
            raise ValueError(
                f"a step of {type(self).__name__} has stages, {', '.join(self.stages)}, for which "
                f"graphrec.OverTime(cell) makes the nodes: call that, over graphrec.over_time(..., carried=True)."
            )
        names = structure.relation_names
        if structure.num_edges and names is not None and names != self._names:
            raise ValueError(
                f"{type(self).__name__} convolves by the matrices {', '.join(self._names[1:])}, but the relations are "
                f"{', '.join(names)}: {self._mend()}."
            )
        super().check(structure)

    def _mend(self) -> str:
        raise NotImplementedError


class _GraphGRUCell(StagedCell):
    stages: ClassVar = {
        "gates": [("state", True)],
        "candidate": [("gates", True)],
        "state": [("gates", False), ("candidate", False)],
    }
    Carried = Hidden

    def __init__(self, inputs: int, hidden: int, matrices: tuple[str, ...]) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        count = len(matrices)
        gates, candidate = (
            _Gates(inputs, hidden, count, 2 * hidden),
            _Candidate(inputs, hidden, count, hidden),
        )
        super().__init__([gates, candidate, _Update(inputs, hidden)], matrices)


class GConvGRUCell(_GraphGRUCell):
    """The gated recurrent unit whose products are Chebyshev convolutions over a graph.

        r_t = sigmoid(W_xr * x_t + W_hr * h_{t-1} + b_r)
        z_t = sigmoid(W_xz * x_t + W_hz * h_{t-1} + b_z)
        n_t = tanh(W_xn * x_t + W_hn * (r_t h_{t-1}) + b_n)
        h_t = z_t h_{t-1} + (1 - z_t) n_t,      W * y = sum_{k < K} T_k(L~) y W_k

    Seo, Defferrard, Vandergheynst & Bresson, *Structured sequence modeling with graph convolutional recurrent
    networks*, ICONIP 2018 (2016), model 2, with the unit of Cho et al. (2014). n needs r of a node's neighbours, so
    that a step has stages, gates, candidate and state; `graphrec.GConvGRU` makes the nodes for them.

    Args:
        inputs: D.
        hidden: H.
        k: K, the number of polynomials.

    Shapes: x `[N, D]` over the stages of `graphrec.over_time(graphrec.chebyshev(graph, k), T, carried=True)`.
    """

    def __init__(self, inputs: int, hidden: int, k: int) -> None:
        super().__init__(inputs, hidden, chebyshev_names(as_count("k", k, 1)))
        self.k = k

    def _mend(self) -> str:
        return f"make the graph over time of graphrec.chebyshev(graph, {self.k})"


class DCRNNCell(_GraphGRUCell):
    """The diffusion convolutional gated recurrent unit: a GRU whose products are walks along edges and against them.

        r_t = sigmoid(W_r * [x_t, h_{t-1}] + b_r)
        u_t = sigmoid(W_u * [x_t, h_{t-1}] + b_u)
        C_t = tanh(W_C * [x_t, r_t h_{t-1}] + b_C)
        h_t = u_t h_{t-1} + (1 - u_t) C_t
        W * y = sum_{k < K} ((D_O^{-1} W)^k y W_{k,1} + (D_I^{-1} W^T)^k y W_{k,2})

    Li, Yu, Shahabi & Liu, *Diffusion convolutional recurrent neural network: data-driven traffic forecasting*, ICLR
    2018, equations (2) and (3) and section 2.3. Both walks of no steps are the node itself, and have one weight
    instead of a sum of two. Stages as in `GConvGRUCell`.

    Args:
        inputs: D.
        hidden: H.
        k: K, the number of powers; walks have up to K - 1 steps.

    Shapes: x `[N, D]` over the stages of `graphrec.over_time(graphrec.diffusion(graph, k), T, carried=True)`.
    """

    def __init__(self, inputs: int, hidden: int, k: int) -> None:
        super().__init__(inputs, hidden, diffusion_names(as_count("k", k, 1)))
        self.k = k

    def _mend(self) -> str:
        return f"make the graph over time of graphrec.diffusion(graph, {self.k})"


class GConvLSTMCell(StagedCell):
    """Long short-term memory whose products are Chebyshev convolutions over a graph, with peepholes.

        i_t = sigmoid(W_xi * x_t + W_hi * h_{t-1} + w_ci c_{t-1} + b_i)
        f_t = sigmoid(W_xf * x_t + W_hf * h_{t-1} + w_cf c_{t-1} + b_f)
        c_t = f_t c_{t-1} + i_t tanh(W_xc * x_t + W_hc * h_{t-1} + b_c)
        o_t = sigmoid(W_xo * x_t + W_ho * h_{t-1} + w_co c_t + b_o)
        h_t = o_t tanh(c_t),      W * y = sum_{k < K} T_k(L~) y W_k

    Seo, Defferrard, Vandergheynst & Bresson, *Structured sequence modeling with graph convolutional recurrent
    networks*, ICONIP 2018 (2016), model 2. `graphrec.GConvLSTM` makes the nodes for it.

    Args, shapes: as `GConvGRUCell`.
    """

    stages: ClassVar = {"state": [("state", True)]}
    Carried = HiddenAndCell

    def __init__(self, inputs: int, hidden: int, k: int) -> None:
        matrices = chebyshev_names(as_count("k", k, 1))
        super().__init__([_LSTMUpdate(inputs, hidden, len(matrices))], matrices)
        self.k = k

    def _mend(self) -> str:
        return f"make the graph over time of graphrec.chebyshev(graph, {self.k})"

"""pLSTM over DAGs: states on edges, read at nodes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ..cells.edges import check_edges, edge_layer
from ..cells.plstm import PLSTMCell
from ..engine.validate import check_x
from ..operators import Pooled
from ..runs import run_first
from ..schedule import schedule, slot_fault
from ..structure import Structure
from ..structure.checks import as_count, check_one_of
from ..structure.edge_widths import Widths, read_features
from ..structure.line_graph import wired
from ..structure.outside import seen_by
from .model import Model

_MODES = ("P", "D")
_SHARPNESS = 5.0  # of transitions: the paper's scaling factor, table 5


class PLSTM(Model):
    """The parallelizable linear source transition mark network: a linear recurrence along the edges of a DAG.

        C_e = sum_{e' into n} T^n_{e'e} C_e' + S^n_e k_n v_n^T,   n the node that e leaves                     (5)
        h_n = sum_{e into n} M^n_e q_n C_e + D^n (q_n . k_n) v_n                                              (6)

    for each head; q, k and v are linear in x_n, and the source, mark and direct gates S, M, D sigmoids. Transitions are

        P-mode: T^n_{e'e} = tanh(t_n) p^n_e,  p^n = softmax over the edges e that leave n                      (9), (10)
        D-mode: T^n_{e'e} = tanh(t^n_{e'e}), on a line graph reduced to a multitree

    In P-mode the transitions from an edge add up to one at most (equation 9), and its state is directed: on a 2D grid
    p is (alpha, 1 - alpha), the angle of equation (10), where both edges leave n. In D-mode there is one path at most
    from edge to edge, so that states spread in all directions and do not grow either; see `graphrec.line_graph`.

    Pöppel, Freinschlag, Schmied, Lin & Hochreiter, *pLSTM: parallelizable linear source transition mark networks*,
    arXiv 2506.11997 (2025), without the norm and the projection around the layer. Gates begin at 1 / 2 (the paper's
    lower values go with its norm), transitions near 1, and angles spread over the heads, as in the paper.

    Args:
        inputs: D.
        hidden: H, the width of v of all heads; a multiple of `heads`.
        heads: how many states an edge has.
        keys: the width of q and k of a head; None: that of v.
        mode: `"P"`, propagation, or `"D"`, distribution.
        arity: how many slots nodes have, if gates shall tell edges apart by the slot they fill (2 on `graphrec.grid`);
            None: all edges are alike.
        edges: the width of the edges' features, or of those of each relation, which S_e, M_e and T_{e'e} then read (of
            e, not of e'); None: they are not read.

    Raises:
        ValueError: a mode that there is not, heads that do not fit into `hidden`; in a run a slot from `arity` on, or
            one that is filled twice.

    Shapes: x `[N, D]`, result `[N, H]`. The run is over E edges with states of `heads * keys * (H / heads)` numbers.
    """

    query: nn.Linear
    key: nn.Linear
    source: nn.Linear
    mark: nn.Linear

    hidden: int
    heads: int
    edges: Widths | None

    runs: tuple[str, ...] | None = ("cell",)
    relations = None

    def __init__(
        self,
        inputs: int,
        hidden: int,
        heads: int = 1,
        keys: int | None = None,
        mode: str = "P",
        arity: int | None = None,
        edges: Widths | None = None,
    ) -> None:
        super().__init__()
        inputs = as_count("inputs", inputs)
        self.inputs: int = inputs
        self.hidden, self.heads = as_count("hidden", hidden, 1), as_count("heads", heads, 1)
        if self.hidden % self.heads:
            raise ValueError(
                f"heads stand side by side in the result, so that hidden must be a multiple of their number: got "
                f"hidden={hidden}, heads={heads}."
            )
        check_one_of("mode", mode, _MODES)
        self.mode, self.edges = mode, edges
        self.arity: int | None = None if arity is None else as_count("arity", arity, 1)
        values = self.hidden // self.heads
        self.keys: int = values if keys is None else as_count("keys", keys, 1)
        slots = self.arity or 1
        self.cell: PLSTMCell = PLSTMCell(self.heads, self.keys, values, self.arity if mode == "D" else None)
        if edges is not None:
            self.cell.reads_edges = ("edge_attr",)  # which this model reads for it
        self.query, self.key = (nn.Linear(inputs, self.heads * self.keys) for _ in range(2))
        self.value: nn.Linear = nn.Linear(inputs, hidden)
        self.source, self.mark = (nn.Linear(inputs, slots * self.heads) for _ in range(2))
        self.direct: nn.Linear = nn.Linear(inputs, self.heads)
        self.transition: nn.Linear = nn.Linear(inputs, self.heads * (1 if mode == "P" else slots**2))
        angle = nn.Linear(inputs, slots * self.heads) if mode == "P" and slots > 1 else None
        self.angle: nn.Linear | None = angle
        self.edge: nn.Module | None = None if edges is None else edge_layer(edges, 3 * self.heads, bias=False)
        self.init_parameters()

    def init_parameters(self) -> None:
        """Gates in the middle, transitions near 1, and angles from -2 to 2."""
        with torch.no_grad():
            for gate in (self.source, self.mark, self.direct):
                gate.bias.zero_()
            self.transition.bias.fill_(1)
            if self.angle is not None:
                self.angle.bias.zero_()
                if self.heads > 1:
                    self.angle.bias[: self.heads] = torch.linspace(-2, 2, self.heads)

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """h, of all nodes."""
        self._check(x, s)
        leaves, enters, slot = (seen_by(x, ends) for ends in (s.source, s.target, s.slot))
        of_source, of_transition, of_mark = self._features(x, s).chunk(3, dim=-1)
        source = torch.sigmoid(self._of_edges(self.source(x), leaves, slot) + of_source)
        mark = torch.sigmoid(self._of_edges(self.mark(x), enters, slot) + of_mark)
        if self.mode == "P":
            share = self._angle(x, leaves, slot) + of_transition
            share = Pooled(share, leaves, s.num_nodes).softmax(share)
            transition = torch.tanh(_SHARPNESS * self.transition(x)).index_select(0, leaves) * share
        else:
            found = self._of_edges(self.transition(x), leaves, slot).unflatten(-1, (-1, self.heads))
            transition = torch.tanh(_SHARPNESS * (found + of_transition.unsqueeze(1))).flatten(1)
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)) for layer in (self.query, self.key, self.value))
        entering = source.unsqueeze(-1) * v.index_select(0, leaves)
        rows = torch.cat([transition, k.index_select(0, leaves).flatten(1), entering.flatten(1)], dim=-1)
        state = run_first(self.cell, schedule(wired(s, multitree=self.mode == "D")), rows)
        state = state.unflatten(-1, (self.heads, self.keys, -1))
        read = torch.einsum("ehk,ehkv->ehv", q.index_select(0, enters), state) * mark.unsqueeze(-1)
        direct = torch.sigmoid(self.direct(x)) * (q * k).sum(-1)
        h = Pooled(read, enters, s.num_nodes).sum(read) + direct.unsqueeze(-1) * v
        return h.flatten(1), []

    def _check(self, x: Tensor, s: Structure) -> None:
        """Refuse bad input before any work is done."""
        plan, alike = schedule(s), cast(Any, self)  # has what checks read of cells
        check_x(alike, plan, x)
        if self.arity is not None and (plan.num_slots > self.arity or not plan.distinct_slots):
            raise ValueError(slot_fault(plan, self.arity))
        if self.edges is not None:
            check_edges(alike, s)

    def _features(self, x: Tensor, s: Structure) -> Tensor:
        """`[E, 3 heads]`: what gates read of the edges' features; `[1, 3 heads]` zeros where they read none."""
        if self.edge is None:
            return x.new_zeros(1, 3 * self.heads)
        return self.edge(read_features(s, self.edges, x.dtype))

    def _angle(self, x: Tensor, node: Tensor, slot: Tensor) -> Tensor:
        """`[E, heads]`: by what nodes divide what they pass on among their edges."""
        if self.angle is None:
            return x.new_zeros(len(node), self.heads)
        return self._of_edges(self.angle(x), node, slot)

    def _of_edges(self, rows: Tensor, node: Tensor, slot: Tensor) -> Tensor:
        """`[N, slots k] → [E, k]`: of a node of each edge the part for the slot that the edge fills."""
        if self.arity is None:
            return rows.index_select(0, node)
        return rows.unflatten(-1, (self.arity, -1)).flatten(0, 1).index_select(0, node * self.arity + slot)

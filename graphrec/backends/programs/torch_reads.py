"""What levels read: along edges, of memory, or of other values in another way; as views wherever there are any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...program.codes import Value
from ...program.symbols import EDGE, NODE
from .levels import Level
from .torch_instructions import Instruction
from .torch_pulls import Pull
from .torch_rows import LevelRows, Tensors, columns, heads, widened

Step = Callable[[int], Any]


class Reader(LevelRows):
    """Reads for all levels of a phase: the tensors, and what must be done in each level to fill them, if anything."""

    def read(self, one: Instruction) -> Step | None:
        """Of an instruction whose result is read by its key."""
        self.reads[one.out], step = _READ[one.op](self, one)
        return step

    def _fresh(self, jobs: dict[int, int], width: int) -> dict[int, Tensor]:
        """Memory for the levels that need some: as many rows for each as said."""
        if not jobs:
            return {}
        rows = self.run.like.new_empty(max(jobs.values()), width)
        return dict(zip(jobs, heads(rows, list(jobs.values())), strict=True))

    def _made(
        self, views: dict[int, Tensor], rows: str, width: int, make: Callable[[int, Tensor], Any]
    ) -> tuple[Tensors, Step | None]:
        """Views where there are any; where there are none, `make(level, out)` is called."""
        jobs = {j: self.num_rows(level, rows) for j, level in enumerate(self.levels) if j not in views}
        fresh = self._fresh(jobs, width)
        tensors = [views[j] if j in views else fresh[j] for j in range(self.count)]
        if not jobs:
            return tensors, None
        if not views:
            return tensors, lambda j: make(j, tensors[j])
        return tensors, lambda j: make(j, tensors[j]) if j in fresh else None

    def _load(self, one: Instruction) -> tuple[Tensors, None]:
        name = one.value.field
        if self.part.given is not None and name in self.part.given:
            return [self.part.given[name]] * self.count, None
        return self.run.memory(name, one.rows, self.part, self.levels), None

    def sources(self, field: str) -> Tensors:
        """The rows of memory that edges lead from."""
        return self.run.sent(field, self.part, self.count)

    def _previous(self, one: Instruction) -> tuple[Tensors, None]:
        sent = self.sources(one.value.field)
        return [rows[level.nodes] for rows, level in zip(sent, self.levels, strict=True)], None

    def _gather(self, one: Instruction) -> tuple[Tensors, Step | None]:
        sent = self.sources(one.value.field)
        return self._gathered(sent)

    def _gathered(self, sent: Tensors, views: dict[int, Tensor] | None = None) -> tuple[Tensors, Step | None]:
        levels = self.levels
        views = (views or {}) | {
            j: sent[j][level.source_start : level.source_start + level.num_edges]
            for j, level in enumerate(levels)
            if level.source_start is not None
        }

        def make(j: int, out: Tensor) -> None:
            torch.index_select(sent[j], 0, levels[j].source, out=out)

        return self._made(views, EDGE, sent[0].shape[1], make)

    def _gather_sum(self, one: Instruction) -> tuple[Tensors, Step | None]:
        """The sums of what sources send, without a row for each edge where possible."""
        operand: Any = one.operands[0]
        sent = widened([columns(rows, operand) for rows in self.sources(operand.key.field)], operand)
        # (Where nodes have different numbers of edges, nothing is gathered.)
        nothing = {j: sent[j][:0] for j, level in enumerate(self.levels) if level.degree is None}
        gathered, gather = self._gathered(sent, nothing)
        return self._summed(gathered, gather, sent)

    def _segment_sum(self, one: Instruction) -> tuple[Tensors, Step | None]:
        return self._summed(self.wide(one.operands[0]))

    def _summed(
        self, rows: Tensors, gather: Step | None = None, sent: Tensors | None = None
    ) -> tuple[Tensors, Step | None]:
        views = {j: rows[j] for j, level in enumerate(self.levels) if level.degree == 1}
        groups = self.grouped(rows, EDGE)

        def make(j: int, out: Tensor) -> None:
            level = self.levels[j]
            if level.degree is None and sent is not None:
                out.copy_(bag(sent[j], level.source, level.first))
                return
            if gather is not None:
                gather(j)
            self.sum_edges(level, rows[j], groups[j], out)

        tensors, step = self._made(views, NODE, rows[0].shape[-1], make)
        if gather is None or not views:
            return tensors, step

        def run(j: int) -> None:
            if j in views:
                gather(j)
            elif step is not None:
                step(j)

        return tensors, run

    def sum_edges(self, level: Level, rows: Tensor, group: Tensor, out: Tensor) -> None:
        """From in-edges, `[e, w]` and `[n, degree, w]`, to nodes."""
        if level.degree == 1:
            out.copy_(rows)
        elif level.degree == 2:
            torch.add(group[:, 0], group[:, 1], out=out)
        elif level.degree is not None:
            torch.sum(group, 1, out=out)
        else:
            out.copy_(bag(rows, level.in_order, level.first))

    def _pull(self, one: Instruction) -> tuple[Tensors, Step | None]:
        """The sums over out-edges of what has come back along them."""
        pieces = [self._pulled(piece) for piece in self.run.prepared.pulls[one.value.field]]
        if len(pieces) == 1:
            ((views, _, make),) = pieces
            return self._made(views, NODE, one.value.width, make)

        def make_all(j: int, out: Tensor) -> None:
            start = 0
            for views, width, make in pieces:
                to = out[:, start : start + width]
                if j in views:
                    to.copy_(views[j])
                else:
                    make(j, to)
                start += width

        return self._made({}, NODE, one.value.width, make_all)

    def _pulled(self, piece: Pull) -> tuple[dict[int, Tensor], int, Callable[[int, Tensor], None]]:
        """What comes back as a view, for the levels where it does; and what makes it for the others.

        The last row of the memory is zero, for nodes without out-edges.
        """
        come = self.run.come_back(piece.memory, self.part, self.count)
        weight = None
        if piece.weight is not None:
            weight = self.run.come_back(piece.weight, self.part, self.count)
        outs = [level.out_targets if piece.is_of_targets else level.out for level in self.levels]
        width, views = come[0].shape[1], {}
        for j, (level, out) in enumerate(zip(self.levels, outs, strict=True)):
            if not level.has_out or self.run.is_last_round(self.part, j):
                views[j] = come[j][-1:].expand(level.num_nodes, width)
            elif out.start is not None and weight is None:
                views[j] = come[j][out.start : out.start + level.num_nodes]

        def make(j: int, to: Tensor) -> None:
            level, out = self.levels[j], outs[j]
            if weight is not None:
                share = weight[j].index_select(0, level.out.index).flatten()
                to.copy_(bag(come[j], out.index, level.out_first, share))
            elif out.is_one:
                torch.index_select(come[j], 0, out.one, out=to)
            else:
                to.copy_(bag(come[j], out.index, level.out_first))

        return views, width, make

    def _to_edges(self, one: Instruction) -> tuple[Tensors, Step | None]:
        rows, is_flat = self.wide(one.operands[0]), one.out[1]
        views = {}
        for j, level in enumerate(self.levels):
            if level.degree == 1:
                views[j] = rows[j]
            elif level.degree is not None and not is_flat:
                views[j] = rows[j].unsqueeze(1)

        def make(j: int, out: Tensor) -> None:
            torch.index_select(rows[j], 0, self.levels[j].target, out=out)

        return self._made(views, EDGE, one.value.width, make)

    def _is_slotted(self, level: Level, value: Value) -> bool:
        return value.field == "slot" and level.in_slots and level.degree == value.count

    def _from_index(self, one: Instruction) -> tuple[Tensors, Step | None]:
        value, is_flat = one.value, one.out[1]
        rows = self.operand(one.operands[0])
        views = {}
        for j, level in enumerate(self.levels):
            if self._is_slotted(level, value) and not is_flat:
                views[j] = rows[j] if value.count == 1 else rows[j].unflatten(1, (value.count, value.width))

        def make(j: int, out: Tensor) -> None:
            flat = rows[j].reshape(-1, value.width)
            torch.index_select(flat, 0, self.levels[j].index(value.field, value.count), out=out)

        return self._made(views, EDGE, value.width, make)

    def _by_index(self, one: Instruction) -> tuple[Tensors, Step | None]:
        value, rows = one.value, self.wide(one.operands[0])
        views = {
            j: rows[j].view(level.num_nodes, -1)
            for j, level in enumerate(self.levels)
            if self._is_slotted(level, value) and rows[j].is_contiguous()
        }

        def make(j: int, out: Tensor) -> None:
            level = self.levels[j]
            flat = rows[j].new_zeros(level.num_nodes * value.count, rows[j].shape[1])
            flat.index_add_(0, level.index(value.field, value.count), rows[j])
            out.copy_(flat.view(level.num_nodes, -1))

        return self._made(views, NODE, value.width, make)

    def _reversed_columns(self, one: Instruction) -> tuple[Tensors, Step | None]:
        """Columns that are read backwards."""
        (operand,) = one.operands
        last = operand.column + (operand.width - 1) * operand.step
        rows = self.operand(operand._replace(column=last, step=-operand.step))

        def make(j: int, out: Tensor) -> None:
            out.copy_(rows[j].flip(-1))

        return self._made({}, one.rows, operand.width, make)


_READ: dict[str, Callable[[Reader, Instruction], tuple[Tensors, Step | None]]] = {
    "load": Reader._load,
    "previous": Reader._previous,
    "gather": Reader._gather,
    "gather_sum": Reader._gather_sum,
    "segment_sum": Reader._segment_sum,
    "pull": Reader._pull,
    "to_edges": Reader._to_edges,
    "from_index": Reader._from_index,
    "by_index": Reader._by_index,
    "columns": Reader._reversed_columns,
}


def bag(rows: Tensor, index: Tensor, first: Tensor, weight: Tensor | None = None) -> Tensor:
    """`[n, w]`: the sums of rows[index[first[i] : first[i + 1]]], times a weight of each index."""
    if len(index) > len(rows):
        rows = rows.contiguous()
    return torch.embedding_bag(rows, index, first, False, 0, False, weight)[0]

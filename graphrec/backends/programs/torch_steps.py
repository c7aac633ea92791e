"""Instructions bound to a run: the tensors of every level are cut out at once, so that a level is a few calls of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...program.symbols import EDGE, NODE
from ...program.values import Value
from .levels import Level
from .torch_operations import ELEMENTWISE, OVER_COLUMNS, WITH_NUMBER
from .torch_program import AFTER, BEFORE, Gradient, Instruction, Operand, Pull, Read, Span, TorchPart

if TYPE_CHECKING:
    from .torch_executor import TorchExecution

Tensors = list[Tensor]  # one for each level
Step = Callable[[int], Any]


class PartRun:
    """A part within a run.

    Args:
        run: the run.
        code: the part.
        levels, numbers: its levels, and which of the schedule's they are; None: rows that are no level's.
        whole: all of its nodes.
        given: memory that this part alone reads.
    """

    def __init__(
        self,
        run: TorchExecution,
        code: TorchPart,
        levels: list[Level],
        numbers: list[int] | None,
        whole: Level,
        given: dict[str, Tensor] | None = None,
    ) -> None:
        self.run, self.code, self.given = run, code, given
        self.levels, self.numbers, self.whole = levels, numbers, whole
        self.kept: dict[int, Tensor] = {}
        self.is_repeated = run.program.is_sync and numbers is not None

    def bind(self, phase: int) -> Bound:
        """The instructions of a phase."""
        return Bound(self, phase)

    def keep(self, number: int) -> Tensor:
        """The rows of all levels of a buffer."""
        if number not in self.kept:
            buffer, whole = self.code.buffers[number], self.whole
            rows = whole.num_edges if buffer.rows == EDGE else whole.num_nodes
            if self.is_repeated and BEFORE not in buffer.phases:
                rows *= len(self.levels)
            self.kept[number] = self.run.like.new_empty(rows, buffer.width)
        return self.kept[number]


class Bound:
    """A phase of a part, ready to be run: `steps` are called with the number of the level among the part's own.

    Args:
        part: of which.
        phase: which.
    """

    def __init__(self, part: PartRun, phase: int) -> None:
        self.part, self.run, self.phase = part, part.run, phase
        self.is_whole = phase in (BEFORE, AFTER)
        self.levels = [part.whole] if self.is_whole else part.levels
        self.count = len(self.levels)
        self.is_grouped = any(level.degree not in (None, 1) for level in self.levels)
        self.reads: dict[Any, Tensors] = {}
        self._spans: dict[Span, Tensors] = {}
        self._slots: dict[int, Tensor] = {}
        self.moves: list[tuple[Tensor, Tensor, Tensor]] = []
        self.steps: list[Step] = [
            step for one in part.code.phases[phase] if (step := self._bind(one)) is not None
        ]
        if phase == part.code.last:
            self.steps += [self._gradient(one) for one in part.code.gradients]

    def run_all(self) -> None:
        """Every level."""
        for j in range(self.count):
            for step in self.steps:
                step(j)
        self.finish()

    def finish(self) -> None:
        """Move what was computed for rows that are not consecutive to where it belongs."""
        for memory, index, rows in self.moves:
            memory.index_copy_(0, index, rows)

    # -------------------------------------------------------------------------------------------- tensors

    def _rows(self, level: Level, rows: str) -> int:
        return level.num_edges if rows == EDGE else level.num_nodes

    def span(self, span: Span) -> Tensors:
        """Columns of a buffer."""
        if span not in self._spans:
            self._spans[span] = self._cut(span)
        return self._spans[span]

    def _cut(self, span: Span) -> Tensors:
        part, buffer = self.part, self.part.code.buffers[span.buffer]
        if buffer.name is not None:
            return self._stored(buffer.name, buffer.rows, span)
        sizes = [self._rows(level, buffer.rows) for level in self.levels]
        if len(buffer.phases) > 1:
            rows = columns(part.keep(span.buffer), span)
            if self.is_whole:
                return [rows]
            if part.is_repeated and BEFORE in buffer.phases:
                return [rows] * self.count
            return list(rows.split(sizes))
        if buffer.slot not in self._slots:
            self._slots[buffer.slot] = self.run.like.new_empty(max(sizes), buffer.width)
        return _heads(columns(self._slots[buffer.slot], span), sizes)

    def _stored(self, name: str, rows: str, span: Span) -> Tensors:
        """Memory that this part writes."""
        run, part = self.run, self.part
        if not self.is_whole or run.is_sync:
            return run.memory(name, rows, part, self.levels, span)
        memory, (level,) = columns(run.tensor(name), span), self.levels
        is_result = name.startswith("d.")
        index = level.edges if rows == EDGE else level.rows if run.is_of_states(name) else level.nodes
        if isinstance(index, slice):
            return [memory[index]]
        if not is_result:
            return [memory.index_select(0, index)]
        made = memory.new_empty(len(index), span.width)
        self.moves.append((memory, index, made))
        return [made]

    def operand(self, operand: Operand) -> Tensors:
        """What an instruction reads, of every level."""
        if isinstance(operand, Span):
            return self.span(operand)
        if isinstance(operand.key, Value):
            value = operand.key
            if value.op == "const":
                return [self.run.number(value.imm)] * self.count
            return [columns(self.run.captured[value.count], operand)] * self.count
        found = self.reads[operand.key]
        if operand.column == 0 and operand.step == 1 and operand.width == found[0].shape[-1]:
            return found
        return [columns(rows, operand) for rows in found]

    def grouped(self, tensors: Tensors, rows: str) -> Tensors:
        """Rows of edges as `[n, degree, w]`, where all nodes have equally many."""
        if rows != EDGE or not self.is_grouped:
            return tensors
        return [
            rows.unflatten(0, (level.num_nodes, level.degree))
            if level.degree not in (None, 1) and rows.dim() == 2
            else rows
            for rows, level in zip(tensors, self.levels, strict=True)
        ]

    # -------------------------------------------------------------------------------------------- instructions

    def _bind(self, one: Instruction) -> Step | None:
        if not isinstance(one.out, Span):
            self.reads[one.out], step = _READ[one.op](self, one)
            return step
        if one.op == "product":
            return self._product(one)
        if one.op in _INTO:
            return _INTO[one.op](self, one)
        out = self.span(one.out)
        operands = [self.operand(operand) for operand in one.operands]
        if one.op in OVER_COLUMNS:
            function, (x,), count = OVER_COLUMNS[one.op], operands, one.value.count
            return lambda j: function(x[j], count, out[j])
        out = self.grouped(out, one.rows)
        operands = [self.grouped(rows, one.rows) if rows[0].dim() > 1 else rows for rows in operands]
        if operands and all(rows[0].dim() < 2 for rows in operands):  # of the cell's own alone
            operands[0] = [rows.expand(to.shape) for rows, to in zip(operands[0], out, strict=True)]
        return _call(one, operands, out)

    def _product(self, one: Instruction) -> Step:
        out, (a,) = self.span(one.out), [self.operand(operand) for operand in one.operands]
        weight = one.weight.of(self.run.captured)
        if one.bias is None:
            return lambda j: torch.mm(a[j], weight, out=out[j])
        bias = self.operand(one.bias)
        return lambda j: torch.addmm(bias[j], a[j], weight, out=out[j])

    def _gradient(self, one: Gradient) -> Step:
        g, to = self.operand(one.g), one.of.of(self.run.gradients_of(one.of.captured))
        if one.a is None:
            return lambda j: to.add_(g[j].sum(0))
        a = self.operand(one.a)
        return lambda j: to.addmm_(a[j].t(), g[j])

    # -------------------------------------------------------------------------------------------- reading

    def _fresh(self, jobs: dict[int, int], width: int) -> dict[int, Tensor]:
        """Memory for the levels that need some: as many rows for each as said."""
        if not jobs:
            return {}
        rows = self.run.like.new_empty(max(jobs.values()), width)
        return dict(zip(jobs, _heads(rows, list(jobs.values())), strict=True))

    def _made(
        self, views: dict[int, Tensor], rows: str, width: int, make: Callable[[int, Tensor], Any]
    ) -> tuple[Tensors, Step | None]:
        """Views where there are any; where there are none, `make(level, out)` is called."""
        jobs = {j: self._rows(level, rows) for j, level in enumerate(self.levels) if j not in views}
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

    def _sources(self, one: Instruction, field: str) -> Tensors:
        """The rows of memory that edges lead from."""
        return self.run.sent(field, self.part, self.count)

    def _previous(self, one: Instruction) -> tuple[Tensors, None]:
        sent = self._sources(one, one.value.field)
        return [rows[level.nodes] for rows, level in zip(sent, self.levels, strict=True)], None

    def _gather(self, one: Instruction) -> tuple[Tensors, Step | None]:
        sent = self._sources(one, one.value.field)
        return self._gathered(sent)

    def _gathered(self, sent: Tensors) -> tuple[Tensors, Step | None]:
        levels = self.levels
        views = {
            j: sent[j][level.source_start : level.source_start + level.num_edges]
            for j, level in enumerate(levels)
            if level.source_start is not None
        }

        def make(j: int, out: Tensor) -> None:
            torch.index_select(sent[j], 0, levels[j].source, out=out)

        return self._made(views, EDGE, sent[0].shape[1], make)

    def _gather_sum(self, one: Instruction) -> tuple[Tensors, Step | None]:
        """The sums of what sources send, without a row for each edge where possible."""
        (operand,) = one.operands
        sent = [columns(rows, operand) for rows in self._sources(one, operand.key.field)]
        gathered, gather = self._gathered(sent)
        return self._summed(gathered, gather, sent)

    def _segment_sum(self, one: Instruction) -> tuple[Tensors, Step | None]:
        return self._summed(self.operand(one.operands[0]))

    def _summed(
        self, rows: Tensors, gather: Step | None = None, sent: Tensors | None = None
    ) -> tuple[Tensors, Step | None]:
        views = {j: rows[j] for j, level in enumerate(self.levels) if level.degree == 1}
        groups = self.grouped(rows, EDGE)

        def make(j: int, out: Tensor) -> None:
            level = self.levels[j]
            if level.degree is None and sent is not None:
                out.copy_(_bag(sent[j], level.source, level.first))
                return
            if gather is not None:
                gather(j)
            self._sum(level, rows[j], groups[j], out)

        tensors, step = self._made(views, NODE, rows[0].shape[-1], make)
        if views and gather is not None:
            return tensors, lambda j: gather(j) if j in views else step(j)
        return tensors, step

    def _sum(self, level: Level, rows: Tensor, group: Tensor, out: Tensor) -> None:
        if level.degree == 1:
            out.copy_(rows)
        elif level.degree == 2:
            torch.add(group[:, 0], group[:, 1], out=out)
        elif level.degree is not None:
            torch.sum(group, 1, out=out)
        else:
            out.copy_(_bag(rows, level.in_order(), level.first))

    def _pull(self, one: Instruction) -> tuple[Tensors, Step | None]:
        """The sums over out-edges of what has come back along them."""
        pieces = [self._pulled(piece) for piece in self.run.prepared.pulls[one.value.field]]
        if len(pieces) == 1:
            ((views, _, make),) = pieces
            return self._made(views, NODE, one.value.width, make)

        def make_all(j: int, out: Tensor) -> None:
            start = 0
            for views, width, make in pieces:
                columns_of_it = out[:, start : start + width]
                if j in views:
                    columns_of_it.copy_(views[j])
                else:
                    make(j, columns_of_it)
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
            if not len(out.index) or self.run.is_last_round(self.part, j):
                views[j] = come[j][-1:].expand(level.num_nodes, width)
            elif out.start is not None and weight is None:
                views[j] = come[j][out.start : out.start + level.num_nodes]

        def make(j: int, to: Tensor) -> None:
            level, out = self.levels[j], outs[j]
            if weight is not None:
                share = weight[j].index_select(0, level.out.index).flatten()
                to.copy_(_bag(come[j], out.index, level.out_first, share))
            elif out.one is not None:
                torch.index_select(come[j], 0, out.one, out=to)
            else:
                to.copy_(_bag(come[j], out.index, level.out_first))

        return views, width, make

    def _to_edges(self, one: Instruction) -> tuple[Tensors, Step | None]:
        rows, (_, is_flat) = self.operand(one.operands[0]), one.out
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
        value, (_, is_flat) = one.value, one.out
        rows = self.operand(one.operands[0])
        views = {}
        for j, level in enumerate(self.levels):
            if self._is_slotted(level, value) and not is_flat:
                views[j] = rows[j] if value.count == 1 else rows[j].unflatten(1, (value.count, value.width))

        def make(j: int, out: Tensor) -> None:
            flat = rows[j].reshape(-1, value.width)
            torch.index_select(
                flat, 0, self.levels[j].index(self.run.plan, value.field, value.count), out=out
            )

        return self._made(views, EDGE, value.width, make)

    def _by_index(self, one: Instruction) -> tuple[Tensors, Step | None]:
        value, rows = one.value, self.operand(one.operands[0])
        views = {
            j: rows[j].view(level.num_nodes, -1)
            for j, level in enumerate(self.levels)
            if self._is_slotted(level, value) and rows[j].is_contiguous()
        }

        def make(j: int, out: Tensor) -> None:
            level = self.levels[j]
            flat = rows[j].new_zeros(level.num_nodes * value.count, rows[j].shape[1])
            flat.index_add_(0, level.index(self.run.plan, value.field, value.count), rows[j])
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

    # -------------------------------------------------------------------------------------------- between nodes and edges

    def _into(self, one: Instruction) -> Step:
        """What is computed where it is wanted, of operations that might be views."""
        out = self.span(one.out)
        made, step = {"segment_sum": Bound._segment_sum, "by_index": Bound._by_index}[one.op](self, one)

        def run(j: int) -> None:
            if step is not None:
                step(j)
            out[j].copy_(made[j])

        return run

    def _sum_into(self, one: Instruction) -> Step:
        out, rows = self.span(one.out), self.operand(one.operands[0])
        groups = self.grouped(rows, EDGE)
        return lambda j: self._sum(self.levels[j], rows[j], groups[j], out[j])

    def _weighted(self, one: Instruction) -> Step:
        """The sums of what sources send, times a factor for each edge."""
        gathered, factor = one.operands
        out, weight = self.span(one.out), self.operand(factor)
        sent = [columns(rows, gathered) for rows in self._sources(one, gathered.key.field)]

        def run(j: int) -> None:
            level = self.levels[j]
            share = weight[j].reshape(-1)
            out[j].copy_(_bag(sent[j], level.source, level.first, share))

        return run

    def _max_into(self, one: Instruction) -> Step:
        out, rows = self.span(one.out), self.operand(one.operands[0])
        groups = self.grouped(rows, EDGE)

        def run(j: int) -> None:
            level = self.levels[j]
            if level.degree == 1:
                out[j].copy_(rows[j])
            elif level.degree:
                torch.amax(groups[j], 1, out=out[j])
            else:
                out[j].fill_(-torch.inf)
                out[j].scatter_reduce_(0, level.target.unsqueeze(1).expand_as(rows[j]), rows[j], "amax")

        return run


_READ: dict[str, Callable[[Bound, Instruction], tuple[Tensors, Step | None]]] = {
    "load": Bound._load,
    "previous": Bound._previous,
    "gather": Bound._gather,
    "gather_sum": Bound._gather_sum,
    "segment_sum": Bound._segment_sum,
    "pull": Bound._pull,
    "to_edges": Bound._to_edges,
    "from_index": Bound._from_index,
    "by_index": Bound._by_index,
    "columns": Bound._reversed_columns,
}
_INTO: dict[str, Callable[[Bound, Instruction], Step]] = {
    "segment_sum": Bound._sum_into,
    "segment_max": Bound._max_into,
    "gather_sum": Bound._weighted,
    "by_index": Bound._into,
}


def _call(one: Instruction, operands: list[Tensors], out: Tensors) -> Step:
    if one.op in WITH_NUMBER:
        function, (x,), imm = WITH_NUMBER[one.op], operands, one.value.imm
        return lambda j: function(x[j], imm, out=out[j])
    function = ELEMENTWISE[one.op]
    if len(operands) == 1:
        (x,) = operands
        return lambda j: function(x[j], out=out[j])
    if len(operands) == 2:
        x, y = operands
        return lambda j: function(x[j], y[j], out=out[j])
    return lambda j: function(*(rows[j] for rows in operands), out=out[j])


def _bag(rows: Tensor, index: Tensor, first: Tensor, weight: Tensor | None = None) -> Tensor:
    """`[n, w]`: the sums of rows[index[first[i] : first[i + 1]]], times a weight of each index."""
    if len(index) > len(rows):
        rows = rows.contiguous()
    return torch.embedding_bag(rows, index, first, False, 0, False, weight)[0]


def columns(rows: Tensor, at: Span | Read) -> Tensor:
    """Some columns of rows."""
    if at.step == 0:
        return rows[..., at.column : at.column + 1]
    if at.step == 1 and at.width == rows.shape[-1]:
        return rows
    return rows[..., at.column : at.column + (at.width - 1) * at.step + 1 : at.step]


def _heads(rows: Tensor, sizes: list[int]) -> Tensors:
    """The first rows, as many as each size says."""
    views = {size: rows[:size] for size in set(sizes)}
    return [views[size] for size in sizes]

"""Instructions bound to the tensors of a run: each becomes one call of torch in every level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...program.symbols import EDGE
from .torch_instructions import Gradient, Instruction, Operand, Span
from .torch_operations import ELEMENTWISE, OVER_COLUMNS, WITH_NUMBER
from .torch_reads import Reader, Step, bag
from .torch_rows import PartRun, Tensors, columns


class Bound(Reader):
    """A phase of a part, ready to be run: `steps` are called with the number of the level among the part's own.

    Args:
        part: of which.
        phase: which.
    """

    def __init__(self, part: PartRun, phase: int) -> None:
        super().__init__(part, phase)
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
        for memory, index, rows in self.moves.values():
            memory.index_copy_(0, index, rows)

    def _bind(self, one: Instruction) -> Step | None:
        if not isinstance(one.out, Span):
            return self.read(one)
        if one.op == "product":
            return self._product(one)
        if one.op in _INTO:
            return _INTO[one.op](self, one)
        out = self.span(one.out)
        operands = [self.operand(operand) for operand in one.operands]
        if one.op in OVER_COLUMNS:
            function, count, x = OVER_COLUMNS[one.op], one.value.count, self.wide(one.operands[0])
            return lambda j: function(x[j], count, out[j])
        out = self.grouped(out, one.rows)
        operands = [self.grouped(rows, one.rows) if rows[0].dim() > 1 else rows for rows in operands]
        if operands and not any(_is_full(operand, one.out) for operand in one.operands):
            # (Nothing is broadcast to a wider result: it would be given another shape.)
            operands[0] = [rows.expand(to.shape) for rows, to in zip(operands[0], out, strict=True)]
        return _call(one, operands, out)

    def _product(self, one: Instruction) -> Step:
        out, (a,) = self.span(one.out), [self.wide(operand) for operand in one.operands]
        assert one.weight is not None
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

    def _index_into(self, one: Instruction) -> Step:
        """The rows of edges by slot or relation, where they are wanted."""
        out = self.span(one.out)
        made, step = self._by_index(one)

        def run(j: int) -> None:
            if step is not None:
                step(j)
            out[j].copy_(made[j])

        return run

    def _sum_into(self, one: Instruction) -> Step:
        out, rows = self.span(one.out), self.wide(one.operands[0])
        groups = self.grouped(rows, EDGE)
        return lambda j: self.sum_edges(self.levels[j], rows[j], groups[j], out[j])

    def _weighted(self, one: Instruction) -> Step:
        """The sums of what sources send, times a factor for each edge."""
        gathered: Any = one.operands[0]
        factor = one.operands[1]
        out, weight = self.span(one.out), self.operand(factor)
        sent = [columns(rows, gathered) for rows in self.sources(gathered.key.field)]

        def run(j: int) -> None:
            level = self.levels[j]
            share = weight[j].reshape(-1)
            out[j].copy_(bag(sent[j], level.source, level.first, share))

        return run

    def _max_into(self, one: Instruction) -> Step:
        out, rows = self.span(one.out), self.wide(one.operands[0])
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


_INTO: dict[str, Callable[[Bound, Instruction], Step]] = {
    "segment_sum": Bound._sum_into,
    "segment_max": Bound._max_into,
    "gather_sum": Bound._weighted,
    "by_index": Bound._index_into,
}


def _is_full(operand: Operand, out: Span) -> bool:
    """Whether an operand surely has all rows and columns of the result."""
    return isinstance(operand, Span) and (operand.step != 0 or out.width == 1)


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

"""The tensors of a run as its levels see them: columns of buffers and of memory, cut out for all levels at once."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...program.codes import Value
from ...program.symbols import EDGE
from .levels import Level
from .torch_instructions import AFTER, BEFORE, Operand, Read, Span, TorchPart

Tensors = list[Tensor]  # one for each level


class PartRun:
    """A part within a run.

    Args:
        run: the run.
        code: the part.
        levels, numbers: its levels, and which of the schedule's they are; None: rows that are no level's.
        whole: all of its nodes.
        given: memory that this part alone reads.
    """

    run: Any
    code: TorchPart
    given: dict[str, Tensor] | None
    levels: list[Level]
    numbers: list[int] | None
    whole: Level

    def __init__(
        self,
        run: Any,
        code: TorchPart,
        levels: list[Level],
        numbers: list[int] | None,
        whole: Level,
        given: dict[str, Tensor] | None = None,
    ) -> None:
        self.run, self.code, self.given = run, code, given
        self.levels, self.numbers, self.whole = levels, numbers, whole
        self.kept: dict[int, Tensor] = {}
        self.is_repeated: Any | bool = run.program.is_sync and numbers is not None

    def keep(self, number: int) -> Tensor:
        """The rows of all levels of a buffer."""
        if number not in self.kept:
            buffer, whole = self.code.buffers[number], self.whole
            rows = whole.num_edges if buffer.rows == EDGE else whole.num_nodes
            if self.is_repeated and BEFORE not in buffer.phases:
                rows *= len(self.levels)
            self.kept[number] = self.run.like.new_empty(rows, buffer.width)
        return self.kept[number]


class LevelRows:
    """The rows of a phase.

    Args:
        part: whose phase.
        phase: which.

    Attributes:
        levels: its levels; before the first and after the last of them all nodes are one.
        reads: what the phase has read, by key.
        moves: memory by name, the numbers of its rows, and what is to be put there.
    """

    part: PartRun
    run: Any
    phase: int

    def __init__(self, part: PartRun, phase: int) -> None:
        self.part, self.run, self.phase = part, part.run, phase
        self.is_whole: bool = phase in (BEFORE, AFTER)
        self.levels: list[Level] = [part.whole] if self.is_whole else part.levels
        self.count: int = len(self.levels)
        self.is_grouped: bool = any(level.degree not in (None, 1) for level in self.levels)
        self.reads: dict[Any, Tensors] = {}
        self.moves: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        self._spans: dict[Span, Tensors] = {}
        self._slots: dict[int, Tensor] = {}
        self._sizes: dict[str, list[int]] = {}
        self._groups: dict[
            int, tuple[Tensors, Tensors]
        ] = {}  # by the identity of the first, which is kept with it

    def sizes(self, rows: str) -> list[int]:
        """The numbers of nodes or edges of all levels."""
        if rows not in self._sizes:
            self._sizes[rows] = [self.num_rows(level, rows) for level in self.levels]
        return self._sizes[rows]

    def num_rows(self, level: Level, rows: str) -> int:
        """Of nodes or of edges."""
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
        sizes = self.sizes(buffer.rows)
        if len(buffer.phases) > 1:
            rows = columns(part.keep(span.buffer), span)
            if self.is_whole:
                return [rows]
            if part.is_repeated and BEFORE in buffer.phases:
                return [rows] * self.count
            return list(rows.split_with_sizes(sizes))
        if buffer.slot not in self._slots:
            self._slots[buffer.slot] = self.run.like.new_empty(max(sizes), buffer.width)
        return heads(columns(self._slots[buffer.slot], span), sizes)

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
        if (
            name not in self.moves
        ):  # (One for all its columns: what is written by some may be read by others.)
            whole = run.tensor(name)
            self.moves[name] = (whole, index, whole.new_empty(len(index), whole.shape[1]))
        return [columns(self.moves[name][2], span)]

    def operand(self, operand: Operand) -> Tensors:
        """What an instruction reads, of every level."""
        if isinstance(operand, Span):
            return self.span(operand)
        if isinstance(operand.key, Value):
            value: Any = operand.key
            if value.op == "const":
                return [self.run.number(value.imm)] * self.count
            return [columns(self.run.captured[value.count], operand)] * self.count
        found = self.reads[operand.key]
        if operand.column == 0 and operand.step == 1 and operand.width == found[0].shape[-1]:
            return found
        return [columns(rows, operand) for rows in found]

    def wide(self, operand: Operand) -> Tensors:
        """The same with as many columns as it says, where one column stands for all of them."""
        return widened(self.operand(operand), operand)

    def grouped(self, tensors: Tensors, rows: str) -> Tensors:
        """Rows of edges as `[n, degree, w]`, where all nodes have equally many."""
        if rows != EDGE or not self.is_grouped:
            return tensors
        if id(tensors) not in self._groups:
            made = [_group(rows, level) for rows, level in zip(tensors, self.levels, strict=True)]
            self._groups[id(tensors)] = (tensors, made)
        return self._groups[id(tensors)][1]


def _group(rows: Tensor, level: Level) -> Tensor:
    if level.degree is None or level.degree == 1 or rows.dim() != 2:
        return rows
    return rows.view(level.num_nodes, level.degree, rows.shape[1])


def columns(rows: Tensor, at: Span | Read) -> Tensor:
    """Some columns of rows."""
    if at.step == 0:
        return rows[..., at.column : at.column + 1]
    if at.step == 1 and at.width == rows.shape[-1]:
        return rows
    return rows[..., at.column : at.column + (at.width - 1) * at.step + 1 : at.step]


def widened(found: Tensors, operand: Operand) -> Tensors:
    """One column as several."""
    if operand.step != 0 or operand.width == 1:
        return found
    return [rows.expand(*rows.shape[:-1], operand.width) for rows in found]


def heads(rows: Tensor, sizes: list[int]) -> Tensors:
    """The first rows, as many as each size says."""
    views = {size: rows[:size] for size in set(sizes)}
    return [views[size] for size in sizes]

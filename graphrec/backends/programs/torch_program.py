"""A cell's programs prepared for the executor in PyTorch: where values lie, and the instructions that compute them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...program.codes import Codes, Ref, Value
from ...program.compile import VIEWS, CellProgram, Part
from ...program.symbols import EDGE, NODE
from .torch_instructions import (
    AFTER,
    BEFORE,
    FORWARD,
    REVERSE,
    Block,
    Buffer,
    Gradient,
    Instruction,
    Operand,
    Read,
    Span,
    TorchPart,
)
from .torch_joining import merged, merged_sums, share_buffers
from .torch_pulls import Pull, find_pulls
from .torch_timing import Timing

# What needs its operands edge by edge; others take those of a node's edges as `[n, degree, w]`.
_FLAT = frozenset(
    ("segment_sum", "segment_max", "by_index", "sum_each", "sum_all", "repeat_each", "repeat_all", "columns")
)
# Where results may not overwrite an operand.
_APART = _FLAT | {"product", "beside"}


@dataclass
class TorchProgram:
    """A cell's programs, prepared.

    Attributes:
        program: what they were made of.
        parts, boundary, project: the same, as instructions.
        pulls: how the memory `edge.*` comes back.
        widths, edge_rows: as in the program, with the memory of pulls.
    """

    program: CellProgram
    pulls: dict[str, list[Pull]]
    widths: dict[str, int]
    edge_rows: set[str]
    parts: dict[Any, TorchPart] = field(default_factory=dict)
    boundary: TorchPart = field(init=False)
    project: TorchPart | None = None


def prepare(program: CellProgram) -> TorchProgram:
    """Instructions for all of a cell's programs."""
    made = TorchProgram(program, find_pulls(program), dict(program.widths), set(program.edge_rows))
    for pieces in made.pulls.values():
        for piece in pieces:
            made.widths[piece.memory] = len(piece.codes)
            if not piece.is_of_targets:
                made.edge_rows.add(piece.memory)
            if piece.weight is not None:
                made.widths[piece.weight] = 1
                made.edge_rows.add(piece.weight)
    made.parts = {sort: _Compiler(made, part).prepared() for sort, part in program.parts.items()}
    if program.project is not None:
        made.project = _Compiler(made, program.project).prepared()
    made.boundary = _Compiler(made, program.boundary).prepared()
    return made


class _Compiler:
    def __init__(self, prepared: TorchProgram, part: Part) -> None:
        self.program, self.part, self.b = prepared.program, part, part.b
        self.widths, self.edge_rows = prepared.widths, prepared.edge_rows
        self.timing = Timing(part, prepared.pulls, self.program.is_sync)
        self.buffers: list[Buffer] = []
        self.home: dict[int, Span] = {}
        self.beside: dict[
            tuple[str, bytes], int
        ] = {}  # buffers of codes that lie side by side, by their rows
        self.filled: set[tuple[str, bytes]] = set()
        self.memory: dict[str, int] = {}
        self.code: list[list[Instruction]] = [[], [], [], []]
        self.read: set[Any] = set()  # the keys of what the phase has read
        self.gradients: list[Gradient] = []

    def prepared(self) -> TorchPart:
        """The instructions."""
        timing = self.timing
        self._place()
        for phase, values in enumerate(timing.order):
            self.phase, self.read = phase, set()
            for value in values:
                self._compute(value)
            for name, codes in timing.stores[phase].items():
                self._store("copy", name, codes)
            if phase == timing.last:
                self._end()
        code = [merged(of, self.buffers) for of in self.code]
        made = TorchPart(self.part, code, self.buffers, merged_sums(self.gradients), timing.last)
        share_buffers(made)
        return made

    def _end(self) -> None:
        for name, codes in self.part.reverse_adds.items():
            self._store("accumulate", name, codes)
        for of, a, g, rows in self.timing.summed:
            if a is not None:
                self.gradients.append(
                    Gradient(self._block(of), self._together(a, rows), self._together(g, rows))
                )
                continue
            ((_, _, (ref,)),) = self.b.runs(of)
            assert ref is not None
            block = Block(ref.value.count, (ref.width,), (ref.step,), ref.column)
            self.gradients.append(Gradient(block, None, self._together(g, rows)))

    def _block(self, weight: Codes) -> Block:
        column = weight & 0xFFFFFFFF
        first = int(column[0, 0])
        down = int(column[1, 0]) - first if len(column) > 1 else 1
        across = int(column[0, 1]) - first if column.shape[1] > 1 else 1
        return Block(self.b.value(weight.flat[0]).count, weight.shape, (down, across), first)

    # -------------------------------------------------------------------------------------------- homes

    def _place(self) -> None:
        for phase in (FORWARD, REVERSE, AFTER):
            for name, codes in self.timing.stores[phase].items():
                rows = EDGE if name in self.edge_rows else NODE
                buffer = self._memory(name)
                for start, _, (ref,) in self.b.runs(codes):
                    if (
                        ref is not None
                        and self._may_live(ref, rows)
                        and self.timing.when[ref.value.number] == phase
                    ):
                        self.home[ref.value.number] = Span(buffer, start, 1, ref.width)
        wanted = [
            (codes, rows, self.timing.last)
            for _, a, g, rows in self.timing.summed
            for codes in (a, g)
            if codes is not None
        ]
        for phase, values in enumerate(self.timing.order):
            for value in values:
                wanted += [(of, value.rows or NODE, phase) for of in (value.a, value.bias) if of is not None]
        for codes, rows, phase in sorted(wanted, key=lambda one: -len(one[0])):
            self._make_beside(codes, rows, phase)

    def _memory(self, name: str) -> int:
        if name not in self.memory:
            rows = EDGE if name in self.edge_rows else NODE
            self.memory[name] = self._new(self.widths[name], rows, name)
        return self.memory[name]

    def _new(self, width: int, rows: str, name: str | None = None) -> int:
        self.buffers.append(Buffer(name, width, rows))
        return len(self.buffers) - 1

    def _may_live(self, ref: Ref, rows: str) -> bool:
        value = ref.value
        return (
            ref.is_whole
            and value.rows == rows
            and not self.timing.is_read(value)
            and value.op != "beside"
            and value.number not in self.home
            and value.number not in self.timing.inside
        )

    def _make_beside(self, codes: Codes, rows: str, phase: int) -> None:
        pieces = [(start, ref) for start, _, (ref,) in self.b.runs(codes)]
        key = (rows, codes.tobytes())
        if key in self.beside or self._consecutive(pieces) is not None:
            return
        if len(pieces) == 1 and pieces[0][1] is not None and self._is_matrix(pieces[0][1], rows):
            return
        buffer = self.beside[key] = self._new(len(codes), rows)
        for start, ref in pieces:
            if ref is not None and self._may_live(ref, rows):
                # In rounds, what is computed before them is the same for all.
                when = self.timing.when[ref.value.number]
                if when == phase or not (self.program.is_sync and BEFORE in (when, phase)):
                    self.home[ref.value.number] = Span(buffer, start, 1, ref.width)

    def _is_matrix(self, ref: Ref, rows: str) -> bool:
        """Whether these columns can be an operand of a product where they are."""
        return ref.value.rows == rows and (ref.step == 1 or ref.width == 1)

    def _consecutive(self, pieces: list[tuple[int, Ref | None]]) -> Span | None:
        first: Span | None = None
        for start, ref in pieces:
            at = None if ref is None else self.home.get(ref.value.number)
            if at is None or ref is None or (ref.step != 1 and ref.width > 1):
                return None
            at = Span(at.buffer, at.column + ref.column, 1, 0)
            if first is None:
                first = at
            elif at != first._replace(column=first.column + start):
                return None
        if first is None or pieces[-1][1] is None:
            return None
        return first._replace(width=pieces[-1][0] + pieces[-1][1].width)

    def _together(self, codes: Codes, rows: str) -> Operand:
        """Codes side by side, as an operand of a product."""
        pieces = [(start, ref) for start, _, (ref,) in self.b.runs(codes)]
        found = self._consecutive(pieces)
        if found is not None:
            return found
        key = (rows, codes.tobytes())
        if key not in self.beside:
            ((_, ref),) = pieces
            assert ref is not None
            return self._operand(ref, flat=True)
        span = Span(self.beside[key], 0, 1, len(codes))
        if key not in self.filled:
            self.filled.add(key)
            self._copies("copy", span.buffer, codes, rows)
        return span

    def _copies(self, op: str, buffer: int, codes: Codes, rows: str) -> None:
        for start, stop, (ref,) in self.b.runs(codes):
            to = Span(buffer, start, 1, stop - start)
            if ref is None:
                if op == "copy":
                    self._emit(Instruction("zero", rows, to, []))
            elif self.home.get(ref.value.number) != to or not ref.is_whole:
                self._emit(Instruction(op, rows, to, [self._operand(ref)]))

    def _store(self, op: str, name: str, codes: Codes) -> None:
        rows = EDGE if name in self.edge_rows else NODE
        self._copies(op, self._memory(name), codes, rows)

    # -------------------------------------------------------------------------------------------- instructions

    def _emit(self, instruction: Instruction) -> None:
        self.code[self.phase].append(instruction)

    def _operand(self, ref: Ref, flat: bool = False) -> Operand:
        """Columns of a value, which is read now if it is of those that are read."""
        value, flat = ref.value, flat or ref.step < 0
        if value.op in ("captured", "const"):
            return Read(value, ref.column, ref.step, ref.width)
        if value.op == "beside":
            assert value.a is not None
            whole = self._together(value.a, value.rows or NODE)
            found = whole._replace(
                column=whole.column + ref.column * whole.step, step=ref.step, width=ref.width
            )
        elif self.timing.is_read(value):
            found = Read(self._reading(value, flat), ref.column, ref.step, ref.width)
        else:
            at = self.home[value.number]
            found = Span(at.buffer, at.column + ref.column, ref.step, ref.width)
        if ref.step >= 0:
            return found
        key = ("columns", ref.key, flat)
        if key not in self.read:
            self.read.add(key)
            self._emit(Instruction("columns", value.rows or NODE, key, [found]))
        return Read(key, 0, 1, ref.width)

    def _reading(self, value: Value, flat: bool) -> Any:
        flat = flat and value.op in VIEWS
        key = (value.number, flat)
        if key in self.read:
            return key
        op = value.op
        operands: list[Operand] = []
        if op == "segment_sum" and (value.args[0].value.number, False) not in self.read:
            op = "gather_sum"
            operands.append(_gathered(*value.args))
        else:
            operands += [self._operand(ref, flat or op in _FLAT) for ref in value.args]
        self.read.add(key)
        self._emit(Instruction(op, value.rows or NODE, key, operands, value))
        return key

    def _compute(self, value: Value) -> None:
        rows = value.rows or NODE
        if value.number in self.timing.inside or value.op == "beside":
            return
        if value.number in self.timing.folded:
            self._multiply(value, *self.timing.folded[value.number])
        elif value.op == "product":
            self._multiply(value, value, None)
        elif value.number in self.timing.bags:
            weight, gathered = self.timing.bags[value.number]
            operands = [_gathered(gathered), self._operand(weight, flat=True)]  # (a row for each edge)
            self._emit(Instruction("gather_sum", rows, self._out(value, []), operands, value))
        else:
            operands = [self._operand(ref, value.op in _FLAT) for ref in value.args]
            out = self._out(value, [] if value.op in _APART else value.args)
            self._emit(Instruction(value.op, rows, out, operands, value))

    def _multiply(self, value: Value, product: Value, added: Ref | None) -> None:
        """A product, and what is added to it."""
        assert product.a is not None
        assert product.weight is not None
        rows, operands = value.rows or NODE, [self._together(product.a, product.rows or NODE)]
        bias = None
        if added is not None:
            bias = self._operand(added, flat=True)
        elif product.bias is not None:
            pieces = [ref for _, _, (ref,) in self.b.runs(product.bias)]
            if len(pieces) == 1 and pieces[0] is not None and pieces[0].value.op == "captured":
                bias = self._operand(pieces[0])
            else:
                bias = self._together(product.bias, rows)
        over = [] if added is None or added.value in self.part.values_in(product.a) else [added]
        out = self._out(value, over)
        self._emit(Instruction("product", rows, out, operands, product, self._block(product.weight), bias))

    def _out(self, value: Value, over: list[Ref]) -> Span:
        """Where a value goes: over an operand that nothing reads any more, if there is one."""
        if value.number not in self.home:
            dead = next((ref for ref in over if self._is_dead(ref, over, value)), None)
            if dead is None:
                self.home[value.number] = Span(self._new(value.width, value.rows or NODE), 0, 1, value.width)
            else:
                at = self.home[dead.value.number]
                self.home[value.number] = Span(at.buffer, at.column + dead.column, 1, value.width)
        return self.home[value.number]

    def _is_dead(self, ref: Ref, operands: list[Ref], after: Value) -> bool:
        of = ref.value
        at = self.home.get(of.number)
        if at is None or self.buffers[at.buffer].name is not None or of.rows != after.rows:
            return False
        if at.buffer in self.beside.values() or ref.width != after.width or (ref.step != 1 and ref.width > 1):
            return False
        phases = (self.timing.when[of.number], self.timing.when[after.number])
        # (Rounds share what is before them, and a reverse may run twice.)
        if phases[0] != phases[1] and (self.program.is_sync or phases != (BEFORE, FORWARD)):
            return False
        if any(one.key != ref.key and one.value is of and _overlap(one, ref) for one in operands):
            return False
        here = (self.timing.when[after.number], after.number)
        return all(key <= here or not _overlap(ref, other) for key, other in self.timing.uses[of.number])


def _gathered(ref: Ref) -> Read:
    return Read(ref.value, ref.column, ref.step, ref.width)


def _overlap(one: Ref, other: Ref) -> bool:
    def ends(ref: Ref) -> tuple[int, int]:
        last = ref.column + (ref.width - 1) * ref.step
        return min(ref.column, last), max(ref.column, last)

    (a, b), (c, d) = ends(one), ends(other)
    return a <= d and c <= b

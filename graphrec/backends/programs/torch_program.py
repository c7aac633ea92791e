"""A part of a program prepared for the executor in PyTorch: when each value is computed, and where it lies.

What no edge has a say in is computed for all nodes at once before the first level, and what no level waits for (the
gradients of weights and of x) after the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ...program.compile import LOADS, VIEWS, CellProgram, Part
from ...program.symbols import EDGE, NODE
from ...program.values import ZERO, Codes, Ref, Value

BEFORE, FORWARD, REVERSE, AFTER = range(4)
# What reads memory, or reads others in another way: done again in every phase, never kept.
_READS = LOADS | VIEWS | {"pull"}
# What needs its operands edge by edge; others take those of a node's edges as `[n, degree, w]`.
_FLAT = frozenset(
    ("segment_sum", "segment_max", "by_index", "sum_each", "sum_all", "repeat_each", "repeat_all", "columns")
)
# Where results may not overwrite an operand.
_APART = _FLAT | {"product", "beside"}


class Span(NamedTuple):
    """Columns of a buffer."""

    buffer: int
    column: int
    step: int
    width: int


class Read(NamedTuple):
    """Columns of what a phase reads, by its key; of a captured tensor or a number, by its value."""

    key: Any
    column: int
    step: int
    width: int


Operand = Span | Read


@dataclass
class Buffer:
    """Rows of one sort of nodes, or of their edges.

    Attributes:
        name: of the memory that it is, or None.
        width, rows: its shape.
        phases: in which it is used: in more than one of them, it is kept for all levels.
        uses: the first and the last instruction that uses it.
        slot: of what serves one level at a time: which memory it shares with others.
    """

    name: str | None
    width: int
    rows: str
    phases: set[int] = field(default_factory=set)
    uses: tuple[int, int] = (-1, -1)
    slot: int = -1


class Block(NamedTuple):
    """A matrix within a captured tensor: which one, the shape, the strides, and where it begins.

    A row of numbers is one, too.
    """

    captured: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    def of(self, tensors: list[Tensor]) -> Tensor:
        """The view."""
        flat = tensors[self.captured]
        return flat.as_strided(self.shape, self.stride, flat.storage_offset() + self.offset)


class Instruction(NamedTuple):
    """One operation for each level.

    Attributes:
        op: of the value; copy, accumulate, or gather_sum.
        rows: of the result.
        out: where it goes; a key: what is read.
        operands: what it reads.
        value: what else it must know.
        weight, bias: of products.
    """

    op: str
    rows: str
    out: Span | Any
    operands: list[Operand]
    value: Value | None = None
    weight: Block | None = None
    bias: Operand | None = None


class Gradient(NamedTuple):
    """Of a block of a captured tensor, aᵀ g, or (without a) of a row of its numbers, the sum of g."""

    of: Block
    a: Operand | None
    g: Operand


@dataclass
class TorchPart:
    """A part as instructions.

    Attributes:
        part: what it was.
        phases: the instructions of each.
        buffers: all of them.
        gradients: what is summed over rows.
        last: the phase at the end of which it is.
    """

    part: Part
    phases: list[list[Instruction]]
    buffers: list[Buffer]
    gradients: list[Gradient]
    last: int


class Pull(NamedTuple):
    """How some columns come back along edges.

    Attributes:
        start: the first of the columns.
        memory: where they are: a row for each edge, or one for each target, which all of its edges bring back.
        is_of_targets: which.
        weight: the memory of the factor of each edge, or None.
        codes, factor: what is stored there.
    """

    start: int
    memory: str
    is_of_targets: bool
    weight: str | None
    codes: Codes
    factor: Codes | None


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
    made = TorchProgram(program, _pulls(program), dict(program.widths), set(program.edge_rows))
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


def _pulls(program: CellProgram) -> dict[str, list[Pull]]:
    """What all edges of a target bring back alike is read straight from it."""
    with_edges = [part for sort, part in program.parts.items() if sort[1]]
    names = [name for name in program.widths if name.startswith("edge.")]
    if len(with_edges) != 1:
        return {name: [Pull(0, name, False, None, np.zeros(program.widths[name]), None)] for name in names}
    (part,) = with_edges
    return {
        name: [
            _pull(part, f"{name}:{start}", codes[start:stop], start, ref)
            for start, stop, (ref,) in part.b.runs(codes)
        ]
        for name, codes in part.reverse_stores.items()
        if name in names
    }


def _pull(part: Part, memory: str, codes: Codes, start: int, ref: Ref | None) -> Pull:
    weight = None
    if ref is not None and ref.value.op == "mul" and ref.is_whole:
        for one, other in (ref.value.args, ref.value.args[::-1]):
            is_factor = other.step == 0 and other.value.rows == EDGE and other.value.number < part.split
            if one.value.op == "to_edges" and is_factor:
                ref, weight = one, other.codes[:1]
                break
    if ref is None or ref.value.op != "to_edges" or ref.step != 1 or ref.value.args[0].step != 1:
        return Pull(start, memory, False, None, codes, None)
    (of,) = ref.value.args
    of = Ref(of.value, of.column + ref.column, 1, ref.width)
    return Pull(start, memory, True, None if weight is None else f"factor.{memory}", of.codes, weight)


class _Compiler:
    def __init__(self, prepared: TorchProgram, part: Part) -> None:
        self.program, self.part, self.b = prepared.program, part, part.b
        self.widths, self.edge_rows = prepared.widths, prepared.edge_rows
        self.buffers: list[Buffer] = []
        self.home: dict[int, Span] = {}
        self.beside: dict[bytes, int] = {}  # buffers of codes that lie side by side
        self.filled: set[bytes] = set()
        self.memory: dict[str, int] = {}
        self.code: list[list[Instruction]] = [[], [], [], []]
        self.read: set[Any] = set()  # the keys of what the phase has read
        self.gradients: list[Gradient] = []
        # In rounds every level is the whole: what comes after it is done at once.
        self.last = REVERSE if self.program.is_sync else AFTER
        self.stores: list[dict[str, Codes]] = [{}, dict(part.stores), {}, {}]
        for name, codes in part.reverse_stores.items():
            if name.startswith("edge."):
                for piece in prepared.pulls[name]:
                    is_apart = piece.memory != name
                    self.stores[REVERSE][piece.memory] = piece.codes if is_apart else codes
                    if piece.weight is not None and piece.factor is not None:
                        self.stores[FORWARD][piece.weight] = piece.factor
            else:
                self.stores[REVERSE if name.startswith("back.") else self.last][name] = codes
        self.summed = [(w.weight, w.a, w.g, w.rows) for w in part.weights]
        for one in part.sums:
            for start, stop, _ in part.b.runs(one.of):
                self.summed.append((one.of[start:stop], None, one.g[start:stop], one.rows))
        self._find_phases()
        self._fold_sums()
        self._find_uses()

    def prepared(self) -> TorchPart:
        self._place()
        for phase, values in enumerate(self.order):
            self.phase, self.read = phase, set()
            for value in values:
                self._compute(value)
            for name, codes in self.stores[phase].items():
                self._store("copy", name, codes)
            if phase == self.last:
                self._end()
        code = [_merged(of) for of in self.code]
        self._share(code)
        return TorchPart(self.part, code, self.buffers, self.gradients, self.last)

    def _end(self) -> None:
        for name, codes in self.part.reverse_adds.items():
            self._store("accumulate", name, codes)
        for of, a, g, rows in self.summed:
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

    def _share(self, code: list[list[Instruction]]) -> None:
        """Buffers of one phase share memory if one is used no more when the other begins."""
        for phase, instructions in enumerate(code):
            reads: dict[Any, list[Any]] = {}  # what lies behind each key

            def note(operand: Any, number: int, phase: int = phase, reads: Any = reads) -> None:
                if isinstance(operand, Span):
                    buffer = self.buffers[operand.buffer]
                    buffer.phases.add(phase)
                    buffer.uses = (number if buffer.uses[0] < 0 else buffer.uses[0], number)
                elif isinstance(operand, Read):
                    for one in reads.get(operand.key, ()):
                        note(one, number)

            for number, one in enumerate(instructions):
                for operand in (one.out, one.bias, *one.operands):
                    note(operand, number)
                if not isinstance(one.out, Span):
                    reads[one.out] = list(one.operands)
            if phase == self.last:
                for gradient in self.gradients:
                    note(gradient.a, len(instructions))
                    note(gradient.g, len(instructions))
        free: list[tuple[int, tuple[Any, ...], int]] = []  # until when, what, and the number
        count = 0
        for buffer in sorted(self.buffers, key=lambda buffer: buffer.uses[0]):
            if buffer.name is None and len(buffer.phases) == 1:
                kind = (*buffer.phases, buffer.rows, buffer.width)
                slot = next((one for one in free if one[1] == kind and one[0] < buffer.uses[0]), None)
                if slot is None:
                    slot, count = (0, kind, count), count + 1
                else:
                    free.remove(slot)
                buffer.slot = slot[2]
                free.append((buffer.uses[1], kind, buffer.slot))

    # -------------------------------------------------------------------------------------------- phases

    def is_read(self, value: Value) -> bool:
        """Whether it is read again in every phase: also the sum of what sources send."""
        if value.op in ("segment_sum", "by_index"):
            return value.args[0].value.op == "gather"
        return value.op in _READS

    def _find_phases(self) -> None:
        part, is_hoisted = self.part, self.b.has_edges
        forward = part.needed(self._roots(part.stores.values()))
        self.when: dict[int, int] = {}
        waits: set[int] = set()
        for value in forward:
            if value.op in ("gather", "previous") or any(v.number in waits for v in part.operands(value)):
                waits.add(value.number)
            is_early = is_hoisted and value.number not in waits
            self.when[value.number] = BEFORE if is_early else FORWARD
        in_loop = part.needed(self._roots(self.stores[REVERSE].values()), lambda v: v.number in self.when)
        for value in in_loop:
            self.when.setdefault(value.number, REVERSE)
        codes = [*self.stores[self.last].values(), *part.reverse_adds.values()]
        codes += [side for _, a, g, _ in self.summed for side in (a, g) if side is not None]
        for value in part.needed(self._roots(codes), lambda v: v.number in self.when):
            self.when.setdefault(value.number, self.last)
        self.order: list[list[Value]] = [[], [], [], []]
        for number in sorted(self.when):
            value = self.b.values[number]
            if not self.is_read(value):
                self.order[self.when[number]].append(value)

    def _roots(self, codes: Any) -> list[Value]:
        return [value for of in codes for value in self.part.values_in(of)]

    def _fold_sums(self) -> None:
        """A product to which something is added, and which is read by nothing else, begins with that."""
        readers: dict[int, list[Value]] = {}
        direct = {v.number for of in self._all_codes() for v in self.part.values_in(of)}
        for number in self.when:
            for operand in self.part.operands(self.b.values[number]):
                readers.setdefault(operand.number, []).append(self.b.values[number])
        self.folded: dict[int, tuple[Value, Ref]] = {}  # the sum: its product, and what is added
        for number, when in self.when.items():
            value = self.b.values[number]
            if value.op != "add":
                continue
            for ref, other in sorted(zip(value.args, value.args[::-1], strict=True), key=_by_number):
                product = ref.value
                if (
                    product.op == "product"
                    and product.bias is None
                    and ref.is_whole
                    and readers[product.number] == [value]
                    and product.number not in direct
                    and self.when[product.number] == when
                    and other.step == 1
                    and other.value.rows in (None, value.rows)
                    and other.value.op != "const"
                ):
                    self.folded[number] = (product, other)
                    break
        self.inside = {product.number: number for number, (product, _) in self.folded.items()}
        self._find_bags(readers, direct)

    def _find_bags(self, readers: dict[int, list[Value]], direct: set[int]) -> None:
        """Sums of what sources send, with a factor for each edge, need no row for each of them."""
        self.bags: dict[int, tuple[Ref, Ref]] = {}
        for number, when in self.when.items():
            value = self.b.values[number]
            if value.op != "segment_sum" or not value.args[0].is_whole:
                continue
            scaled = value.args[0].value
            if scaled.op != "mul" or readers[scaled.number] != [value] or scaled.number in direct:
                continue
            for weight, gathered in (scaled.args, scaled.args[::-1]):
                if gathered.value.op == "gather" and gathered.step == 1 and weight.step == 0:
                    if weight.value.rows == EDGE and self.when[scaled.number] == when:
                        self.bags[number] = (weight, gathered)
                        self.inside[scaled.number] = number

    def _all_codes(self) -> Iterator[Codes]:
        for stores in (*self.stores, self.part.reverse_adds):
            yield from stores.values()
        for _, a, g, _ in self.summed:
            yield from (g,) if a is None else (a, g)

    def _find_uses(self) -> None:
        """When the columns of each value are read last, through whatever reads it in another way."""
        self.uses: dict[int, list[tuple[tuple[int, float], Ref]]] = {}
        for phase, stores in enumerate((*self.stores, self.part.reverse_adds)):
            for codes in stores.values():
                self._use_codes(codes, (min(phase, self.last), float("inf")))
        for _, a, g, _ in self.summed:
            for codes in (a, g):
                if codes is not None:
                    self._use_codes(codes, (self.last, float("inf")))
        for number in sorted(self.when, reverse=True):
            value = self.b.values[number]
            when = self.inside.get(number, number)
            if self.is_read(value) or value.op == "beside":
                keys = [key for key, _ in self.uses.get(number, ())]
            else:
                keys = [(self.when[when], when)]
            for key in keys:
                for ref in value.args:
                    self.uses.setdefault(ref.value.number, []).append((key, ref))
                for codes in (value.a, value.bias):
                    if codes is not None:
                        self._use_codes(codes, key)

    def _use_codes(self, codes: Codes, key: tuple[int, float]) -> None:
        for _, _, (ref,) in self.b.runs(codes):
            if ref is not None:
                self.uses.setdefault(ref.value.number, []).append((key, ref))

    # -------------------------------------------------------------------------------------------- homes

    def _place(self) -> None:
        for phase in (FORWARD, REVERSE, AFTER):
            for name, codes in self.stores[phase].items():
                rows = EDGE if name in self.edge_rows else NODE
                buffer = self._memory(name)
                for start, _, (ref,) in self.b.runs(codes):
                    if ref is not None and self._may_live(ref, rows) and self.when[ref.value.number] == phase:
                        self.home[ref.value.number] = Span(buffer, start, 1, ref.width)
        wanted = [
            (codes, rows, self.last) for _, a, g, rows in self.summed for codes in (a, g) if codes is not None
        ]
        for phase, values in enumerate(self.order):
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
            and not self.is_read(value)
            and value.op != "beside"
            and value.number not in self.home
            and value.number not in self.inside
        )

    def _make_beside(self, codes: Codes, rows: str, phase: int) -> None:
        pieces = [(start, ref) for start, _, (ref,) in self.b.runs(codes)]
        key = codes.tobytes()
        if key in self.beside or self._consecutive(pieces) is not None:
            return
        if len(pieces) == 1 and pieces[0][1] is not None and self._is_matrix(pieces[0][1], rows):
            return
        buffer = self.beside[key] = self._new(len(codes), rows)
        for start, ref in pieces:
            if ref is not None and self._may_live(ref, rows):
                # In rounds, what is computed before them is the same for all.
                when = self.when[ref.value.number]
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
        key = codes.tobytes()
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
        value = ref.value
        if value.op in ("captured", "const"):
            return Read(value, ref.column, ref.step, ref.width)
        if value.op == "beside":
            whole = self._together(value.a, value.rows or NODE)
            found = whole._replace(
                column=whole.column + ref.column * whole.step, step=ref.step, width=ref.width
            )
        elif self.is_read(value):
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
        if op == "segment_sum" and (value.args[0].value.number, False) not in self.read:
            op, operands = "gather_sum", [_gathered(*value.args)]
        else:
            operands = [self._operand(ref, flat or op in _FLAT) for ref in value.args]
        self.read.add(key)
        self._emit(Instruction(op, value.rows or NODE, key, operands, value))
        return key

    def _compute(self, value: Value) -> None:
        if value.number in self.inside or value.op == "beside":
            return
        rows = value.rows or NODE
        if value.number in self.bags:
            weight, gathered = self.bags[value.number]
            operands = [_gathered(gathered), self._operand(weight)]
            self._emit(Instruction("gather_sum", rows, self._out(value, []), operands, value))
            return
        product, added = self.folded.get(value.number, (None, None))
        if product is None and value.op == "product":
            product = value
        if product is None:
            operands = [self._operand(ref, value.op in _FLAT) for ref in value.args]
            out = self._out(value, [] if value.op in _APART else value.args)
            self._emit(Instruction(value.op, rows, out, operands, value))
            return
        operands = [self._together(product.a, rows)]
        bias = None
        if added is not None:
            bias = self._operand(added, flat=True)
        elif product.bias is not None:
            pieces = [ref for _, _, (ref,) in self.b.runs(product.bias)]
            if len(pieces) == 1 and pieces[0] is not None and pieces[0].value.op == "captured":
                bias = self._operand(pieces[0])
            else:
                bias = self._together(product.bias, rows)
        is_beside = added is not None and all(v is not added.value for v in self.part.values_in(product.a))
        out = self._out(value, [added] if added is not None and is_beside else [])
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
        phases = (self.when[of.number], self.when[after.number])
        # (Rounds share what is before them, and a reverse may run twice.)
        if phases[0] != phases[1] and (self.program.is_sync or phases != (BEFORE, FORWARD)):
            return False
        if any(one.key != ref.key and one.value is of and _overlap(one, ref) for one in operands):
            return False
        here = (self.when[after.number], after.number)
        return all(key <= here or not _overlap(ref, other) for key, other in self.uses[of.number])


def _by_number(pair: tuple[Ref, Ref]) -> int:
    return -pair[0].value.number


def _gathered(ref: Ref) -> Read:
    return Read(ref.value, ref.column, ref.step, ref.width)


def _overlap(one: Ref, other: Ref) -> bool:
    def ends(ref: Ref) -> tuple[int, int]:
        last = ref.column + (ref.width - 1) * ref.step
        return min(ref.column, last), max(ref.column, last)

    (a, b), (c, d) = ends(one), ends(other)
    return a <= d and c <= b


def _merged(code: list[Instruction]) -> list[Instruction]:
    """The same with neighbouring columns that undergo the same operation taken together."""
    return code

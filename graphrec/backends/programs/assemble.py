"""From values and their places to operations: what is done along edges, in slots, back along out-edges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...cprogram import SUM
from ...program.codes import ZERO, Codes, Ref, Value
from ...program.compile import LOADS, VIEWS, Part
from ...program.reverse import WeightGradient
from ...program.symbols import EDGE, NODE, NotRecordable
from .buffers import Buffers, Home
from .emission import Emission
from .operations import Operations
from .ordering import grouped
from .placement import Placement
from .units import OUT, Operand, Unit, Weights, sides_of

_UNARY_NAMES = {"relu": ("MAX_IMM", 0.0)}


class Assembler(Operations):
    """The instructions of one program of a part.

    Args:
        placement: of the part.
        direction: `"forward"` or `"reverse"`.
        weights: of all programs.
    """

    def __init__(self, placement: Placement, direction: str, weights: Weights) -> None:
        super().__init__(placement, direction)
        self.part: Part = placement.part
        self.buffers: Buffers = placement.buffers
        self.weights = weights
        self.values: list[Value] = [v for v in placement.values(direction) if v.number not in placement.alias]
        self.mine: set[int] = {v.number for v in self.values}
        self.uses: dict[int, int] = self._uses()

    def assemble(self) -> tuple[np.ndarray, np.ndarray]:
        """Instructions and micro-operations."""
        self._make_units()
        emission = Emission(self.p, self.direction, self.weights, self.units, self.makers, self._wanted)
        return emission.code(grouped(self.units))

    # -------------------------------------------------------------------------------------------- units

    def _uses(self) -> dict[int, int]:
        uses: dict[int, int] = defaultdict(int)
        for value in self.values:
            for ref in value.args:
                for _, _, piece in self.p.runs(ref.codes):
                    if piece is not None:
                        uses[piece.value.number] += 1
            for codes in (value.a, self._bias(value)):
                if codes is not None:
                    for v in self.part.values_in(self.p.resolved(codes)):
                        uses[v.number] += 2
        return uses

    def _bias(self, value: Value) -> Codes | None:
        return self.p.bias.get(value.number, value.bias)

    def _single(self, value: Value) -> bool:
        """Whether one operation alone reads a value, which needs no memory of its own."""
        return (
            self.uses[value.number] == 1
            and value.number in self.mine
            and value.number not in self.p.home
            and value.number not in self._wanted
        )

    def _make_units(self) -> None:
        p, part = self.p, self.part
        self._wanted = {
            ref.value.number for codes in self._ends() for _, _, ref in p.runs(codes) if ref is not None
        }
        folded = self._products_in_sums()
        self._begins = self._sums_that_begin()
        begun = {total.number for total, _ in self._begins.values()}
        for value in self.values:
            if value.op in LOADS or value.op in VIEWS or value.number in folded or value.number in begun:
                continue
            self._value(value, folded)
        for name, copy in p.copies[self.direction]:
            self._copy(name, copy)
        if self.direction == "reverse":
            for name, codes in part.reverse_adds.items():
                self._add_to(Home(p.memory(name), 0), codes, EDGE if name in p.program.edge_rows else NODE)
            for number, one in enumerate(part.sums):
                name = ("sum", p.sort, number)
                self._add_to(Home(self.buffers.number(name, len(one.of), SUM, None), 0), one.g, one.rows)
            for number, weight in enumerate(p.along):
                self._outer(("outer", p.sort, number), weight)
        self._find_dependencies()

    def _ends(self) -> Iterator[Codes]:
        """What is copied or added to memory in the end."""
        part = self.part
        if self.direction == "forward":
            yield from part.stores.values()
            return
        yield from (codes for _, codes in self.p.reverse_stores())
        yield from part.reverse_adds.values()
        yield from (one.g for one in part.sums)
        for weight in part.weights:
            yield from (weight.a, weight.g)

    def _products_in_sums(self) -> dict[int, Value]:
        """Products of two that only a sum reads, which computes them along."""
        found = {}
        for value in self.values:
            if value.op in ("segment_sum", "add", "sub"):
                order = (1,) if value.op == "sub" else (0,) if value.op == "segment_sum" else (0, 1)
                for place in order:
                    ref = value.args[place]
                    if ref.value.op == "mul" and ref.is_whole and self._single(ref.value):
                        found[ref.value.number] = value
                        if value.op == "segment_sum" and (scale := self._scale(ref.value)) is not None:
                            found[scale.value.number] = value
                        break
        return found

    def _sums_that_begin(self) -> dict[int, tuple[Value, Ref]]:
        """Of what comes back along out-edges and is only added to what is given: the total, which begins with that."""
        found = {}
        for total in self.values:
            if total.op != "add":
                continue
            for ref, other in (total.args, total.args[::-1]):
                is_alone = ref.value.op == "pull" and ref.is_whole and self._single(ref.value)
                if is_alone and other.value.op == "load" and other.step == 1:
                    found[ref.value.number] = (total, other)
                    break
        return found

    def _scale(self, product: Value) -> Ref | None:
        """Of a product of two, the one that repeats each of its numbers, if it is for this product alone."""
        for ref in product.args:
            if ref.value.op == "repeat_each" and ref.is_whole and self._single(ref.value):
                return ref
        return None

    def _value(self, value: Value, folded: dict[int, Value]) -> None:
        op, rows, width = value.op, value.rows or NODE, value.width
        if not width:
            return
        to = Operand(value, 0, self.p.home.get(value.number))
        if op == "product":
            self._product(value, to)
        elif op in ("segment_sum", "segment_max"):
            begin = -np.inf if op == "segment_max" else 0.0
            self._unit("SET", NODE, width, to, [], imm=begin, makes=value)
            (ref,) = value.args
            at_target = Operand(value, 0, to.home, ("target", 0))
            if folded.get(ref.value.number) is value:
                self._add_product(value, ref.value, at_target)
            else:
                name = "ACCUMULATE" if op == "segment_sum" else "ACCUMULATE_MAX"
                self._unit(name, EDGE, width, at_target, [self._operand(ref, EDGE)], makes=value)
        elif op == "by_index":
            self._unit("SET", NODE, width, to, [], makes=value)
            at_slot = Operand(value, 0, to.home, (f"target {value.field} {value.count}", value.count))
            (ref,) = value.args
            self._unit(
                "ACCUMULATE", EDGE, width // value.count, at_slot, [self._operand(ref, EDGE)], makes=value
            )
        elif op == "beside":
            self.makers[value.number] = []  # copied, or computed in place
        elif op == "pull":
            self._pull(value, to)
        elif op in ("sum_each", "sum_all"):
            (ref,) = value.args
            self._unit(
                op.upper(),
                rows,
                width * value.count,
                to,
                [self._operand(ref, rows)],
                k=value.count,
                makes=value,
            )
        elif op in ("repeat_each", "repeat_all"):
            (ref,) = value.args
            self._unit(op.upper(), rows, width, to, [self._operand(ref, rows)], k=value.count, makes=value)
        else:
            self._elementwise(value, rows, to, folded)

    def _add_product(self, value: Value, product: Value, to: Operand) -> None:
        """The sum of a product of two, of which one may be a few numbers that are repeated."""
        scale = self._scale(product)
        narrow, count = (None, 0) if scale is None else (scale.value.args[0], scale.value.count)
        if scale is None:
            scale = next((ref for ref in product.args if ref.step == 0 and ref.width > 1), None)
            if scale is not None:
                narrow, count = Ref(scale.value, scale.column, 1, 1), scale.width
        if scale is None or narrow is None or narrow.value.op == "const":
            self._unit("ACCUMULATE_PRODUCT", EDGE, value.width, to, self._reads(product, EDGE), makes=value)
            return
        other = product.args[1] if scale is product.args[0] else product.args[0]
        reads = [self._operand(narrow, EDGE), self._operand(other, EDGE)]
        self._unit("ACCUMULATE_SCALED", EDGE, value.width, to, reads, k=count, makes=value)

    def _elementwise(self, value: Value, rows: str, to: Operand, folded: dict[int, Value]) -> None:
        name, imm = _UNARY_NAMES.get(value.op, (value.op.upper(), value.imm or 0.0))
        for place, ref in enumerate(value.args):
            if folded.get(ref.value.number) is value:
                other = self._operand(value.args[1 - place], rows)
                factors = self._reads(ref.value, rows)
                name = "FNMA" if value.op == "sub" else "FMA"
                self._unit(name, rows, value.width, to, [*factors, other], makes=value)
                return
        self._unit(name, rows, value.width, to, self._reads(value, rows), imm=imm, makes=value)

    def _reads(self, value: Value, rows: str) -> list[Operand]:
        return [self._operand(ref, rows) for ref in value.args]

    def _product(self, value: Value, to: Operand) -> None:
        p = self.p
        if value.a is None or value.weight is None:
            raise NotRecordable("a product without operands")
        a = p.together(value.a, value.rows or NODE)
        unit = self._unit("PRODUCT", value.rows or NODE, value.width, to, [Operand(None, 0, a)], makes=value)
        unit.product, unit.together = value, (value.a,)
        bias = self._bias(value)
        if bias is not None:
            pieces = [(start, ref) for start, _, ref in p.runs(bias) if ref is not None]
            first, ref = pieces[0]
            if len(pieces) > 1 or ref.step != 1:
                raise NotRecordable("what is added to a product lies in several places")
            unit.bias = self._operand(ref, value.rows or NODE)
            unit.bias.column -= first
        unit.reads.extend([unit.bias] if unit.bias is not None else [])

    def _outer(self, name: Any, weight: WeightGradient) -> None:
        """The gradient of a weight, summed up in the sweep."""
        sides = sides_of(self.part.b, weight)
        reads = [Operand(None, 0, self.p.together(codes, weight.rows)) for codes in sides]
        to = Home(self.buffers.number(name, weight.weight.size, SUM, None), 0)
        unit = self._unit("OUTER", weight.rows, len(sides[1]), Operand(None, 0, to), reads)
        unit.together = sides

    def _pull(self, value: Value, to: Operand) -> None:
        field = value.field
        if value.number in self._begins:
            value, given = self._begins[value.number]
            to = Operand(value, 0, self.p.home.get(value.number))
            reads = [self._operand(given, NODE)]
            begin = self._unit("COPY", NODE, value.width, to, reads, makes=value)
        else:
            begin = self._unit("SET", NODE, value.width, to, [], makes=value)
        pieces = self.p.pulls.get(field)
        if pieces is None:
            memory = Home(self.p.memory(field), 0)
            at = Operand(value, 0, to.home, ("out node", 0))
            self._unit(
                "ACCUMULATE", OUT, value.width, at, [Operand(None, 0, memory, ("out edge", 0))], makes=value
            )
            return
        for piece in pieces:
            if not len(piece.at_target) or (piece.at_target == ZERO).all():
                continue
            at = Operand(value, piece.start, to.home, ("out node", 0))
            if piece.formula is not None:
                again = self._again(piece.formula, (field, piece.start), self.p.memory(piece.memory), begin)
                self._unit("ACCUMULATE", OUT, piece.stop - piece.start, at, [again], makes=value)
                continue
            index = {
                "edge": "out edge",
                "target": "out target",
                "slot": f"out {piece.numbered} {piece.parts}",
            }[piece.kind]
            memory = Home(self.p.memory(piece.memory), 0)
            reads = [Operand(None, 0, memory, (index, piece.parts))]
            name = "ACCUMULATE"
            if piece.factor is not None:
                factor = Operand(None, 0, self.p.factors[field, piece.start], ("out edge", 0))
                name = "ACCUMULATE_SCALED" if piece.repeat else "ACCUMULATE_PRODUCT"
                reads = [factor, *reads]
            self._unit(name, OUT, piece.stop - piece.start, at, reads, k=piece.repeat, makes=value)

    def _again(self, value: Value, piece: tuple[str, int], of_target: int, begin: Unit) -> Operand:
        """A value of rows of edges, computed again at their sources; see `Piece`. It is in registers, in one chain."""
        key = ("again", piece, value.number)
        if not self.makers.get(key):
            reads = []
            for ref in value.args:
                if ref.value.op == "to_edges":
                    reads.append(Operand(None, 0, Home(of_target, 0), ("out target", 0)))
                elif ref.value.op == "gather":
                    reads.append(Operand(None, 0, Home(self.p.load(ref.value), 0), ("out node", 0)))
                elif ref.value.op == "const":
                    reads.append(Operand(ref.value, 0, None))
                elif (*piece, ref.value.number) in self.p.factors:
                    reads.append(Operand(None, 0, self.p.factors[*piece, ref.value.number], ("out edge", 0)))
                else:
                    reads.append(self._again(ref.value, piece, of_target, begin))
            made = self._new(OUT, value.width, value.op)
            op, to = value.op.upper(), Operand(made, 0, None)
            unit = self._unit(op, OUT, value.width, to, reads, imm=value.imm or 0.0, makes=key)
            unit.after.add(begin)  # (so that what reads it follows at once)
            self.makers[made.number] = self.makers[key]
        return Operand(self.makers[key][0].to.value, 0, None)

    def _copy(self, name: Any, copy: Any) -> None:
        to = Operand(None, 0, copy.to)
        if copy.ref is None:
            self._unit("SET", copy.rows, copy.width, to, [], makes=name)
        else:
            self._unit("COPY", copy.rows, copy.width, to, [self._operand(copy.ref, copy.rows)], makes=name)

    def _add_to(self, home: Home, codes: Codes, rows: str) -> None:
        for start, stop, ref in self.p.runs(codes):
            if ref is not None:
                to = Operand(None, 0, Home(home.buffer, home.column + start))
                self._unit("ACCUMULATE", rows, stop - start, to, [self._operand(ref, rows)])

    def _find_dependencies(self) -> None:
        for unit in self.units:
            for operand in unit.reads:
                value = operand.value
                if value is not None:
                    unit.after.update(self.makers.get(value.number, ()))
                    if value.op == "beside":
                        unit.after.update(self._put_together(value.a, NODE))
            for codes in unit.together:
                unit.after.update(self._put_together(codes, unit.rows))
            if unit.op.startswith("ACCUMULATE") and unit.to.value is not None:  # after what it begins with
                begin = ("SET", "COPY")
                unit.after.update(one for one in self.makers[unit.to.value.number] if one.op in begin)
            unit.after.discard(unit)

    def _put_together(self, codes: Codes | None, rows: str) -> Iterator[Unit]:
        """What makes codes lie side by side."""
        assert codes is not None
        resolved = self.p.resolved(codes)
        for value in self.part.values_in(resolved):
            yield from self.makers.get(value.number, ())
        yield from self.makers.get((rows, resolved.tobytes()), ())

"""Where a part's values lie in memory: in what others read, side by side where a product wants them so, or kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...cprogram import GLOBAL, TILE_IN_EDGES, TILE_NODES
from ...program.codes import ZERO, Codes, Ref, Value
from ...program.compile import AGAIN, LOADS, VIEWS, CellProgram, Part
from ...program.reverse import WeightGradient
from ...program.symbols import EDGE, NODE
from .buffers import Buffers, Copy, Home, Indices
from .pulls import Piece, formula_of


class Placement:
    """The memory of a part.

    Args:
        program: of the cell.
        sort: names the part.
        part: its values.
        buffers, indices: of all programs.
        pulls, factors: see `pull_forms`, and where the factors of their pieces lie.
        along: the gradients of weights that the reverse sums up, those of others being summed up after it.
    """

    program: CellProgram
    sort: Any
    part: Part
    buffers: Buffers
    pulls: dict[str, list[Piece]]

    def __init__(
        self,
        program: CellProgram,
        sort: Any,
        part: Part,
        buffers: Buffers,
        indices: Indices,
        pulls: dict[str, list[Piece]],
        factors: dict[Any, Home],
        along: list[WeightGradient],
    ) -> None:
        self.along = along
        self.later: list[WeightGradient] = [
            weight for weight in part.weights if not any(weight is one for one in along)
        ]
        self.factors = factors
        self.indices = indices
        self.program, self.sort, self.part, self.buffers, self.pulls = program, sort, part, buffers, pulls
        self.alias: dict[int, Codes] = {}  # sums that a product computes along
        self.bias: dict[int, Codes] = {}
        self.home: dict[int, Home] = {}
        self.partly: dict[
            int, Home
        ] = {}  # for the reverse, of values that the forward program does not keep whole
        self.beside: dict[tuple[str, bytes], Home] = {}  # of codes that lie side by side, by their rows
        self.copies: dict[str, list[tuple[Any, Copy]]] = {"forward": [], "reverse": []}
        self._fold_sums()
        self._place()

    # -------------------------------------------------------------------------------------------- sums in products

    @property
    def forward_roots(self) -> list[Value]:
        """What the forward program must compute."""
        part = self.part
        return [*(v for codes in part.stores.values() for v in part.values_in(codes)), *part.kept]

    @property
    def reverse_roots(self) -> list[Value]:
        """What the reverse program must compute."""
        part = self.part
        codes = [
            *(codes for _, codes in self.reverse_stores()),
            *part.reverse_adds.values(),
            *(one.g for one in part.sums),
        ]
        codes += [side for weight in part.weights for side in (weight.a, weight.g)]
        return [
            v
            for codes in codes
            for v in part.values_in(codes)
            if v.number >= part.split or v.op in VIEWS | AGAIN
        ]

    def values(self, direction: str) -> list[Value]:
        """The values that a program computes, in order, with the views it reads them by."""
        part = self.part
        if direction == "forward":
            return part.needed(self.forward_roots)
        found = part.needed(self.reverse_roots, lambda value: value.number < part.split)
        return [v for v in found if v.number >= part.split or v.op in VIEWS | AGAIN]

    def find_factors(self) -> None:
        """Where what is pulled finds what this part has kept for its edges."""
        for name in self.part.reverse_stores:
            for piece in self.pulls.get(name, ()):
                if piece.factor is not None:
                    self.factors[name, piece.start] = self._kept_at(piece.factor)
                if piece.formula is not None:
                    for ref in formula_of(piece.formula, self.part.split)[1]:
                        if ref.value.op not in ("to_edges", "gather", "const"):
                            self.factors[name, piece.start, ref.value.number] = self._kept_at(ref)

    def _kept_at(self, piece: Ref) -> Home:
        ((_, _, ref),) = self.runs(piece.codes)
        at = None if ref is None else self._location(ref)
        assert at is not None
        spec = self.buffers.specs[at.buffer]
        if self.program.is_sync and isinstance(spec.name, tuple):  # of the round that has come back
            return Home(self.buffers.number(("next", *spec.name), spec.width, GLOBAL, spec.rows), at.column)
        return at

    def _fold_sums(self) -> None:
        """Where all that is done to a product is to add other columns to it, it begins with these."""
        part = self.part
        values = {v.number: v for d in ("forward", "reverse") for v in self.values(d)}
        readers: dict[int, list[tuple[Value, int]]] = {}
        direct = {v.number for codes in self._stored() for v in part.values_in(codes)}
        for value in values.values():
            for place, ref in enumerate(value.args):
                readers.setdefault(ref.value.number, []).append((value, place))
            for codes in (value.a, value.bias):
                if codes is not None:
                    direct.update(v.number for v in part.values_in(codes))
        for number in sorted(values, reverse=True):
            product = values[number]
            if product.op != "product" or product.bias is not None or number in direct or number in self.bias:
                continue
            uses = readers.get(number, [])
            if uses and all(value.op == "add" and value.number not in self.alias for value, _ in uses):
                self._fold(product, uses)

    def _fold(self, product: Value, uses: list[tuple[Value, int]]) -> None:
        bias = product.codes * 0 + ZERO
        for value, place in uses:
            ref, other = value.args[place], value.args[1 - place]
            if ref.step != 1 or other.value is product or other.step != 1 or other.value.number in self.alias:
                return
            if other.value.op in ("const", "gather", *VIEWS) or other.value.rows not in (None, product.rows):
                return
            if (
                other.value.number > product.number
                or (bias[ref.column : ref.column + ref.width] != ZERO).any()
            ):
                return
            is_of_both = other.value.op == "load" or other.value.rows is None
            if not is_of_both and (other.value.number < self.part.split) != (
                product.number < self.part.split
            ):
                return
            bias[ref.column : ref.column + ref.width] = other.codes
        there = (bias != ZERO).nonzero()[0]
        pieces = [refs[0] for _, _, refs in self.part.b.runs(bias[there])]
        is_gapless = there[-1] - there[0] + 1 == len(there)
        if not is_gapless or len(pieces) != 1 or pieces[0] is None or pieces[0].step != 1:
            return  # (a step of 0: additions of single columns have one column for all)
        self.bias[product.number] = bias
        for value, place in uses:
            self.alias[value.number] = value.args[place].codes

    def _stored(self) -> Iterator[Codes]:
        part = self.part
        yield from (*part.stores.values(), *part.reverse_adds.values())
        yield from (codes for _, codes in self.reverse_stores())
        for weight in part.weights:
            yield from (weight.a, weight.g)
        for one in part.sums:
            yield one.g

    def runs(self, codes: Codes) -> Iterator[tuple[int, int, Ref | None]]:
        """The pieces of codes, with sums that products compute replaced by these."""
        for start, stop, (ref,) in self.part.b.runs(self.resolved(codes)):
            yield start, stop, ref

    def resolved(self, codes: Codes) -> Codes:
        """Codes of values that are computed."""
        if not self.alias:
            return codes
        made = codes.copy()
        for number in set(((codes[codes != ZERO] >> 32) & 0xFFFFFFF).tolist()) & self.alias.keys():
            mine = (codes != ZERO) & (((codes >> 32) & 0xFFFFFFF) == number)
            made[mine] = self.alias[number][codes[mine] & 0xFFFFFFFF]
        return made

    # -------------------------------------------------------------------------------------------- homes

    def _place(self) -> None:
        part = self.part
        forward, reverse = self.values("forward"), self.values("reverse")
        kept = {v.number for v in part.kept}
        self.kept: set[int] = {
            ref.value.number for v in part.kept for _, _, ref in self.runs(v.codes) if ref is not None
        } | kept
        # What gradients of weights sum up, after the sweep: it must not lie in a tile.
        self.summed: set[int] = {
            ref.value.number
            for weight in self.later
            for codes in (weight.a, weight.g)
            for _, _, ref in self.runs(codes)
            if ref is not None
        }
        for name, codes in part.stores.items():
            self._fill(self.memory(name), codes, "forward", name)
        for name, codes in self.reverse_stores():
            self._fill(self.memory(name, stored=True), codes, "reverse", name)
        wanted: list[tuple[Codes, str, bool]] = []
        for weights, is_later in ((self.later, True), (self.along, False)):
            sides = [(side, one.rows) for one in weights for side in (one.a, one.g)]
            wanted += [(side, rows, is_later or not self._is_of_reverse(side)) for side, rows in sides]
        for value in (*forward, *reverse):
            if value.op == "product":
                wanted.append((value.a, value.rows or NODE, False))
            elif value.op == "beside":
                wanted.append((value.a, NODE, False))
        for codes, rows, is_global in sorted(wanted, key=lambda one: (-len(one[0]), not one[2])):
            self._together(codes, rows, is_global)
        for number in sorted(self.kept):
            value = part.b.values[number]
            if number not in self.home and number not in self.alias and value.op not in LOADS:
                self._keep(value)

    def _keep(self, value: Value) -> None:
        rows, (low, high) = value.rows or NODE, self._columns_kept(value)
        buffer = self.buffers.number(("keep", self.sort, value.number), high - low, GLOBAL, rows)
        if high - low == value.width:
            self.home[value.number] = Home(buffer, 0)
            return
        self.partly[value.number] = Home(buffer, -low)
        copy = Copy(Home(buffer, 0), Ref(value, low, 1, high - low), high - low, rows)
        self.copies["forward"].append((("keep", value.number), copy))

    def _columns_kept(self, value: Value) -> tuple[int, int]:
        """Of a product for several gates, what the reverse reads.

        In rounds alone: elsewhere the gradients of gates take the place of what is kept.
        """
        whole = 0, value.width
        if not self.program.is_sync or value.op != "product" or value.rows == EDGE:
            return whole
        low, high = value.width, 0
        side_by_side = [*self.part.reverse_adds.values(), *(one.g for one in self.part.sums)]
        side_by_side += [codes for _, codes in self.reverse_stores()]
        side_by_side += [codes for one in self.part.weights for codes in (one.a, one.g)]
        for reader in self.values("reverse"):
            side_by_side += [codes for codes in (reader.a, reader.bias) if codes is not None]
            for arg in reader.args:
                for _, _, ref in self.runs(arg.codes):
                    if ref is not None and ref.value is value:
                        low, high = (
                            min(low, ref.column),
                            max(high, ref.column + (ref.width - 1) * ref.step + 1),
                        )
        others = {v.number for codes in side_by_side for v in self.part.values_in(self.resolved(codes))}
        return whole if value.number in others or low >= high else (low, high)

    def reverse_stores(self) -> Iterator[tuple[str, Codes]]:
        """What the reverse program writes for others, in the form in which they read it."""
        seen: set[str] = set()
        for name, codes in self.part.reverse_stores.items():
            form = self.pulls.get(name)
            if form is None:
                yield name, codes
                continue
            for piece in form:
                if piece.memory not in seen:
                    seen.add(piece.memory)
                    yield piece.memory, piece.at_target

    def memory(self, name: str, stored: bool = False) -> int:
        """The buffer of memory that has a name; what rounds store in reverse is for the round before."""
        is_before = stored and self.program.is_sync and name.startswith(("back.", "edge."))
        key = ("before", name) if is_before else name
        for pieces in self.pulls.values():
            for piece in pieces:
                if piece.memory == name:
                    rows = EDGE if piece.kind == "edge" else NODE
                    return self.buffers.number(key, len(piece.at_target), GLOBAL, rows)
        rows = EDGE if name in self.program.edge_rows else NODE
        return self.buffers.number(key, self.program.widths[name], GLOBAL, rows)

    def _fill(self, buffer: int, codes: Codes, direction: str, name: Any) -> None:
        rows = self.buffers.specs[buffer].rows or NODE
        for start, stop, ref in self.runs(codes):
            to = Home(buffer, start)
            if ref is not None and self._may_live(ref, rows, direction):
                self.home[ref.value.number] = to
            elif ref is not None and self._location(ref) == to:
                continue
            else:
                self.copies[direction].append((name, Copy(to, ref, stop - start, rows)))

    def _may_live(self, ref: Ref, rows: str, direction: str) -> bool:
        value = ref.value
        return (
            ref.is_whole
            and value.op not in LOADS
            and value.op not in VIEWS
            and value.op not in AGAIN
            and value.op != "beside"
            and value.number not in self.home
            and value.rows == rows
            and (value.number >= self.part.split) == (direction == "reverse")
        )

    def _location(self, ref: Ref) -> Home | None:
        """Where a piece lies, if it lies in memory with its own rows."""
        value = ref.value
        if ref.step != 1 and ref.width > 1:
            return None
        if value.number in self.home:
            at = self.home[value.number]
            return Home(at.buffer, at.column + ref.column)
        if value.op in ("load", "previous"):
            return Home(self.load(value), ref.column)
        return None

    def load(self, value: Value) -> int:
        """The buffer that a load reads."""
        name = value.field
        is_before = self.program.is_sync and value.op in ("gather", "previous")
        key = ("before", name) if is_before else name
        rows = EDGE if name in self.program.edge_rows and value.op == "load" else NODE
        return self.buffers.number(key, self.program.widths[name], GLOBAL, rows)

    def captured(self, number: int) -> int:
        """The buffer of a captured tensor."""
        return self.buffers.number(("captured", number), self.part.b.captured[number].width, GLOBAL, None)

    def together(self, codes: Codes, rows: str) -> Home:
        """Where codes lie side by side; numbers alone may be wanted for nodes and for edges."""
        resolved = self.resolved(codes)
        found = self.beside.get((rows, resolved.tobytes()))
        if found is None:
            found = self._consecutive(resolved)
        assert found is not None
        return found

    def _consecutive(self, codes: Codes) -> Home | None:
        first: Home | None = None
        for start, _, ref in self.runs(codes):
            at = None if ref is None else self._location(ref)
            if at is None:
                return None
            if first is None:
                first = at
            elif at != Home(first.buffer, first.column + start):
                return None
        return first

    def _is_of_reverse(self, codes: Codes) -> bool:
        """Whether what lies side by side is put together by the reverse."""
        return any(ref is not None and ref.value.number >= self.part.split for _, _, ref in self.runs(codes))

    def _together(self, codes: Codes, rows: str, is_global: bool) -> None:
        resolved = self.resolved(codes)
        key = (rows, resolved.tobytes())
        if key in self.beside or self._consecutive(resolved) is not None:
            return
        pieces = [ref for _, _, ref in self.runs(resolved) if ref is not None]
        is_reverse = self._is_of_reverse(resolved)
        is_kept = is_global or any(ref.value.number in self.kept | self.summed for ref in pieces)
        place = GLOBAL if is_kept else TILE_IN_EDGES if rows == EDGE else TILE_NODES
        name = ("beside", self.sort, len(self.beside))
        buffer = self.buffers.number(name, len(codes), place, rows)
        self.beside[key] = Home(buffer, 0)
        direction = "reverse" if is_reverse else "forward"
        self._fill(buffer, resolved, direction, key)

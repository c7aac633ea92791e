"""When each value of a part is computed: before the levels, in them, or after; and which are computed together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...program.codes import Codes, Ref, Value
from ...program.compile import LOADS, VIEWS, Part
from ...program.symbols import EDGE
from ...program.values import Builder
from .torch_instructions import AFTER, BEFORE, FORWARD, REVERSE
from .torch_pulls import Pull

# What reads memory, or reads others in another way: done again in every phase, never kept.
_READS = LOADS | VIEWS | {"pull"}


class Timing:
    """The values of a part by phase.

    What no edge has a say in is computed for all nodes at once before the first level, and what no level waits for (the
    gradients of weights and of x) after the last one. In rounds every level is the whole: what comes after it is done
    at once.

    Args:
        part: the part.
        pulls: how the memory `edge.*` comes back.
        is_sync: the mode.

    Attributes:
        stores: for each phase the codes that are stored at its end, by the memory's name.
        summed: the gradients of captured tensors: of which codes, a (or None), g, and their rows.
        when: the phase of each value, by number.
        order: for each phase what is computed in it.
        last: the last phase.
        folded: of some sums the product that begins with what is added, and that.
        bags: of some sums over edges the factor of each edge, and what is gathered.
        inside: of values that are computed along with another one, which.
        uses: by which values, or stores, the columns of a value are read, and when.
    """

    part: Part
    last: int

    def __init__(self, part: Part, pulls: dict[str, list[Pull]], is_sync: bool) -> None:
        self.part, self.last = part, REVERSE if is_sync else AFTER
        self.b: Builder = part.b
        self.stores: list[dict[str, Codes]] = [{}, dict(part.stores), {}, {}]
        for name, codes in part.reverse_stores.items():
            if name.startswith("edge."):
                for piece in pulls[name]:
                    self.stores[REVERSE][piece.memory] = codes if piece.memory == name else piece.codes
                    if piece.weight is not None and piece.factor is not None:
                        self.stores[FORWARD][piece.weight] = piece.factor
            else:
                self.stores[REVERSE if name.startswith("back.") else self.last][name] = codes
        self.summed: list[tuple[Codes, Codes | None, Codes, str]] = [
            (one.weight, one.a, one.g, one.rows) for one in part.weights
        ]
        for one in part.sums:
            for start, stop, _ in part.b.runs(one.of):
                self.summed.append((one.of[start:stop], None, one.g[start:stop], one.rows))
        self._find_phases()
        self._fold_sums()
        self._find_uses()

    def sides(self) -> Iterator[tuple[Codes, str]]:
        """The operands of gradients, and their rows."""
        for _, a, g, rows in self.summed:
            yield from ((side, rows) for side in (a, g) if side is not None)

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
        codes += [side for side, _ in self.sides()]
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
        self.inside: dict[int, int] = {product.number: number for number, (product, _) in self.folded.items()}
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
                is_scaled = gathered.value.op == "gather" and gathered.step == 1 and weight.step == 0
                if is_scaled and weight.value.rows == EDGE and self.when[scaled.number] == when:
                    self.bags[number] = (weight, gathered)
                    self.inside[scaled.number] = number

    def _all_codes(self) -> Iterator[Codes]:
        for stores in (*self.stores, self.part.reverse_adds):
            yield from stores.values()
        yield from (side for side, _ in self.sides())

    def _find_uses(self) -> None:
        """When the columns of each value are read last, through whatever reads it in another way."""
        self.uses: dict[int, list[tuple[tuple[int, float], Ref]]] = {}
        for phase, stores in enumerate((*self.stores, self.part.reverse_adds)):
            for codes in stores.values():
                self._use_codes(codes, (min(phase, self.last), float("inf")))
        for codes, _ in self.sides():
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


def _by_number(pair: tuple[Ref, Ref]) -> int:
    return -pair[0].value.number

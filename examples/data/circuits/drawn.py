"""Random circuits: and-inverter graphs, and machines with latches."""

from __future__ import annotations

import random

from graphrec.io.circuits import Kind, Netlist

from .builder import NetlistBuilder
from .sequential import count_up, shift_with_feedback

_BITS = 1024  # random patterns by which a constant gate is known


def random_aig(
    inputs: int, gates: int, seed: int | str = 0, recent: float = 0.25, second: float = 0.2
) -> Netlist:
    """A random and-inverter graph.

    Each AND reads two different gates, either of which may be complemented; there is one NOT for all who read
    a complement. ANDs that show a value too rarely for any of many random patterns are not taken: without that, gates
    far from the inputs are constant. No two ANDs read the same. Whatever no gate reads is an output.

    Args:
        inputs: two or more.
        gates: how many ANDs and NOTs there are; up to four more.
        seed: of the random numbers.
        recent: the share of gates, counted back from the last, among which most fan-ins are: the smaller, the deeper.
        second: the share of ANDs that are an earlier one written differently: a (b c) for (a b) c, or
            a · not(a · not b) for a b. They make gates of equal functions frequent.

    Raises:
        ValueError: fewer inputs than two or gates than one; shares outside 0 to 1.
    """
    if inputs < 2 or gates < 1:
        raise ValueError(f"expected two or more inputs and one or more gates, got {inputs} and {gates}.")
    build, rng = NetlistBuilder(), random.Random(f"aig {seed}")
    _Growth(build, build.word("i", inputs), rng, recent, second).grow(gates)
    _show_unread(build)
    return build.netlist()


def random_sequential(
    inputs: int, latches: int, gates: int, seed: int | str = 0, recent: float = 0.25, second: float = 0.2
) -> Netlist:
    """A random machine: a random and-inverter graph that reads inputs and latches, which read its gates.

    Half of the machines with three latches or more have a counter or a feedback shift register among theirs.

    Args:
        inputs, latches: one or more of each.
        gates: how many gates there are besides, or a few more.
        seed, recent, second: see `random_aig`.

    Raises:
        ValueError: as in `random_aig`; no latches.
    """
    if inputs < 1 or latches < 1 or gates < 1:
        raise ValueError(
            f"expected one or more inputs, latches and gates, got {inputs}, {latches} and {gates}."
        )
    build, rng = NetlistBuilder(), random.Random(f"sequential {seed}")
    sources = build.word("i", inputs)
    free = latches
    if latches >= 3 and rng.random() < 0.5:
        part = rng.randint(2, min(latches, 8))
        counts = rng.random() < 0.5
        sources += count_up(build, sources[0], part) if counts else shift_with_feedback(build, part)
        free -= part
    loose = [build.latch(rng.randint(0, 1)) for _ in range(free)]
    growth = _Growth(build, [*sources, *loose], rng, recent, second)
    growth.grow(max(1, gates - (len(build) - inputs - latches)))
    lively = growth.lively()
    for latch in loose:
        # From the later gates, so that much lies between a state and the next.
        build.feed(latch, lively[-1 - rng.randrange((len(lively) + 1) // 2)])
    _show_unread(build)
    return build.netlist()


_Literal = tuple[int, bool]  # a gate, and whether it is complemented


class _Growth:
    """Grows an and-inverter graph on some sources."""

    def __init__(
        self, build: NetlistBuilder, sources: list[int], rng: random.Random, recent: float, second: float
    ) -> None:
        if not 0 < recent <= 1 or not 0 <= second <= 1:
            raise ValueError(f"recent and second must be shares up to 1, got {recent} and {second}.")
        self.build, self.rng, self.recent, self.second = build, rng, recent, second
        self.nodes = list(sources)  # what literals are made of: no NOTs
        self.sources = len(sources)
        self.shown = {gate: rng.getrandbits(_BITS) for gate in sources}
        self.inverse: dict[int, int] = {}  # the NOT of a gate
        self.ands: dict[tuple[_Literal, _Literal], int] = {}
        self.reads: dict[int, tuple[_Literal, _Literal]] = {}  # the other way round
        self.unread = rng.sample(self.nodes, len(self.nodes))

    def lively(self) -> list[int]:
        """Half of the ANDs and NOTs, those nearest to 1/2 in probability: a machine would stop with the others."""
        share = {gate: self.shown[gate].bit_count() / _BITS for gate in self.reads}
        share |= {inverse: self.shown[gate].bit_count() / _BITS for gate, inverse in self.inverse.items()}
        by_share = sorted(share, key=lambda gate: abs(share[gate] - 0.5))
        return sorted(by_share[: (len(share) + 1) // 2])

    def grow(self, gates: int) -> None:
        """Add so many gates, or up to four more."""
        end = len(self.build) + gates
        # Of two literals and their complements, one AND of four is 1 often enough, so that this comes to an end.
        while len(self.build) < end:
            if self.ands and self.rng.random() < self.second:
                self._write_again()
            elif self.unread:
                if self._add((self.unread[-1], self.rng.random() < 0.5), self._literal()) is not None:
                    self.unread.pop()
            else:
                self._add(self._literal(), self._literal())

    def _literal(self) -> _Literal:
        back = int(self.rng.expovariate(1 / max(1.0, self.recent * len(self.nodes))))
        if back >= len(self.nodes):
            back = self.rng.randrange(len(self.nodes))
        return self.nodes[-1 - back], self.rng.random() < 0.5

    def _write_again(self) -> None:
        a, b = self.reads[self.rng.choice(self.nodes[max(self.sources, len(self.nodes) - 50) :])]
        if a[0] in self.reads and not a[1]:
            first, last = self.reads[a[0]]
            inside, complemented = self._add(last, b), False
        else:
            first, inside, complemented = a, self._add(a, (b[0], not b[1])), True
        if inside is not None:
            self._add(first, (inside, complemented))

    def _add(self, a: _Literal, b: _Literal) -> int | None:
        """The AND of two literals, unless it is there or of no use."""
        a, b = sorted((a, b))
        if a[0] == b[0] or (a, b) in self.ands:
            return self.ands.get((a, b))
        value = self._value(a) & self._value(b)
        if value.bit_count() < _BITS // 32:  # at 0 all but always
            return None
        gate = self.build.gate(Kind.AND, self._gate(a), self._gate(b))
        self.ands[a, b], self.reads[gate] = gate, (a, b)
        self.shown[gate] = value
        self.nodes.append(gate)
        return gate

    def _value(self, literal: _Literal) -> int:
        gate, complemented = literal
        return self.shown[gate] ^ ((1 << _BITS) - 1 if complemented else 0)

    def _gate(self, literal: _Literal) -> int:
        gate, complemented = literal
        if not complemented:
            return gate
        if gate not in self.inverse:
            self.inverse[gate] = self.build.gate(Kind.NOT, gate)
        return self.inverse[gate]


def _show_unread(build: NetlistBuilder) -> None:
    """Make outputs of all gates but inputs that no gate reads; of the last one, where there are none."""
    read = {source for fanins in build.fanins for source in fanins}
    unread = [gate for gate, kind in enumerate(build.kinds) if gate not in read and kind != Kind.INPUT]
    build.outputs = unread or [len(build) - 1]

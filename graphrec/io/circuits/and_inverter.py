"""And-inverter graphs: circuits of ANDs with two fan-ins, inverters and latches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .netlist import Kind, Netlist

_CONSTANTS = {0: Kind.CONST0, 1: Kind.CONST1}


@dataclass
class AndInverterGraph:
    """A circuit by literals, as AIGER has it.

    A *literal* is 2v for variable v and 2v + 1 for its complement; 0 and 1 are the constants.

    Attributes:
        inputs: one even literal each.
        latches: an even literal, what it reads, and its reset (0, 1, or None for either).
        ands: an even literal, and both fan-ins.
        outputs, bad, constraints, fairness: literals, see `Netlist`.
        justice: literals of each property.
        names: of some literals, all different.
        symbols: names of outputs and properties, by their places, such as `"o0"`.
    """

    inputs: list[int] = field(default_factory=list)
    latches: list[tuple[int, int, int | None]] = field(default_factory=list)
    ands: list[tuple[int, int, int]] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    constraints: list[int] = field(default_factory=list)
    justice: list[list[int]] = field(default_factory=list)
    fairness: list[int] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    symbols: dict[str, str] = field(default_factory=dict)

    def shown(self) -> Iterator[tuple[str, int]]:
        """Place and literal of each output, bad state, constraint and fairness constraint."""
        parts = (("o", self.outputs), ("b", self.bad), ("c", self.constraints), ("f", self.fairness))
        return ((f"{letter}{place}", one) for letter, part in parts for place, one in enumerate(part))

    def netlist(self) -> Netlist:
        """The circuit: inputs, latches and ANDs, then a NOT per complemented literal and a constant that is read.

        Inputs without a name are called i0, i1, …, latches l0, l1, …, an AND n with its variable, a NOT not_ with
        the name of what it reads.
        """
        latches, ands = [latch for latch, _, _ in self.latches], [target for target, _, _ in self.ands]
        heads = [*self.inputs, *latches, *ands]
        kinds = [Kind.INPUT] * len(self.inputs) + [Kind.LATCH] * len(latches) + [Kind.AND] * len(ands)
        reads = [(read,) for _, read, _ in self.latches] + [(left, right) for _, left, right in self.ands]
        shown = [self.outputs, self.bad, self.constraints, *self.justice, self.fairness]
        known = set(heads)
        used = dict.fromkeys(literal for fanins in [*reads, *shown] for literal in fanins)
        extra = [literal for literal in used if literal not in known]
        number = {literal: gate for gate, literal in enumerate([*heads, *extra])}
        names = self._all_names([*heads, *extra])

        def gates(literals: Sequence[int]) -> tuple[int, ...]:
            return tuple(number[literal] for literal in literals)

        return Netlist(
            names=names,
            kinds=(*kinds, *(_CONSTANTS.get(literal, Kind.NOT) for literal in extra)),
            fanins=(
                *[()] * len(self.inputs),
                *map(gates, reads),
                *(() if literal in _CONSTANTS else (number[literal ^ 1],) for literal in extra),
            ),
            outputs=gates(self.outputs),
            resets=tuple(reset for _, _, reset in self.latches),
            bad=gates(self.bad),
            constraints=gates(self.constraints),
            justice=tuple(map(gates, self.justice)),
            fairness=gates(self.fairness),
            symbols=self._other_symbols({literal: names[gate] for literal, gate in number.items()}),
        )

    def _other_symbols(self, names: dict[int, str]) -> tuple[tuple[str, str], ...]:
        """Those that say more than the name of the gate that is shown."""
        said = {place for place, literal in self.shown() if self.symbols.get(place) == names[literal]}
        return tuple((place, name) for place, name in self.symbols.items() if place not in said)

    def _all_names(self, literals: Sequence[int]) -> tuple[str, ...]:
        default = {0: "const0", 1: "const1"}
        default |= {literal: f"i{place}" for place, literal in enumerate(self.inputs)}
        default |= {latch: f"l{place}" for place, (latch, _, _) in enumerate(self.latches)}
        names = dict(self.names)
        taken = set(names.values())
        for literal in literals:  # every NOT stands after what it reads
            if literal not in names:
                plain = f"not_{names.get(literal ^ 1)}" if literal & 1 else f"n{literal >> 1}"
                name = default.get(literal, plain)
                while name in taken:
                    name += "_"
                names[literal] = name
                taken.add(name)
        return tuple(names[literal] for literal in literals)

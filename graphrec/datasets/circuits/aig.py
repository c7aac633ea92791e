"""And-inverter graphs: circuits of ANDs with two fan-ins, inverters and latches.

A *literal* is 2v for variable v and 2v + 1 for its complement; 0 and 1 are the constants, as in AIGER.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from .netlist import Kind, Netlist


@dataclass
class Literals:
    """An and-inverter graph as AIGER has it, by literals.

    Attributes:
        inputs: one even literal each.
        latches: an even literal, what it reads, and its reset.
        ands: an even literal, and both fan-ins.
        outputs, bad, constraints, fairness: literals.
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
        heads = [
            *self.inputs,
            *(latch for latch, _, _ in self.latches),
            *(target for target, _, _ in self.ands),
        ]
        kinds = (
            [Kind.INPUT] * len(self.inputs) + [Kind.LATCH] * len(self.latches) + [Kind.AND] * len(self.ands)
        )
        reads = [(read,) for _, read, _ in self.latches] + [(left, right) for _, left, right in self.ands]
        shown = [self.outputs, self.bad, self.constraints, *self.justice, self.fairness]
        used = dict.fromkeys(literal for fanins in [*reads, *shown] for literal in fanins)
        known = set(heads)
        extra = [literal for literal in used if literal not in known]
        kinds += [_CONSTANTS.get(literal, Kind.NOT) for literal in extra]
        number = {literal: gate for gate, literal in enumerate([*heads, *extra])}
        fanins = [()] * len(self.inputs) + [tuple(number[literal] for literal in fanins) for fanins in reads]
        fanins += [() if literal in _CONSTANTS else (number[literal ^ 1],) for literal in extra]
        names = self._all_names([*heads, *extra])
        # A symbol that is the name of a gate says no more than that.
        is_name = {
            place for place, literal in self.shown() if self.symbols.get(place) == names[number[literal]]
        }
        return Netlist(
            names=names,
            kinds=tuple(kinds),
            fanins=tuple(fanins),
            outputs=tuple(number[literal] for literal in self.outputs),
            resets=tuple(reset for _, _, reset in self.latches),
            bad=tuple(number[literal] for literal in self.bad),
            constraints=tuple(number[literal] for literal in self.constraints),
            justice=tuple(tuple(number[literal] for literal in some) for some in self.justice),
            fairness=tuple(number[literal] for literal in self.fairness),
            symbols=tuple((place, name) for place, name in self.symbols.items() if place not in is_name),
        )

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


_CONSTANTS = {0: Kind.CONST0, 1: Kind.CONST1}


def to_aig(netlist: Netlist) -> Netlist:
    """The same circuit by ANDs with two fan-ins, and a NOT for each gate whose complement is read.

    AND and OR of many become balanced trees, XOR three ANDs; BUF and double negation go. Every gate that is left
    keeps its name, so that outputs do, unless one is a BUF: then it is what that reads.
    """
    return literals(netlist).netlist()


def literals(netlist: Netlist) -> Literals:
    """The circuit by literals; see `to_aig`. ANDs of two keep their order."""
    lowering = _Lowering(netlist)
    aig = lowering.aig
    for gate, (kind, fanins) in enumerate(zip(netlist.kinds, netlist.fanins, strict=True)):
        if kind in _ROOTS:
            lowering.compute(kind, gate, [lowering.literal[source] for source in fanins])
    for latch, reset in zip(netlist.latches, netlist.resets, strict=True):
        read = lowering.literal[netlist.fanins[latch][0]]
        aig.latches.append((lowering.literal[latch], read, reset))
    aig.outputs = [lowering.literal[gate] for gate in netlist.outputs]
    aig.bad = [lowering.literal[gate] for gate in netlist.bad]
    aig.constraints = [lowering.literal[gate] for gate in netlist.constraints]
    aig.justice = [[lowering.literal[gate] for gate in some] for some in netlist.justice]
    aig.fairness = [lowering.literal[gate] for gate in netlist.fairness]
    aig.symbols = dict(netlist.symbols)
    # Where several gates have a literal in common, one that is no alias has its name first.
    direct = sorted(range(len(netlist)), key=lambda gate: netlist.kinds[gate] in (Kind.BUF, Kind.NOT))
    for gate in direct:
        aig.names.setdefault(lowering.literal[gate], netlist.names[gate])
    return aig


# Kinds that end in an AND, and whether it is complemented then.
_ROOTS = {Kind.AND: 0, Kind.NAND: 1, Kind.OR: 1, Kind.NOR: 0, Kind.XOR: 0, Kind.XNOR: 1}


class _Lowering:
    """The literal of each gate, known before the ANDs are written, so that these may come in any order."""

    def __init__(self, netlist: Netlist) -> None:
        self.aig = Literals()
        self.literal = [0] * len(netlist)
        self.variables = 0
        for gate in (*netlist.inputs, *netlist.latches):
            self.literal[gate] = self._new()
        self.aig.inputs = [self.literal[gate] for gate in netlist.inputs]
        for gate, kind in enumerate(netlist.kinds):
            if kind in _ROOTS:
                self.literal[gate] = self._new() ^ _ROOTS[kind]
        # Aliases last, each after what it stands for.
        for gate in np.argsort(netlist.level, kind="stable").tolist():
            kind = netlist.kinds[gate]
            if kind in (Kind.BUF, Kind.NOT):
                self.literal[gate] = self.literal[netlist.fanins[gate][0]] ^ (kind == Kind.NOT)
            elif kind == Kind.CONST1:
                self.literal[gate] = 1

    def compute(self, kind: Kind, gate: int, fanins: list[int]) -> None:
        """Write the ANDs of a gate; the last of them is the one that `literal` names."""
        if kind in (Kind.XOR, Kind.XNOR):
            queue = deque(fanins)
            while len(queue) > 2:
                queue.append(self._and(*self._both_and_neither(queue.popleft(), queue.popleft())))
            left, right = self._both_and_neither(*queue)
        else:
            queue = deque(literal ^ (kind in (Kind.OR, Kind.NOR)) for literal in fanins)
            while len(queue) > 2:
                queue.append(self._and(queue.popleft(), queue.popleft()))
            left, right = queue
        self.aig.ands.append((self.literal[gate] & ~1, left, right))

    def _both_and_neither(self, left: int, right: int) -> tuple[int, int]:
        """Complements of "both" and "neither": left XOR right is their AND."""
        return self._and(left, right) ^ 1, self._and(left ^ 1, right ^ 1) ^ 1

    def _and(self, left: int, right: int) -> int:
        self.aig.ands.append((self._new(), left, right))
        return self.aig.ands[-1][0]

    def _new(self) -> int:
        self.variables += 1
        return 2 * self.variables

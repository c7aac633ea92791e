"""Circuits as and-inverter graphs: by ANDs with two fan-ins, inverters and latches."""

from __future__ import annotations

from collections import deque

from graphrec.io.circuits import AndInverterGraph, Kind, Netlist

from .simulation import levels


def to_aig(netlist: Netlist) -> Netlist:
    """The same circuit by ANDs with two fan-ins, and a NOT for each gate whose complement is read.

    AND and OR of many become balanced trees, XOR three ANDs; BUF and double negation go. Every gate that is left
    keeps its name, so that outputs do, unless one is a BUF: then it is what that reads.
    """
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
    return aig.netlist()


# Kinds that end in an AND, and whether it is complemented then.
_ROOTS = {Kind.AND: 0, Kind.NAND: 1, Kind.OR: 1, Kind.NOR: 0, Kind.XOR: 0, Kind.XNOR: 1}


class _Lowering:
    """The literal of each gate, known before the ANDs are written, so that these may come in any order."""

    def __init__(self, netlist: Netlist) -> None:
        self.aig = AndInverterGraph()
        self.literal = [0] * len(netlist)
        self.variables = 0
        for gate in (*netlist.inputs, *netlist.latches):
            self.literal[gate] = self._new()
        self.aig.inputs = [self.literal[gate] for gate in netlist.inputs]
        for gate, kind in enumerate(netlist.kinds):
            if kind in _ROOTS:
                self.literal[gate] = self._new() ^ _ROOTS[kind]
        # Aliases last, each after what it stands for.
        for gate in levels(netlist).argsort(stable=True).tolist():
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

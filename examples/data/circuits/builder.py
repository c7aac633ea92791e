"""Netlists gate by gate."""

from __future__ import annotations

from graphrec.io.circuits import Kind, Netlist


class NetlistBuilder:
    """Collects gates; each method returns a gate's number.

    Gates without a name are called g with their number. `netlist` checks all.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.kinds: list[Kind] = []
        self.fanins: list[tuple[int, ...]] = []
        self.outputs: list[int] = []
        self.resets: list[int | None] = []

    def __len__(self) -> int:
        """How many gates there are so far."""
        return len(self.names)

    def gate(self, kind: Kind, *fanins: int, name: str | None = None) -> int:
        """A gate that reads others."""
        self.names.append(f"g{len(self)}" if name is None else name)
        self.kinds.append(kind)
        self.fanins.append(fanins)
        return len(self) - 1

    def input(self, name: str | None = None) -> int:
        """An input."""
        return self.gate(Kind.INPUT, name=name)

    def word(self, name: str, bits: int) -> list[int]:
        """Inputs name0, name1, …, the lowest bit first."""
        return [self.input(f"{name}{bit}") for bit in range(bits)]

    def latch(self, reset: int | None = 0, name: str | None = None) -> int:
        """A latch, which `feed` must be called for."""
        self.resets.append(reset)
        return self.gate(Kind.LATCH, name=name)

    def feed(self, latch: int, source: int) -> None:
        """Let a latch read a gate, which may come after it."""
        self.fanins[latch] = (source,)

    def name(self, prefix: str, gates: list[int]) -> list[int]:
        """Call gates prefix0, prefix1, …, and show them as outputs."""
        for place, gate in enumerate(gates):
            self.names[gate] = f"{prefix}{place}"
        self.outputs += gates
        return gates

    def netlist(self) -> Netlist:
        """All gates so far."""
        return Netlist(
            tuple(self.names),
            tuple(self.kinds),
            tuple(self.fanins),
            tuple(self.outputs),
            tuple(self.resets),
        )

"""Circuits that count and shift, and their parts."""

from __future__ import annotations

from collections.abc import Sequence

from .arithmetic import Word
from .builder import NetlistBuilder
from .netlist import Kind, Netlist

# Taps with which the state of a feedback register comes round after 2^bits - 1 cycles, the longest that one can:
# P. Alfke, "Efficient Shift Registers, LFSR Counters, and Long Pseudo-Random Sequence Generators", Xilinx
# application note XAPP 052, 1996.
_TAPS = {
    2: (2, 1), 3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5), 10: (10, 7),
    11: (11, 9), 12: (12, 6, 4, 1), 13: (13, 4, 3, 1), 14: (14, 5, 3, 1), 15: (15, 14), 16: (16, 15, 13, 4),
}  # fmt: skip


def counter(bits: int) -> Netlist:
    """Counts the clock cycles in which its input `enable` is 1, from 0 on, modulo 2^bits: outputs q0 … (latches)."""
    if bits < 1:
        raise ValueError(f"bits must be 1 or more, got {bits}.")
    build = NetlistBuilder()
    build.name("q", count_up(build, build.input("enable"), bits))
    return build.netlist()


def lfsr(bits: int, taps: Sequence[int] | None = None) -> Netlist:
    """A linear feedback shift register without inputs: outputs q0 … (latches), of which q0 is 1 at first.

    In each cycle bits move on by one, q0 to q1, and q0 becomes the XOR of the tapped ones.

    Args:
        bits: how many latches.
        taps: two or more of the numbers 1 to `bits`, where k stands for the latch q(k - 1). By default those with
            which all states but zero come round; they are known for 2 to 16 bits.
    """
    if taps is None and bits not in _TAPS:
        raise ValueError(f"taps are known for {min(_TAPS)} to {max(_TAPS)} bits, got {bits}: give taps.")
    build = NetlistBuilder()
    build.name("q", shift_with_feedback(build, bits, taps))
    return build.netlist()


def count_up(build: NetlistBuilder, enable: int, bits: int) -> Word:
    """The latches of a counter."""
    latches = [build.latch() for _ in range(bits)]
    carry = enable
    for place, latch in enumerate(latches):
        build.feed(latch, build.gate(Kind.XOR, latch, carry))
        if place < bits - 1:
            carry = build.gate(Kind.AND, latch, carry)
    return latches


def shift_with_feedback(build: NetlistBuilder, bits: int, taps: Sequence[int] | None = None) -> Word:
    """The latches of a linear feedback shift register."""
    taps = _TAPS[bits] if taps is None else taps
    if len(taps) < 2 or not all(1 <= tap <= bits for tap in taps):
        raise ValueError(f"taps must be two or more of 1 to {bits}, got {list(taps)}.")
    latches = [build.latch(reset=int(place == 0)) for place in range(bits)]
    first, *rest = (latches[tap - 1] for tap in taps)
    for latch in rest:
        first = build.gate(Kind.XOR, first, latch)
    for latch, before in zip(latches, [first, *latches], strict=False):
        build.feed(latch, before)
    return latches

"""Parts of machines: latches that count and shift."""

from __future__ import annotations

from graphrec.io.circuits import Kind

from .arithmetic import Word
from .builder import NetlistBuilder

# Taps with which the state of a feedback register comes round after 2^bits - 1 cycles, the longest that one can:
# P. Alfke, "Efficient Shift Registers, LFSR Counters, and Long Pseudo-Random Sequence Generators", Xilinx
# application note XAPP 052, 1996.
_TAPS = {
    2: (2, 1), 3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5), 10: (10, 7),
    11: (11, 9), 12: (12, 6, 4, 1), 13: (13, 4, 3, 1), 14: (14, 5, 3, 1), 15: (15, 14), 16: (16, 15, 13, 4),
}  # fmt: skip


def count_up(build: NetlistBuilder, enable: int, bits: int) -> Word:
    """The latches of a counter of the clock cycles in which `enable` is 1, from 0 on, modulo 2^bits."""
    latches = [build.latch() for _ in range(bits)]
    carry = enable
    for place, latch in enumerate(latches):
        build.feed(latch, build.gate(Kind.XOR, latch, carry))
        if place < bits - 1:
            carry = build.gate(Kind.AND, latch, carry)
    return latches


def shift_with_feedback(build: NetlistBuilder, bits: int) -> Word:
    """The latches of a linear feedback shift register of 2 to 16 bits, the first of which is 1 at first.

    In each cycle bits move on by one, and the first becomes the XOR of those taps with which all states but zero come
    round.
    """
    if bits not in _TAPS:
        raise ValueError(f"taps are known for {min(_TAPS)} to {max(_TAPS)} bits, got {bits}.")
    latches = [build.latch(reset=int(place == 0)) for place in range(bits)]
    first, *rest = (latches[tap - 1] for tap in _TAPS[bits])
    for latch in rest:
        first = build.gate(Kind.XOR, first, latch)
    for latch, previous in zip(latches, [first, *latches], strict=False):
        build.feed(latch, previous)
    return latches

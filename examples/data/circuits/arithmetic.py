"""Circuits that calculate, and their parts. A word is a list of gates, the lowest bit first."""

from __future__ import annotations

from graphrec.io.circuits import Kind, Netlist

from .builder import NetlistBuilder

Word = list[int]


def ripple_adder(bits: int) -> Netlist:
    """a + b by full adders in a row: inputs a0 …, b0 …; outputs s0 …, one more, the last of which is the carry."""
    if bits < 1:
        raise ValueError(f"bits must be 1 or more, got {bits}.")
    build = NetlistBuilder()
    build.name("s", add_rippling(build, build.word("a", bits), build.word("b", bits)))
    return build.netlist()


def add_rippling(build: NetlistBuilder, a: Word, b: Word, carry: int | None = None) -> Word:
    """The sum of two words as long as each other, one bit longer; with a carry, and one more."""
    total = []
    for x, y in zip(a, b, strict=True):
        half, both = build.gate(Kind.XOR, x, y), build.gate(Kind.AND, x, y)
        if carry is None:
            total.append(half)
            carry = both
        else:
            total.append(build.gate(Kind.XOR, half, carry))
            carry = build.gate(Kind.OR, both, build.gate(Kind.AND, half, carry))
    assert carry is not None  # words have bits
    return [*total, carry]


def add_looking_ahead(build: NetlistBuilder, a: Word, b: Word) -> Word:
    """The same sum as that of `add_rippling`, without a carry coming in: all carries in log(bits) levels.

    P. Kogge and H. Stone, "A Parallel Algorithm for the Efficient Solution of a General Class of Recurrence
    Equations", IEEE Transactions on Computers 1973.
    """
    half = [build.gate(Kind.XOR, x, y) for x, y in zip(a, b, strict=True)]
    # Of the bits from some place on up to this one: whether they make a carry, whether they hand one on.
    makes = [build.gate(Kind.AND, x, y) for x, y in zip(a, b, strict=True)]
    hands = list(half)
    reach = 1
    while reach < len(a):
        handed = {i: build.gate(Kind.AND, hands[i], makes[i - reach]) for i in range(reach, len(a))}
        # What reaches down to bit 0 has nothing to hand on.
        hands = [
            build.gate(Kind.AND, hand, hands[i - reach]) if i >= 2 * reach else hand
            for i, hand in enumerate(hands)
        ]
        makes = [
            build.gate(Kind.OR, make, handed[i]) if i in handed else make for i, make in enumerate(makes)
        ]
        reach *= 2
    above = [build.gate(Kind.XOR, half[i], makes[i - 1]) for i in range(1, len(a))]
    return [half[0], *above, makes[-1]]


def subtract(build: NetlistBuilder, a: Word, b: Word) -> Word:
    """a - b modulo 2^bits, and whether there is no borrow, that is, a ≥ b."""
    # a + not b + 1; the lowest bit of that by hand, which spares a constant.
    inverted = [build.gate(Kind.NOT, y) for y in b]
    lowest = build.gate(Kind.XNOR, a[0], inverted[0])
    carry = build.gate(Kind.OR, a[0], inverted[0])
    if len(a) == 1:
        return [lowest, carry]
    return [lowest, *add_rippling(build, a[1:], inverted[1:], carry)]


def multiply(build: NetlistBuilder, a: Word, b: Word) -> Word:
    """The product of two words of two bits or more, a row of adders for each bit of b: of as many bits as both have."""
    rows = [[build.gate(Kind.AND, x, y) for x in a] for y in b]
    product, total = [rows[0][0]], rows[0][1:]
    for row in rows[1:]:
        if len(total) < len(row):  # the first row brings no carry along
            *low, carry = add_rippling(build, row[:-1], total)
            total = [*low, build.gate(Kind.XOR, carry, row[-1]), build.gate(Kind.AND, carry, row[-1])]
        else:
            total = add_rippling(build, row, total)
        product.append(total.pop(0))
    return [*product, *total]


def compare(build: NetlistBuilder, a: Word, b: Word) -> tuple[int, int]:
    """Whether a < b, and whether a = b."""
    less = equal = None
    for x, y in zip(a, b, strict=True):
        below = build.gate(Kind.AND, build.gate(Kind.NOT, x), y)
        same = build.gate(Kind.XNOR, x, y)
        less = below if less is None else build.gate(Kind.OR, below, build.gate(Kind.AND, same, less))
        equal = same if equal is None else build.gate(Kind.AND, equal, same)
    assert less is not None  # words have bits
    assert equal is not None
    return less, equal

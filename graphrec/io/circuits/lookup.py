"""Look-up tables as gates: bit i of a table is the value where the first input is bit 0 of i, the second bit 1, …"""

from __future__ import annotations

from functools import cache

from .netlist import Kind

# What gates of one input are.
OF_ONE = {
    Kind.AND: Kind.BUF, Kind.OR: Kind.BUF, Kind.XOR: Kind.BUF,
    Kind.NAND: Kind.NOT, Kind.NOR: Kind.NOT, Kind.XNOR: Kind.NOT,
}  # fmt: skip


@cache
def gates_by_table(inputs: int) -> dict[int, Kind]:
    """The gates that read so many inputs or none, by their tables."""
    ones = (1 << (1 << inputs)) - 1
    parity = 0
    for place in range(inputs):
        rows = 1 << place
        parity |= (parity ^ ((1 << rows) - 1)) << rows
    both = (
        (Kind.AND, Kind.NAND, ones ^ (ones >> 1)),
        (Kind.OR, Kind.NOR, ones ^ 1),
        (Kind.XOR, Kind.XNOR, parity),
    )
    tables = {}
    for plain, complement, table in both:
        tables[table] = plain if inputs > 1 else OF_ONE[plain]
        tables[ones ^ table] = complement if inputs > 1 else OF_ONE[complement]
    return tables | {0: Kind.CONST0, ones: Kind.CONST1}


def products_of(table: int, inputs: int) -> list[tuple[tuple[int, int], ...]]:
    """Where a table is 1: the values of some inputs in one case, in another, and so on, by place and value.

    By C. E. Shannon's expansion: where the last input is 0, and where it is 1.
    """
    rows = (1 << inputs) // 2
    ones = (1 << rows) - 1
    if not rows or table in (0, ones << rows | ones):
        return [()] if table else []
    last = inputs - 1
    low = products_of(table & ones, last)
    if table & ones == table >> rows:
        return low
    high = products_of(table >> rows, last)
    return [(*some, (last, 0)) for some in low] + [(*some, (last, 1)) for some in high]

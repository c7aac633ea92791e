"""What tests of the readers of circuits need: texts of circuits, and the values of gates by Python's integers."""

import random
from collections.abc import Iterator, Sequence
from functools import reduce
from graphlib import TopologicalSorter
from operator import and_, or_, xor
from typing import Any

from graphrec.io.circuits import Kind, Netlist

PATTERNS = 256
ONES = 2**PATTERNS - 1

_WORDS = {
    **{kind: kind.name for kind in Kind}, Kind.BUF: "BUFF", Kind.LATCH: "DFF", Kind.CONST0: "gnd", Kind.CONST1: "vdd",
}  # fmt: skip
_OPERATIONS = {Kind.OR: or_, Kind.NOR: or_, Kind.XOR: xor, Kind.XNOR: xor}
_COMPLEMENTED = {Kind.NOT, Kind.NAND, Kind.NOR, Kind.XNOR}


def run(
    netlist: Netlist, patterns: Sequence[Sequence[int]], state: Sequence[int], ones: int = ONES
) -> Iterator[list[int]]:
    """The value of each gate, clock cycle by clock cycle.

    Args:
        netlist: a circuit.
        patterns: for each cycle the values of the inputs.
        state: the values of the latches in the first cycle.
        ones: what an integer is whose bits are all 1.
    """
    latches = set(netlist.latches)
    reads = {gate: () if gate in latches else fanins for gate, fanins in enumerate(netlist.fanins)}
    order = list(TopologicalSorter(reads).static_order())
    for inputs in patterns:
        values = dict(zip((*netlist.inputs, *netlist.latches), (*inputs, *state), strict=True))
        for gate in order:
            kind = netlist.kinds[gate]
            if kind in (Kind.CONST0, Kind.CONST1):
                values[gate] = ones * (kind == Kind.CONST1)
            elif gate not in values:
                shown = reduce(_OPERATIONS.get(kind, and_), (values[read] for read in netlist.fanins[gate]))
                values[gate] = shown ^ ones if kind in _COMPLEMENTED else shown
        yield [values[gate] for gate in range(len(netlist))]
        state = [values[netlist.fanins[latch][0]] for latch in netlist.latches]


def draw(count: int, seed: int) -> list[int]:
    """So many values."""
    rng = random.Random(seed)
    return [rng.getrandbits(PATTERNS) for _ in range(count)]


def all_patterns(inputs: int) -> tuple[list[int], int]:
    """The values of inputs that show the bits of 0, 1, 2, …, and all ones."""
    rows = 2**inputs
    return [sum(1 << row for row in range(rows) if row >> place & 1) for place in range(inputs)], (
        1 << rows
    ) - 1


def table_of(netlist: Netlist, name: str) -> int:
    """What a gate shows: bit i for inputs that show the bits of i."""
    patterns, ones = all_patterns(len(netlist.inputs))
    (values,) = run(netlist, [patterns], [0] * len(netlist.latches), ones)
    return values[netlist.number[name]]


def format_bench(netlist: Netlist) -> str:
    """A text that `parse_bench` makes an equal circuit of, if latches are reset to 0 and there are no properties."""
    lines = [
        f"INPUT({name})" if kind == Kind.INPUT
        else f"{name} = {_WORDS[kind]}" + (f"({', '.join(netlist.names[gate] for gate in fanins)})" if fanins else "")
        for name, kind, fanins in zip(netlist.names, netlist.kinds, netlist.fanins, strict=True)
    ]  # fmt: skip
    return "\n".join([*lines, *(f"OUTPUT({netlist.names[gate]})" for gate in netlist.outputs)])


def format_aiger(netlist: Netlist) -> str:
    """A text that `parse_aiger` makes an equal circuit of, if it came from there; names of inner gates may differ."""
    ands = [gate for gate, kind in enumerate(netlist.kinds) if kind == Kind.AND]
    variable = {gate: 2 * k for k, gate in enumerate([*netlist.inputs, *netlist.latches, *ands], start=1)}

    def literal(gate: int) -> int:
        inverted = 0
        while netlist.kinds[gate] == Kind.NOT:
            inverted, (gate,) = 1 - inverted, netlist.fanins[gate]
        if netlist.kinds[gate] in (Kind.CONST0, Kind.CONST1):
            return inverted ^ int(netlist.kinds[gate] == Kind.CONST1)
        return variable[gate] ^ inverted

    shown = [[literal(gate) for gate in part] for part in (netlist.outputs, netlist.bad, netlist.constraints)]
    justice = [[literal(gate) for gate in some] for some in netlist.justice]
    fairness = [literal(gate) for gate in netlist.fairness]
    latches = [
        (variable[latch], literal(netlist.fanins[latch][0]), variable[latch] if reset is None else reset)
        for latch, reset in zip(netlist.latches, netlist.resets, strict=True)
    ]
    counts = [*map(len, (netlist.inputs, latches, shown[0], ands, *shown[1:], justice, fairness))]
    lines = [
        ("aag", len(variable), *counts),
        *((variable[gate],) for gate in netlist.inputs),
        *latches,
        *((one,) for part in shown for one in part),
        *((len(some),) for some in justice),
        *((one,) for some in justice for one in some),
        *((one,) for one in fairness),
        *((variable[gate], *map(literal, netlist.fanins[gate])) for gate in ands),
    ]
    parts = (
        netlist.inputs,
        netlist.latches,
        netlist.outputs,
        netlist.bad,
        netlist.constraints,
        netlist.fairness,
    )
    symbols = {
        f"{letter}{place}": netlist.names[gate]
        for letter, part in zip("ilobcf", parts, strict=True)
        for place, gate in enumerate(part)
    }
    lines += (symbols | dict(netlist.symbols)).items()
    return "".join(f"{' '.join(map(str, line))}\n" for line in lines)


def difference(number: int) -> bytes:
    """A number as binary AIGER has it."""
    digits = []
    while number > 127:
        digits.append(number % 128 + 128)
        number //= 128
    return bytes([*digits, number])


def written(file: dict[str, Any], binary: bool) -> bytes:
    """A file of literals that are numbered in order, as the format wants it for binary files."""
    ports = len(file["inputs"]) + len(file["latches"])
    header = [ports + len(file["ands"]), *(len(file[p]) for p in ("inputs", "latches", "outputs", "ands"))]
    header += [len(file[part]) for part in ("bad", "constraints", "justice", "fairness")]
    lines = [" ".join(["aig" if binary else "aag", *map(str, header)])]
    if not binary:
        lines += map(str, file["inputs"])
    lines += [" ".join(map(str, latch[1:] if binary else latch)) for latch in file["latches"]]
    lines += map(str, [*file["outputs"], *file["bad"], *file["constraints"], *map(len, file["justice"])])
    lines += [str(literal) for some in file["justice"] for literal in some]
    lines += map(str, file["fairness"])
    if not binary:
        lines += [" ".join(map(str, gate)) for gate in file["ands"]]
    data = "".join(f"{line}\n" for line in lines).encode()
    if binary:
        for literal, left, right in file["ands"]:
            data += difference(literal - left) + difference(left - right)
    data += "".join(f"{place} {name}\n" for place, name in file["symbols"].items()).encode()
    return data + b"c\nno matter what \xff\x00 it is\ni0 no symbol\n"

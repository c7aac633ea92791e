"""Circuits in the `.bench` format of the ISCAS-85 and ISCAS-89 benchmarks.

Sources: F. Brglez and H. Fujiwara, "A neutral netlist of 10 combinational benchmark circuits and a target translator
in Fortran", ISCAS 1985; F. Brglez, D. Bryan and K. Kozminski, "Combinational profiles of sequential benchmark
circuits", ISCAS 1989.
"""

from __future__ import annotations

import re
from pathlib import Path

from ._text import fault, read_text
from .netlist import CombinationalCycleError, Kind, Netlist

_PORT = re.compile(r"(INPUT|OUTPUT)\s*\(([^()]*)\)", re.IGNORECASE)
_GATE = re.compile(r"([^=]*)=\s*([^\s()=]+)\s*\(([^()]*)\)")
_CONSTANT = re.compile(r"([^=]*)=\s*(vdd|gnd)", re.IGNORECASE)
_NAME = re.compile(r"[^\s(),=#]+")

_KINDS = {
    "AND": Kind.AND, "NAND": Kind.NAND, "OR": Kind.OR, "NOR": Kind.NOR, "XOR": Kind.XOR, "XNOR": Kind.XNOR,
    "NOT": Kind.NOT, "INV": Kind.NOT, "BUF": Kind.BUF, "BUFF": Kind.BUF, "DFF": Kind.LATCH,
    "GND": Kind.CONST0, "VDD": Kind.CONST1,
}  # fmt: skip
_WORDS = {kind: word for word, kind in _KINDS.items() if word not in ("INV", "BUF")}


def read_bench(path: str | Path) -> Netlist:
    """The circuit in a `.bench` file; see `parse_bench`."""
    return parse_bench(read_text(path), str(path))


def parse_bench(text: str, source: str = "") -> Netlist:
    """The circuit that a text in the `.bench` format describes.

    One definition per line: `INPUT(a)`, `OUTPUT(y)`, `y = NAND(a, b)` and so on with AND, OR, NOR, XOR, XNOR, NOT
    (or INV), BUFF (or BUF) and DFF (a latch, reset to 0), and `y = vdd` or `y = gnd` for constants. These words may
    be in capitals or not; `#` begins a comment; a gate may be used before it is defined. Gates are numbered in the
    order in which they are defined.

    Args:
        text: what the file holds.
        source: what errors call it.

    Raises:
        ValueError: a malformed line, an unknown gate, a wrong number of fan-ins, a name that is defined twice or
            not at all, a cycle without DFF, or no gates: with the line.
    """
    names: dict[str, int] = {}  # and the line of each
    kinds: list[Kind] = []
    reads: list[list[str]] = []
    outputs: dict[int, str] = {}  # by line
    lines = text.split("\n")
    for line, written in enumerate(lines, start=1):
        content = written.partition("#")[0].strip()
        if not content:
            continue
        name, kind, fanins = _definition(content, source, line)
        if kind is None:
            outputs[line] = name
            continue
        if name in names:
            what = f"expected a new name, got {name!r}, which line {names[name]} defines"
            raise fault(source, line, what, "Rename one of them")
        if not kind.fits(len(fanins)):
            what = f"{_WORDS.get(kind, kind.name)} takes {kind.takes}, got {len(fanins)}"
            raise fault(source, line, what, f"Correct the fan-ins of {name!r}")
        names[name] = line
        kinds.append(kind)
        reads.append(fanins)
    if not names:
        raise fault(source, len(lines), "expected a circuit, got no gates", "Replace the file")

    number = {name: gate for gate, name in enumerate(names)}
    used = [(line, name) for line, fanins in zip(names.values(), reads, strict=True) for name in fanins]
    for line, name in [*used, *outputs.items()]:
        if name not in number:
            what = f"expected the name of an input or a gate, got {name!r}, which no line defines"
            raise fault(source, line, what, "Define it, or correct the name")
    try:
        return Netlist(
            names=tuple(names),
            kinds=tuple(kinds),
            fanins=tuple(tuple(number[name] for name in fanins) for fanins in reads),
            outputs=tuple(number[name] for name in outputs.values()),
        )
    except CombinationalCycleError as error:
        line = list(names.values())[error.cycle[0]]
        raise fault(source, line, str(error), "Correct a fan-in, or put a DFF in the cycle") from error


def write_bench(netlist: Netlist, path: str | Path) -> None:
    """Write a circuit as a `.bench` file; see `format_bench`."""
    Path(path).write_bytes(format_bench(netlist).encode())


def format_bench(netlist: Netlist) -> str:
    """The circuit in the `.bench` format; `parse_bench` gives back an equal one.

    Raises:
        ValueError: a name that the format cannot hold, or a latch that is not reset to 0.
    """
    for name in netlist.names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"names in the .bench format have no blanks and none of ( ) , = #, got {name!r}: rename the gate."
            )
    for latch, reset in zip(netlist.latches, netlist.resets, strict=True):
        if reset != 0:
            raise ValueError(
                f"latches in the .bench format are reset to 0, but {netlist.names[latch]!r} is to {reset}: "
                f"replace netlist.resets, or write AIGER."
            )
    lines = []
    for name, kind, fanins in zip(netlist.names, netlist.kinds, netlist.fanins, strict=True):
        if kind == Kind.INPUT:
            lines.append(f"INPUT({name})")
        elif kind in (Kind.CONST0, Kind.CONST1):
            lines.append(f"{name} = {_WORDS[kind].lower()}")
        else:
            lines.append(f"{name} = {_WORDS[kind]}({', '.join(netlist.names[gate] for gate in fanins)})")
    # Outputs follow the inputs that come first.
    after = next((gate for gate, kind in enumerate(netlist.kinds) if kind != Kind.INPUT), len(netlist))
    lines[after:after] = [f"OUTPUT({netlist.names[gate]})" for gate in netlist.outputs]
    return "".join(f"{line}\n" for line in lines)


def _definition(content: str, source: str, line: int) -> tuple[str, Kind | None, list[str]]:
    """What a line says: a name, its kind (None: an output) and what it reads."""
    if port := _PORT.fullmatch(content):
        keyword, name = port.groups()
        kind, fanins = (Kind.INPUT if keyword.upper() == "INPUT" else None), []
    elif constant := _CONSTANT.fullmatch(content):
        name, word = constant.groups()
        kind, fanins = _KINDS[word.upper()], []
    elif gate := _GATE.fullmatch(content):
        name, word, arguments = gate.groups()
        if word.upper() not in _KINDS:
            what = f"expected one of {', '.join(_KINDS)}, got the unknown gate {word!r}"
            raise fault(source, line, what, "Express it by these gates")
        kind = _KINDS[word.upper()]
        fanins = [part.strip() for part in arguments.split(",")] if arguments.strip() else []
    else:
        what = f"expected INPUT(name), OUTPUT(name) or name = GATE(name, …), got {content!r}"
        raise fault(source, line, what, "Correct the line; if it is the last one, the file may be cut off")
    for text in (name.strip(), *fanins):
        if not _NAME.fullmatch(text):
            what = f"expected a name without blanks, got {text!r}"
            raise fault(source, line, what, "Correct the line")
    return name.strip(), kind, fanins

"""Circuits in the `.bench` format of the ISCAS-85 and ISCAS-89 benchmarks.

Sources: F. Brglez and H. Fujiwara, "A neutral netlist of 10 combinational benchmark circuits and a target translator
in Fortran", ISCAS 1985; F. Brglez, D. Bryan and K. Kozminski, "Combinational profiles of sequential benchmark
circuits", ISCAS 1989; and what ABC reads and writes (Berkeley Logic Synthesis and Verification Group, "ABC: A System
for Sequential Synthesis and Verification").
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .._files import read_text
from ._text import fault, quoted
from .netlist import CombinationalCycleError, Kind, Netlist

_PORT = re.compile(r"(INPUT|OUTPUT)\s*\(([^()]*)\)", re.IGNORECASE)
_GATE = re.compile(r"([^=]*)=\s*([^\s()=]+)\s*\(([^()]*)\)")
_LUT = re.compile(r"([^=]*)=\s*(LUT)\s+([^\s()=]+)\s*\(([^()]*)\)", re.IGNORECASE)
_ALIAS = re.compile(r"([^=]*)=\s*([^\s(),=]+)")
_NAME = re.compile(r"[^\s(),=#]+")

_KINDS = {
    "AND": Kind.AND, "NAND": Kind.NAND, "OR": Kind.OR, "NOR": Kind.NOR, "XOR": Kind.XOR, "XNOR": Kind.XNOR,
    "NXOR": Kind.XNOR, "NOT": Kind.NOT, "INV": Kind.NOT, "BUFF": Kind.BUF, "BUF": Kind.BUF,
    "GND": Kind.CONST0, "VDD": Kind.CONST1,
}  # fmt: skip
_FLIPFLOPS = ("DFF", "DFF0", "DFF1", "DFFRSE")
_GATES = (*_KINDS, *_FLIPFLOPS, "LUT", "MUX")
# What gates of one input are.
_OF_ONE = {
    Kind.AND: Kind.BUF, Kind.OR: Kind.BUF, Kind.XOR: Kind.BUF,
    Kind.NAND: Kind.NOT, Kind.NOR: Kind.NOT, Kind.XNOR: Kind.NOT,
}  # fmt: skip
_WORDS = {
    **{kind: kind.name for kind in (*_OF_ONE, Kind.NOT)},
    Kind.BUF: "BUFF", Kind.LATCH: "DFF", Kind.CONST0: "gnd", Kind.CONST1: "vdd",
}  # fmt: skip
_MUX = 0xCA  # of what is read where the first is 0, where it is 1, and the first
_WIDEST = 16  # inputs of a look-up table


def read_bench(path: str | Path, reset: int | None = 0) -> Netlist:
    """The circuit in a `.bench` file; see `parse_bench`."""
    return parse_bench(read_text(Path(path)), str(path), reset)


def parse_bench(text: str, source: str = "", reset: int | None = 0) -> Netlist:
    """The circuit that a text in the `.bench` format describes.

    One definition per line: `INPUT(a)`, `OUTPUT(y)`, or `y = NAND(a, b)` with one of

    | | |
    |---|---|
    | AND, NAND, OR, NOR, XOR, XNOR (or NXOR) | of one or more; of one they are BUF or NOT |
    | NOT (or INV), BUFF (or BUF, or nothing: `y = a`) | of one |
    | `y = vdd`, `y = gnd` | constants; in place of a name both may also be read without a line of their own |
    | MUX(s, a, b) | a where s is 1, else b |
    | LUT 0x8 (a, b, …) | bit i of the number, where a is bit 0 of i, b bit 1, … |
    | DFF | a latch |
    | DFF0, DFF1 | a latch reset to 0 or 1 |
    | DFFRSE(d, gnd, …) | a latch without reset, set and enable |

    MUX and LUT become AND, OR, NOT and so on; all but the last of these are called by names that the text has not.
    These words may be in capitals or not; `#` begins a comment; a gate may be used before it is defined. Gates are
    numbered in the order in which they are defined.

    The format does not say at what DFF and DFFRSE are reset. The ISCAS-89 circuits are mostly simulated from 0, which
    is the default here; to ABC it is unknown, which is `reset=None`.

    Args:
        text: what the file holds.
        source: what errors call it.
        reset: what flip-flops show in the first clock cycle where the text does not say it: 0, 1, or None for either.

    Raises:
        ValueError: a malformed line, an unknown gate, a wrong number of fan-ins, a flip-flop whose reset, set or enable
            is used, a name that is defined twice or not at all, a cycle without DFF, or no gates: with the line.
    """
    if reset not in (0, 1, None):
        raise ValueError(f"reset must be 0, 1 or None for either, got {reset!r}.")
    lines = text.removeprefix("\ufeff").split("\n")
    definitions: dict[str, _Definition] = {}
    outputs: list[_Definition] = []
    for line, written in enumerate(lines, start=1):
        content = written.partition("#")[0].strip()
        if content:
            found = _definition(content, source, line)
            if found.word == "OUTPUT":
                outputs.append(found)
                continue
            if found.name in definitions:
                what = f"expected a new name, got {found.name!r}, which line {definitions[found.name].line} defines"
                raise fault(source, f"line {line}", what, "Rename one of them")
            definitions[found.name] = found
    if not definitions:
        raise fault(source, f"line {len(lines)}", "expected a circuit, got no gates", "Replace the file")
    return _Gates(definitions, outputs, source, reset).netlist()


def write_bench(netlist: Netlist, path: str | Path) -> None:
    """Write a circuit as a `.bench` file; see `format_bench`."""
    Path(path).write_bytes(format_bench(netlist).encode())


def format_bench(netlist: Netlist) -> str:
    """The circuit in the `.bench` format; `parse_bench` gives back an equal one.

    Raises:
        ValueError: a name that the format cannot hold, a latch that is not reset to 0, or properties (bad states and
            so on).
    """
    if netlist.bad or netlist.constraints or netlist.justice or netlist.fairness:
        raise ValueError(
            f"the .bench format has outputs and no properties, but this is {netlist}: make outputs of them, take "
            f"them out, or write AIGER."
        )
    for name in netlist.names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"names in the .bench format have no blanks and none of ( ) , = #, got {name!r}: rename the gate."
            )
    for latch, reset in zip(netlist.latches, netlist.resets, strict=True):
        if reset != 0:
            raise ValueError(
                f"the .bench format does not say at what latches are reset, which parse_bench takes for 0, but "
                f"{netlist.names[latch]!r} is reset to {reset}: replace netlist.resets, or write AIGER."
            )
    lines = []
    for name, kind, fanins in zip(netlist.names, netlist.kinds, netlist.fanins, strict=True):
        if kind == Kind.INPUT:
            lines.append(f"INPUT({name})")
        elif kind in (Kind.CONST0, Kind.CONST1):
            lines.append(f"{name} = {_WORDS[kind]}")
        else:
            lines.append(f"{name} = {_WORDS[kind]}({', '.join(netlist.names[gate] for gate in fanins)})")
    # Outputs follow the inputs that come first.
    after = next((gate for gate, kind in enumerate(netlist.kinds) if kind != Kind.INPUT), len(netlist))
    lines[after:after] = [f"OUTPUT({netlist.names[gate]})" for gate in netlist.outputs]
    return "".join(f"{line}\n" for line in lines)


class _Definition(NamedTuple):
    """What a line says: `name = word table (reads)`."""

    line: int
    name: str
    word: str
    reads: list[str]
    table: str = ""


def _definition(content: str, source: str, line: int) -> _Definition:
    table = arguments = ""
    if port := _PORT.fullmatch(content):
        word, name = port.groups()
    elif gate := _LUT.fullmatch(content):
        name, word, table, arguments = gate.groups()
    elif gate := _GATE.fullmatch(content):
        name, word, arguments = gate.groups()
        if word.upper() not in _GATES:
            what = f"expected one of {', '.join(_GATES)}, got the unknown gate {quoted(word)}"
            raise fault(source, f"line {line}", what, "Express it by these gates")
    elif alias := _ALIAS.fullmatch(content):
        name, word = alias.groups()
        if word.upper() not in ("GND", "VDD"):
            word, arguments = "BUF", word
    else:
        what = f"expected INPUT(name), OUTPUT(name) or name = GATE(name, …), got {quoted(content)}"
        mend = "Correct the line; if it is the last one, the file may be cut off"
        raise fault(source, f"line {line}", what, mend)
    reads = [part.strip() for part in arguments.split(",")] if arguments.strip() else []
    for text in (name.strip(), *reads):
        if not _NAME.fullmatch(text):
            what = f"expected a name without blanks, got {quoted(text)}"
            raise fault(source, f"line {line}", what, "Correct the line")
    return _Definition(line, name.strip(), word.upper(), reads, table)


class _Gates:
    """The gates of a text, in the order in which it defines them."""

    def __init__(
        self,
        definitions: dict[str, _Definition],
        outputs: list[_Definition],
        source: str,
        reset: int | None,
    ) -> None:
        self.definitions = definitions
        self.outputs = outputs
        self.source = source
        self.reset = reset
        self.taken = {name for one in [*definitions.values(), *outputs] for name in (one.name, *one.reads)}
        self.number: dict[str, int] = {}
        self.kinds: list[Kind] = []
        self.reads: list[list[str]] = []
        self.resets: list[int | None] = []
        self.lines: list[int] = []

    def netlist(self) -> Netlist:
        used = []
        for one in self.definitions.values():
            self._define(one)
            used += [(one, name) for name in (one.reads[:1] if one.word == "DFFRSE" else one.reads)]
        for one, name in [*used, *((one, one.name) for one in self.outputs)]:
            if name not in self.number:
                if name.upper() not in ("GND", "VDD"):
                    what = f"expected the name of an input or a gate, got {name!r}, which no line defines"
                    raise self._fault(one, what, "Define it, or correct the name")
                self._add(one, _KINDS[name.upper()], [], name)
        try:
            return Netlist(
                names=tuple(self.number),
                kinds=tuple(self.kinds),
                fanins=tuple(tuple(self.number[name] for name in reads) for reads in self.reads),
                outputs=tuple(self.number[one.name] for one in self.outputs),
                resets=tuple(self.resets),
            )
        except CombinationalCycleError as error:
            line = f"line {self.lines[error.cycle[0]]}"
            raise fault(
                self.source, line, str(error), "Correct a fan-in, or put a DFF in the cycle"
            ) from error

    def _define(self, one: _Definition) -> None:
        reads = one.reads
        if one.word == "INPUT":
            self._add(one, Kind.INPUT, [])
        elif one.word in _FLIPFLOPS:
            self._add_flipflop(one)
        elif one.word == "MUX":
            self._check_fanins(one, "three fan-ins", len(reads) == 3)
            self._add_lookup(one, _MUX, [reads[2], reads[1], reads[0]])
        elif one.word == "LUT":
            self._add_lookup(one, self._table(one), reads)
        else:
            kind = _KINDS[one.word]
            if kind in _OF_ONE:
                self._check_fanins(one, "one or more fan-ins", len(reads) > 0)
                kind = _OF_ONE[kind] if len(reads) == 1 else kind
            self._check_fanins(one, kind.takes, kind.fits(len(reads)))
            self._add(one, kind, reads)

    def _add_flipflop(self, one: _Definition) -> None:
        if one.word == "DFFRSE":
            self._check_fanins(one, "a fan-in, and then gnd for reset, set and enable", len(one.reads) > 1)
            for name in one.reads[1:]:
                defined = self.definitions.get(name)
                if (defined.word if defined else name.upper()) != "GND":
                    what = f"expected gnd for reset, set and enable of {one.name!r}, got {name!r}"
                    raise self._fault(one, what, "Put them into gates before a DFF")
        else:
            self._check_fanins(one, Kind.LATCH.takes, len(one.reads) == 1)
        self._add(one, Kind.LATCH, one.reads[:1])
        self.resets.append({"DFF0": 0, "DFF1": 1}.get(one.word, self.reset))

    def _table(self, one: _Definition) -> int:
        rows = 1 << min(len(one.reads), _WIDEST)
        self._check_fanins(one, f"up to {_WIDEST} fan-ins", len(one.reads) <= _WIDEST)
        if not re.fullmatch("0x[0-9a-f]+", one.table, re.IGNORECASE):
            what = f"expected LUT and a table such as 0xe8, got {quoted(one.table)}"
            raise self._fault(one, what, "Write it in hexadecimal digits after 0x")
        table = int(one.table, 16)
        if table >> rows:
            what = f"expected a table of {rows} bits for {len(one.reads)} fan-ins, got {quoted(one.table)}"
            raise self._fault(one, what, f"Correct the table, or the fan-ins of {one.name!r}")
        return table

    def _add_lookup(self, one: _Definition, table: int, reads: list[str]) -> None:
        """A gate that shows bit i of a table, i being what it reads, the lowest bit first; before it those it needs.

        Where no gate of these inputs does it, an OR of ANDs.
        """
        kind = _kinds(len(reads)).get(table)
        if kind is not None:
            self._add(one, kind, reads if kind > Kind.CONST1 else [])
            return
        products = _products(table, len(reads))
        inverted = dict.fromkeys(place for product in products for place, value in product if not value)
        inverse = {place: self._add_unnamed(one, Kind.NOT, [reads[place]]) for place in inverted}
        factors = [[reads[place] if value else inverse[place] for place, value in some] for some in products]
        last = factors.pop()
        if not factors:
            self._add(one, Kind.AND if len(last) > 1 else Kind.BUF, last)
            return
        self._add(one, Kind.OR, [self._add_unnamed(one, Kind.AND, some) for some in [*factors, last]])

    def _add(self, one: _Definition, kind: Kind, reads: list[str], name: str = "") -> None:
        self.number[name or one.name] = len(self.kinds)
        self.kinds.append(kind)
        self.reads.append(reads)
        self.lines.append(one.line)

    def _add_unnamed(self, one: _Definition, kind: Kind, reads: list[str]) -> str:
        """The name of a gate that the text does not name; of one fan-in, the AND is that itself."""
        if kind == Kind.AND and len(reads) == 1:
            return reads[0]
        name = f"{one.name}_{len(self.kinds)}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        self._add(one, kind, reads, name)
        return name

    def _check_fanins(self, one: _Definition, takes: str, fit: bool) -> None:
        if not fit:
            what = f"{one.word} takes {takes}, got {len(one.reads)}"
            raise self._fault(one, what, f"Correct the fan-ins of {one.name!r}")

    def _fault(self, one: _Definition, what: str, mend: str) -> ValueError:
        return fault(self.source, f"line {one.line}", what, mend)


@cache
def _kinds(inputs: int) -> dict[int, Kind]:
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
        tables[table] = plain if inputs > 1 else _OF_ONE[plain]
        tables[ones ^ table] = complement if inputs > 1 else _OF_ONE[complement]
    return tables | {0: Kind.CONST0, ones: Kind.CONST1}


def _products(table: int, inputs: int) -> list[tuple[tuple[int, int], ...]]:
    """Where a table is 1: the values of some inputs in one case, in another, and so on, by place and value.

    By C. E. Shannon's expansion: where the last input is 0, and where it is 1.
    """
    rows = (1 << inputs) // 2
    ones = (1 << rows) - 1
    if not rows or table in (0, ones << rows | ones):
        return [()] if table else []
    last = inputs - 1
    low = _products(table & ones, last)
    if table & ones == table >> rows:
        return low
    high = _products(table >> rows, last)
    return [(*some, (last, 0)) for some in low] + [(*some, (last, 1)) for some in high]

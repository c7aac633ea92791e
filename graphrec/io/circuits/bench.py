"""Circuits in the `.bench` format of the ISCAS-85 and ISCAS-89 benchmarks.

Sources: F. Brglez and H. Fujiwara, "A neutral netlist of 10 combinational benchmark circuits and a target translator
in Fortran", ISCAS 1985; F. Brglez, D. Bryan and K. Kozminski, "Combinational profiles of sequential benchmark
circuits", ISCAS 1989; and what ABC reads and writes (Berkeley Logic Synthesis and Verification Group, "ABC: A System
for Sequential Synthesis and Verification").
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ...structure.checks import check_one_of
from .errors import fault, quoted
from .lookup import OF_ONE, gates_by_table, products_of
from .netlist import CombinationalCycleError, Kind, Netlist

# `INPUT(a)`; or `y = `, and then `GATE(a, b)`, `LUT 0x8 (a, b)` or a name.
_PORT = re.compile(r"(INPUT|OUTPUT)\s*\(([^()]*)\)", re.IGNORECASE | re.ASCII)
_GATE = re.compile(r"([^=]*)=\s*([^\s()=]+)(?:\s+([^\s()=]+))?\s*\(([^()]*)\)")
_ALIAS = re.compile(r"([^=]*)=\s*([^\s(),=]+)")
_NAME = re.compile(r"[^\s(),=#]+")
_TABLE = re.compile(r"0x[0-9a-f]+", re.IGNORECASE | re.ASCII)

_KINDS = {
    "AND": Kind.AND, "NAND": Kind.NAND, "OR": Kind.OR, "NOR": Kind.NOR, "XOR": Kind.XOR, "XNOR": Kind.XNOR,
    "NXOR": Kind.XNOR, "NOT": Kind.NOT, "INV": Kind.NOT, "BUFF": Kind.BUF, "BUF": Kind.BUF,
    "GND": Kind.CONST0, "VDD": Kind.CONST1,
}  # fmt: skip
_FLIPFLOPS = ("DFF", "DFF0", "DFF1", "DFFRSE")
_GATES = (*_KINDS, *_FLIPFLOPS, "LUT", "MUX")
_MUX = 0xCA  # of what is read where the first is 0, where it is 1, and the first
_WIDEST = 16  # inputs of a look-up table


def read_bench(path: str | Path, reset: int | None = 0) -> Netlist:
    """The circuit in a `.bench` file; see `parse_bench`."""
    data = Path(path).read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        what = (
            f"expected UTF-8 text, got the byte {data[error.start]:#04x} of a binary file or another encoding"
        )
        raise fault(str(path), f"line {line}", what, "Convert the file to UTF-8, or replace it") from error
    return parse_bench(text, str(path), reset)


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
    check_one_of("reset", reset, (0, 1, None), " for either")
    if not isinstance(text, str):
        raise TypeError(f"expected a circuit as a text, got {type(text).__name__}: read_bench takes a path.")
    return _Reader(text, source, reset).netlist()


class _Definition(NamedTuple):
    """What a line says: `name = word table (reads)`."""

    line: int
    name: str
    word: str
    reads: list[str]
    table: str


class _Reader:
    """The definitions of a text by name, and the gates that are made of them, in the same order."""

    def __init__(self, text: str, source: str, reset: int | None) -> None:
        self.source, self.reset = source, reset
        self.definitions: dict[str, _Definition] = {}
        self.outputs: list[_Definition] = []
        self.taken: set[str] = set()  # names that no gate of ours may have
        self.number: dict[str, int] = {}
        self.kinds: list[Kind] = []
        self.reads: list[list[str]] = []
        self.resets: list[int | None] = []
        self.lines: list[int] = []
        line = 0
        for line, written in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
            content = written.partition("#")[0].strip()
            if content:
                self._collect(self._read(content, line))
        if not self.definitions:
            raise self._fault(line, "expected a circuit, got no gates", "Replace the file")

    def netlist(self) -> Netlist:
        used = []
        for one in self.definitions.values():
            self._define(one)
            used += [(one.line, name) for name in (one.reads[:1] if one.word == "DFFRSE" else one.reads)]
        for line, name in [*used, *((one.line, one.name) for one in self.outputs)]:
            if name not in self.number:
                if name.upper() not in ("GND", "VDD"):
                    what = (
                        f"expected the name of an input or a gate, got {quoted(name)}, which no line defines"
                    )
                    raise self._fault(line, what, "Define it, or correct the name")
                self._add(line, name, _KINDS[name.upper()], [])
        try:
            return Netlist(
                names=tuple(self.number),
                kinds=tuple(self.kinds),
                fanins=tuple(tuple(self.number[name] for name in reads) for reads in self.reads),
                outputs=tuple(self.number[one.name] for one in self.outputs),
                resets=tuple(self.resets),
            )
        except CombinationalCycleError as error:
            mend = "Correct a fan-in, or put a DFF in the cycle"
            raise self._fault(self.lines[error.cycle[0]], str(error), mend) from error

    def _read(self, content: str, line: int) -> _Definition:
        table, arguments = "", ""
        if found := _PORT.fullmatch(content):
            word, name = found.groups()
        elif found := _GATE.fullmatch(content):
            name, word, table, arguments = found.groups(default="")
            if word.upper() not in _GATES:
                what = f"expected one of {', '.join(_GATES)}, got the unknown gate {quoted(word)}"
                raise self._fault(line, what, "Express it by these gates")
        elif found := _ALIAS.fullmatch(content):
            name, word = found.groups()
            if word.upper() not in ("GND", "VDD"):
                word, arguments = "BUF", word
        else:
            name = word = ""
        if not found or (table and word.upper() != "LUT"):
            what = f"expected INPUT(name), OUTPUT(name) or name = GATE(name, …), got {quoted(content)}"
            raise self._fault(line, what, "Correct the line; if it is the last one, the file may be cut off")
        reads = [part.strip() for part in arguments.split(",")] if arguments.strip() else []
        for text in (name.strip(), *reads):
            if not _NAME.fullmatch(text):
                raise self._fault(
                    line, f"expected a name without blanks, got {quoted(text)}", "Correct the line"
                )
        return _Definition(line, name.strip(), word.upper(), reads, table)

    def _collect(self, one: _Definition) -> None:
        self.taken.update((one.name, *one.reads))
        if one.word == "OUTPUT":
            self.outputs.append(one)
        elif one.name in self.definitions:
            before = self.definitions[one.name].line
            what = f"expected a new name, got {quoted(one.name)}, which line {before} defines"
            raise self._fault(one.line, what, "Rename one of them")
        else:
            self.definitions[one.name] = one

    def _define(self, one: _Definition) -> None:
        reads, word = one.reads, one.word
        if word == "INPUT":
            self._add(one.line, one.name, Kind.INPUT, [])
        elif word in _FLIPFLOPS:
            self._add_flipflop(one)
        elif word == "MUX":
            self._check_fanins(one, "three fan-ins", len(reads) == 3)
            self._add_lookup(one, _MUX, reads[::-1])
        elif word == "LUT":
            self._add_lookup(one, self._table(one), reads)
        else:
            kind = _KINDS[word]
            if kind in OF_ONE:
                self._check_fanins(one, "one or more fan-ins", len(reads) > 0)
                kind = OF_ONE[kind] if len(reads) == 1 else kind
            self._check_fanins(one, kind.takes, kind.fits(len(reads)))
            self._add(one.line, one.name, kind, reads)

    def _add_flipflop(self, one: _Definition) -> None:
        if one.word == "DFFRSE":
            self._check_fanins(one, "a fan-in, and then gnd for reset, set and enable", len(one.reads) > 1)
            for name in one.reads[1:]:
                defined = self.definitions.get(name)
                if (defined.word if defined else name.upper()) != "GND":
                    what = f"expected gnd for reset, set and enable of {quoted(one.name)}, got {quoted(name)}"
                    raise self._fault(one.line, what, "Put them into gates before a DFF")
        else:
            self._check_fanins(one, Kind.LATCH.takes, len(one.reads) == 1)
        self._add(one.line, one.name, Kind.LATCH, one.reads[:1])
        self.resets.append({"DFF0": 0, "DFF1": 1}.get(one.word, self.reset))

    def _table(self, one: _Definition) -> int:
        self._check_fanins(one, f"up to {_WIDEST} fan-ins", len(one.reads) <= _WIDEST)
        if not _TABLE.fullmatch(one.table):
            what = f"expected LUT and a table such as 0xe8, got {quoted(one.table)}"
            raise self._fault(one.line, what, "Write it in hexadecimal digits after 0x")
        rows, table = 1 << len(one.reads), int(one.table, 16)
        if table >> rows:
            what = f"expected a table of {rows} bits for {len(one.reads)} fan-ins, got {quoted(one.table)}"
            raise self._fault(one.line, what, f"Correct the table, or the fan-ins of {quoted(one.name)}")
        return table

    def _add_lookup(self, one: _Definition, table: int, reads: list[str]) -> None:
        """The gate that shows a table; where no gate does, an OR of ANDs, before it those that it reads."""
        kind = gates_by_table(len(reads)).get(table)
        if kind is not None:
            self._add(one.line, one.name, kind, reads if kind > Kind.CONST1 else [])
            return
        products = products_of(table, len(reads))
        inverted = dict.fromkeys(place for product in products for place, value in product if not value)
        inverse = {place: self._add_unnamed(one, Kind.NOT, [reads[place]]) for place in inverted}
        factors = [[reads[place] if value else inverse[place] for place, value in some] for some in products]
        if len(factors) == 1:
            (last,) = factors
            self._add(one.line, one.name, Kind.AND if len(last) > 1 else Kind.BUF, last)
        else:
            read = [some[0] if len(some) == 1 else self._add_unnamed(one, Kind.AND, some) for some in factors]
            self._add(one.line, one.name, Kind.OR, read)

    def _add(self, line: int, name: str, kind: Kind, reads: list[str]) -> None:
        self.number[name] = len(self.kinds)
        self.kinds.append(kind)
        self.reads.append(reads)
        self.lines.append(line)

    def _add_unnamed(self, one: _Definition, kind: Kind, reads: list[str]) -> str:
        """A gate that the text does not name; its name."""
        name = f"{one.name}_{len(self.kinds)}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        self._add(one.line, name, kind, reads)
        return name

    def _check_fanins(self, one: _Definition, takes: str, fit: bool) -> None:
        if not fit:
            what = f"{one.word} takes {takes}, got {len(one.reads)}"
            raise self._fault(one.line, what, f"Correct the fan-ins of {quoted(one.name)}")

    def _fault(self, line: int, what: str, mend: str) -> ValueError:
        return fault(self.source, f"line {line}", what, mend)

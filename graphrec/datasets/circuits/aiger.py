"""Circuits in AIGER, the format of and-inverter graphs, ASCII (`.aag`) and binary (`.aig`).

Sources: A. Biere, "The AIGER And-Inverter Graph (AIG) format version 20071012", Johannes Kepler University Linz, 2007;
A. Biere, K. Heljanko and S. Wieringa, "AIGER 1.9 And Beyond", Johannes Kepler University Linz, 2011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ._text import fault, quoted
from .aig import Literals, literals
from .netlist import CombinationalCycleError, Kind, Netlist

_MARK = b"\xef\xbb\xbf"  # the byte-order mark of UTF-8
_NUMBER = re.compile(r"[0-9]{1,18}")
_MOST_INPUTS = 10**7  # of a binary file, which has nothing of them but this number
_SYMBOL = re.compile(rb"([ilobcjf])([0-9]{1,18}) (.+)")
_LETTERS = {
    "i": "inputs", "l": "latches", "o": "outputs", "b": "bad states", "c": "constraints",
    "j": "justice properties", "f": "fairness constraints",
}  # fmt: skip


def is_aiger(data: bytes) -> bool:
    """Whether a file that begins so is AIGER, by its header."""
    return data.removeprefix(_MARK)[:4] in (b"aag ", b"aig ")


def read_aiger(path: str | Path) -> Netlist:
    """The circuit in a file, ASCII or binary, whatever its name; see `parse_aiger`."""
    return parse_aiger(Path(path).read_bytes(), str(path))


def parse_aiger(text: str | bytes, source: str = "") -> Netlist:
    """The circuit that AIGER describes.

    The header `aag M I L O A B C J F` gives the highest variable and the numbers of inputs, latches, outputs, ANDs, bad
    states, invariant constraints, justice properties and fairness constraints; of the last four, those that are 0 may
    be missing at its end. These follow, then symbols and comments. In binary files (`aig`) inputs are only counted, and
    ANDs are differences of literals, 7 bits to a byte.

    A complemented literal becomes a NOT, one for all who read it. Inputs and latches are called by their symbols. The
    symbol of an output, a bad state or a constraint is the name of the AND, NOT or constant that it shows, if no other
    has it; else it is kept in `symbols`. See `Literals.netlist` for the other names, and the order.

    ABC writes a circuit that has a latch not reset to 0 with its outputs as bad states, and no outputs. They are not
    moved back here: `outputs` is what the file calls outputs.

    Args:
        text: what the file holds; if binary, bytes.
        source: what errors call it.

    Raises:
        ValueError: a malformed header, line or symbol, a literal out of range, an odd one on the left, one that is
            defined twice or not at all, a file cut off, a cycle of ANDs: with the line; from the first AND of a
            binary file on with the byte, counted from 0.
    """
    return _Reader(text, source).netlist()


def write_aiger(netlist: Netlist, path: str | Path) -> None:
    """Write a circuit as an `.aag` file; see `format_aiger`."""
    Path(path).write_bytes(format_aiger(netlist).encode())


def format_aiger(netlist: Netlist) -> str:
    """The circuit in ASCII AIGER; `parse_aiger` gives back one that is equal but for the names of inner gates.

    Exactly that if the circuit came from `parse_aiger` or `to_aig`; else NOTs may stand elsewhere or be shared.

    Raises:
        ValueError: gates other than inputs, constants, latches, NOTs and ANDs of two; a name of several lines.
    """
    for name, kind, fanins in zip(netlist.names, netlist.kinds, netlist.fanins, strict=True):
        if kind not in _ALLOWED or len(fanins) > 2:
            raise ValueError(
                f"AIGER has inputs, constants, latches, NOT and AND of two, but {name!r} is {kind.name} of "
                f"{len(fanins)}: write to_aig(netlist)."
            )
        if "\n" in name or name != name.strip():
            raise ValueError(
                f"names in AIGER are one line without blanks around, got {name!r}: rename the gate."
            )
    aig = literals(netlist)
    counts = [len(part) for part in (aig.inputs, aig.latches, aig.outputs, aig.ands)]
    properties = [len(part) for part in (aig.bad, aig.constraints, aig.justice, aig.fairness)]
    while properties and not properties[-1]:
        properties.pop()
    lines = [" ".join(map(str, ["aag", counts[0] + counts[1] + counts[3], *counts, *properties]))]
    lines += map(str, aig.inputs)
    for latch, read, reset in aig.latches:
        # 0 is what a latch without reset has; its own literal stands for either value.
        lines.append(f"{latch} {read}" + ("" if reset == 0 else f" {latch if reset is None else reset}"))
    lines += map(str, [*aig.outputs, *aig.bad, *aig.constraints])
    lines += [str(len(some)) for some in aig.justice] + [str(one) for some in aig.justice for one in some]
    lines += map(str, aig.fairness)
    lines += [" ".join(map(str, gate)) for gate in aig.ands]
    parts = (netlist.inputs, netlist.latches, netlist.outputs, netlist.bad, netlist.constraints)
    named = zip("ilobcf", [*parts, netlist.fairness], strict=True)
    symbols = {f"{letter}{place}": netlist.names[g] for letter, part in named for place, g in enumerate(part)}
    lines += [f"{place} {name}" for place, name in (symbols | aig.symbols).items()]
    return "".join(f"{line}\n" for line in lines)


_ALLOWED = {Kind.INPUT, Kind.CONST0, Kind.CONST1, Kind.LATCH, Kind.NOT, Kind.AND}


class _Reader:
    """Goes through the bytes of one file."""

    def __init__(self, text: str | bytes, source: str) -> None:
        self.data = text.encode() if isinstance(text, str) else text
        self.is_text = isinstance(text, str)
        self.source = source
        self.at = len(_MARK) if self.data.startswith(_MARK) else 0
        self.begin = 0  # of what is being read
        self.line = 0
        self.by_bytes = False  # how errors say where
        self.highest = 0
        self.defined: dict[int, int] = {}  # literal: line
        self.used: list[tuple[int, int]] = []  # line, literal
        self.aig = Literals()

    def netlist(self) -> Netlist:
        binary, counts = self._header()
        self.highest, inputs, latches, outputs, ands, bad, constraints, justice, fairness = counts
        aig = self.aig
        if binary:
            aig.inputs = list(range(2, 2 * inputs + 2, 2))
        else:
            aig.inputs = [self._define(literal) for literal in self._column("input", inputs, "one literal")]
        for place in range(latches):
            what = f"latch {place + 1} of {latches}"
            if binary:
                literal = 2 * (inputs + place + 1)
                read, *reset = self._numbers(what, "what it reads and maybe a reset", (1, 2))
            else:
                literal, read, *reset = self._numbers(
                    what, "its literal, what it reads and maybe a reset", (2, 3)
                )
                self._define(literal)
            aig.latches.append((literal, self._use(read), self._reset(literal, reset)))
        aig.outputs = self._reads("output", outputs)
        aig.bad = self._reads("bad state", bad)
        aig.constraints = self._reads("constraint", constraints)
        sizes = list(self._column("justice property", justice, "how many literals it has"))
        for place, size in enumerate(sizes):
            aig.justice.append(self._reads(f"justice property {place + 1} of {justice}, literal", size))
        aig.fairness = self._reads("fairness constraint", fairness)
        if binary:
            self._binary_ands(2 * (inputs + latches + 1), ands)
        else:
            self._ascii_ands(ands)
        self._symbols()
        try:
            return aig.netlist()
        except CombinationalCycleError as error:
            # ANDs follow the inputs and latches; the NOTs between them have no lines.
            heads = list(self.defined.values())
            self.line = next(heads[gate] for gate in error.cycle if gate < len(heads))
            raise self._fault(str(error), "Correct a literal, or put a latch in the cycle") from error

    def _header(self) -> tuple[bool, list[int]]:
        """Whether the file is binary, and the nine numbers."""
        written = self._next_line() or ""
        word, *parts = written.split() or [""]
        known = word in ("aag", "aig") and 5 <= len(parts) <= 9
        if not known or not all(_NUMBER.fullmatch(part) for part in parts):
            what = "expected the header 'aag M I L O A' or 'aig M I L O A', then maybe B, C, J and F"
            raise self._fault(f"{what}, got {quoted(written)}", "Correct the header, or replace the file")
        if word == "aig" and self.is_text:
            what = "expected ASCII AIGER (aag) in a str, got binary (aig)"
            raise self._fault(what, "Give bytes, or the file to read_aiger")
        counts = [int(part) for part in parts] + [0] * (9 - len(parts))
        needed = counts[1] + counts[2] + counts[4]
        if counts[0] < needed or (word == "aig" and counts[0] > needed):
            what = f"expected M of {needed}{'' if word == 'aig' else ' or more'} (I + L + A), got {counts[0]}"
            raise self._fault(what, "Correct the header")
        if word == "aig" and counts[1] > _MOST_INPUTS:
            what = f"expected up to {_MOST_INPUTS:,} inputs, got {counts[1]:,}"
            raise self._fault(what, "Correct the header, or write the file in ASCII")
        return word == "aig", counts

    def _next_line(self) -> str | None:
        """The next line, None after the last; bytes that are no UTF-8 are written out."""
        if self.at >= len(self.data):
            self.line, self.begin = self.line + 1, len(self.data)
            return None
        end = self.data.find(b"\n", self.at)
        end = len(self.data) if end < 0 else end
        self.line, self.begin, self.at = self.line + 1, self.at, end + 1
        return self.data[self.begin : end].rstrip().decode("utf-8", "backslashreplace")

    def _numbers(self, what: str, expected: str, counts: tuple[int, ...]) -> list[int]:
        """The numbers on the next line."""
        written = self._next_line()
        if written is None:
            raise self._cut_off(f"expected {what}")
        parts = written.split()
        if len(parts) not in counts or not all(_NUMBER.fullmatch(part) for part in parts):
            what = f"expected {what}, {expected}, got {quoted(written)}"
            raise self._fault(what, "Correct the line, or the header's counts")
        return [int(part) for part in parts]

    def _column(self, what: str, count: int, expected: str) -> Iterator[int]:
        """The numbers on the next lines, one each."""
        for place in range(count):
            yield self._numbers(f"{what} {place + 1} of {count}", expected, (1,))[0]

    def _reads(self, what: str, count: int) -> list[int]:
        return [self._use(literal) for literal in self._column(what, count, "one literal")]

    def _ascii_ands(self, count: int) -> None:
        for place in range(count):
            literal, left, right = self._numbers(f"AND {place + 1} of {count}", "three literals", (3,))
            self.aig.ands.append((self._define(literal), self._use(left), self._use(right)))
        for line, literal in self.used:
            if literal > 1 and literal & ~1 not in self.defined:
                self.line = line
                what = f"expected the literal of an input, a latch or an AND, got {literal}"
                raise self._fault(f"{what}, which no line defines", f"Define {literal & ~1}, or correct it")

    def _binary_ands(self, first: int, count: int) -> None:
        """Each AND is the difference of its literal to the larger fan-in, and of that to the other."""
        self.by_bytes = True
        for place, literal in enumerate(range(first, first + 2 * count, 2)):
            left = literal - self._difference("first", (place, count, literal), 1, literal)
            right = left - self._difference("second", (place, count, literal), 0, left)
            self.aig.ands.append((literal, left, right))

    def _difference(self, which: str, gate: tuple[int, int, int], least: int, most: int) -> int:
        """A number in bytes of 7 bits, the lowest first; the top bit of each says whether another follows."""
        place, count, literal = gate
        self.begin = self.at
        value = shift = 0
        more = True
        while more and value <= most:
            if self.at >= len(self.data):
                raise self._cut_off(
                    f"expected the {which} difference of AND {place + 1} of {count} ({literal})"
                )
            byte = self.data[self.at]
            value |= (byte & 127) << shift
            more = byte > 127
            self.at, shift = self.at + 1, shift + 7
        if not least <= value <= most:
            what = f"expected the {which} difference of AND {place + 1} of {count} ({literal}) from {least} to {most}"
            raise self._fault(
                f"{what}, got {value}{' or more' * more}", "Replace the file, or correct the header"
            )
        return value

    def _define(self, literal: int) -> int:
        self._check_range(literal)
        if literal & 1 or literal == 0:
            got = f"the odd literal {literal}" if literal & 1 else "0, which is a constant"
            raise self._fault(
                f"expected an even literal from 2 on to be defined, got {got}", "Correct the literal"
            )
        if literal in self.defined:
            what = f"expected a new literal, got {literal}, which line {self.defined[literal]} defines"
            raise self._fault(what, "Correct one of them")
        self.defined[literal] = self.line
        return literal

    def _use(self, literal: int) -> int:
        self._check_range(literal)
        self.used.append((self.line, literal))
        return literal

    def _check_range(self, literal: int) -> None:
        if literal > 2 * self.highest + 1:
            what = f"expected literals 0 to {2 * self.highest + 1}, got {literal}"
            raise self._fault(what, "Correct the literal, or raise M in the header")

    def _reset(self, literal: int, reset: list[int]) -> int | None:
        if reset and reset[0] not in (0, 1, literal):
            what = f"expected the reset 0, 1 or {literal} (either), got {reset[0]}"
            raise self._fault(what, "Correct the reset")
        return None if reset == [literal] else reset[0] if reset else 0

    def _symbols(self) -> None:
        aig = self.aig
        shown = dict(aig.shown())
        ports = {f"i{place}": literal for place, literal in enumerate(aig.inputs)}
        ports |= {f"l{place}": latch for place, (latch, _, _) in enumerate(aig.latches)}
        taken: set[str] = set()
        for place, name in self._symbol_lines():
            again = place in aig.symbols or (place in ports and (name in taken or ports[place] in aig.names))
            if again:
                what = f"expected one new name for {place}, got {quoted(name)} again"
                raise self._fault(what, "Rename one of them")
            if place in ports:
                aig.names[ports[place]] = name
                taken.add(name)
            else:
                aig.symbols[place] = name
        # Inputs and latches have their names first.
        unnamed = set(shown.values()) - set(ports.values()) - set(aig.names)
        for place, name in aig.symbols.items():
            literal = shown.get(place)
            if literal in unnamed and name not in taken:
                aig.names[literal] = name
                unnamed.remove(literal)
                taken.add(name)

    def _symbol_lines(self) -> Iterator[tuple[str, str]]:
        """Place and name of each symbol that is left, such as `("i0", "enable")`; what follows a c is comment."""
        aig = self.aig
        parts = (aig.inputs, aig.latches, aig.outputs, aig.bad, aig.constraints, aig.justice, aig.fairness)
        counts = dict(zip(_LETTERS, map(len, parts), strict=True))
        while (written := self._next_line()) is not None:
            symbol = _SYMBOL.fullmatch(self.data[self.begin : self.at].rstrip())
            if not symbol and written.startswith("c"):  # ABC goes on in the same line
                return
            if not symbol and written:
                what = f"expected a symbol such as 'i0 name', or c before a comment, got {quoted(written)}"
                raise self._fault(what, "Correct the line, or the header's counts")
            if symbol:
                letter, place = symbol[1].decode(), int(symbol[2])
                if place >= counts[letter]:
                    what = f"expected a place below {counts[letter]}, the number of {_LETTERS[letter]}"
                    raise self._fault(f"{what}, got {quoted(written)}", "Correct the line")
                try:
                    yield f"{letter}{place}", symbol[3].decode().strip()
                except UnicodeDecodeError as error:
                    what = f"expected a name in UTF-8, got {quoted(written)}"
                    raise self._fault(what, "Convert the names to UTF-8") from error

    def _cut_off(self, what: str) -> ValueError:
        mend = "The file is cut off: replace it, or correct the header"
        return self._fault(f"{what}, got the end of the file", mend)

    def _fault(self, what: str, mend: str) -> ValueError:
        place = f"byte {self.begin}" if self.by_bytes else f"line {self.line}"
        return fault(self.source, place, what, mend)

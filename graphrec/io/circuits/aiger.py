"""Circuits in AIGER, the format of and-inverter graphs, ASCII (`.aag`) and binary (`.aig`).

Sources: A. Biere, "The AIGER And-Inverter Graph (AIG) format version 20071012", Johannes Kepler University Linz, 2007;
A. Biere, K. Heljanko and S. Wieringa, "AIGER 1.9 And Beyond", Johannes Kepler University Linz, 2011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .and_inverter import AndInverterGraph
from .errors import fault, quoted
from .netlist import CombinationalCycleError, Netlist

_MARK = b"\xef\xbb\xbf"  # the byte-order mark of UTF-8
_NUMBER = re.compile(r"[0-9]{1,18}")
_UNREAD = 10_000  # inputs of a binary file, which only counts them, beyond one for each of its bytes
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
    has it; else it is kept in `symbols`. See `AndInverterGraph.netlist` for the other names, and the order.

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
    if not isinstance(text, str | bytes):
        raise TypeError(
            f"expected a circuit as a text or as bytes, got {type(text).__name__}: read_aiger takes a path."
        )
    return _Reader(text, source).netlist()


class _Reader:
    """Goes through the bytes of one file."""

    def __init__(self, text: str | bytes, source: str) -> None:
        self.data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        self.is_text = isinstance(text, str)
        self.source = source
        self.at = len(_MARK) if self.data.startswith(_MARK) else 0
        self.begin = 0  # of what is being read
        self.line = 0
        self.by_bytes = False  # how errors say where
        self.highest = 0
        self.defined: dict[int, int] = {}  # literal: line
        self.used: list[tuple[int, int]] = []  # line, literal
        self.aig = AndInverterGraph()

    def netlist(self) -> Netlist:
        aig = self.aig
        binary, counts = self._header()
        self.highest, inputs, latches, outputs, ands, bad, constraints, justice, fairness = counts
        if binary:
            aig.inputs = list(range(2, 2 * inputs + 2, 2))
        else:
            aig.inputs = [self._define(literal) for literal in self._column("input", inputs, "one literal")]
        for place in range(latches):
            what, itself = f"latch {place + 1} of {latches}", "" if binary else "its literal, "
            numbers = self._numbers(what, f"{itself}what it reads and maybe a reset", 1 if binary else 2, 1)
            literal = 2 * (inputs + place + 1) if binary else self._define(numbers.pop(0))
            aig.latches.append((literal, self._use(numbers[0]), self._reset(literal, numbers[1:])))
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
        binary = word == "aig"
        if binary and self.is_text:
            what = "expected ASCII AIGER (aag) in a str, got binary (aig)"
            raise self._fault(what, "Give bytes, or the file to read_aiger")
        counts = [int(part) for part in parts] + [0] * (9 - len(parts))
        needed = counts[1] + counts[2] + counts[4]
        if counts[0] < needed or (binary and counts[0] > needed):
            what = f"expected M of {needed}{'' if binary else ' or more'} (I + L + A), got {counts[0]}"
            raise self._fault(what, "Correct the header")
        most = len(self.data) + _UNREAD
        if binary and counts[1] > most:
            what = f"expected up to {most:,} inputs in a file of {len(self.data):,} bytes, got {counts[1]:,}"
            raise self._fault(what, "Correct the header, or write the file in ASCII")
        return binary, counts

    def _next_line(self) -> str | None:
        """The next line, None after the last; bytes that are no UTF-8 are written out."""
        if self.at >= len(self.data):
            self.line, self.begin = self.line + 1, len(self.data)
            return None
        end = self.data.find(b"\n", self.at)
        end = len(self.data) if end < 0 else end
        self.line, self.begin, self.at = self.line + 1, self.at, end + 1
        return self.data[self.begin : end].rstrip().decode("utf-8", "backslashreplace")

    def _numbers(self, what: str, expected: str, count: int, more: int = 0) -> list[int]:
        """So many numbers on the next line, or some more."""
        written = self._next_line()
        if written is None:
            raise self._cut_off(f"expected {what}")
        parts = written.split()
        if not count <= len(parts) <= count + more or not all(_NUMBER.fullmatch(part) for part in parts):
            what = f"expected {what}, {expected}, got {quoted(written)}"
            raise self._fault(what, "Correct the line, or the header's counts")
        return [int(part) for part in parts]

    def _column(self, what: str, count: int, expected: str) -> Iterator[int]:
        """The numbers on the next lines, one each."""
        for place in range(count):
            yield self._numbers(f"{what} {place + 1} of {count}", expected, 1)[0]

    def _reads(self, what: str, count: int) -> list[int]:
        return [self._use(literal) for literal in self._column(what, count, "one literal")]

    def _ascii_ands(self, count: int) -> None:
        for place in range(count):
            literal, left, right = self._numbers(f"AND {place + 1} of {count}", "three literals", 3)
            self.aig.ands.append((self._define(literal), self._use(left), self._use(right)))
        for line, literal in self.used:
            if literal > 1 and literal & ~1 not in self.defined:
                self.line = line
                what = f"expected the literal of an input, a latch or an AND, got {literal}"
                raise self._fault(f"{what}, which no line defines", f"Define {literal & ~1}, or correct it")

    def _binary_ands(self, first: int, count: int) -> None:
        """Each AND is the difference of its literal to the larger fan-in, and of that to the other."""
        self.by_bytes = True
        for place in range(count):
            literal = first + 2 * place
            of = f"difference of AND {place + 1} of {count} ({literal})"
            left = literal - self._difference(f"the first {of}", 1, literal)
            right = left - self._difference(f"the second {of}", 0, left)
            self.aig.ands.append((literal, left, right))

    def _difference(self, what: str, least: int, most: int) -> int:
        """A number in bytes of 7 bits, the lowest first; the top bit of each says whether another follows."""
        self.begin = self.at
        value = shift = 0
        more = True
        while more and value <= most:
            if self.at >= len(self.data):
                raise self._cut_off(f"expected {what}")
            byte = self.data[self.at]
            value |= (byte & 127) << shift
            more = byte > 127
            self.at, shift = self.at + 1, shift + 7
        if not least <= value <= most:
            got = f"expected {what} from {least} to {most}, got {value}{' or more' * more}"
            raise self._fault(got, "Replace the file, or correct the header")
        return value

    def _define(self, literal: int) -> int:
        self._check_range(literal)
        if literal & 1 or literal == 0:
            got = f"the odd literal {literal}" if literal & 1 else "0, which is a constant"
            what = f"expected an even literal from 2 on to be defined, got {got}"
            raise self._fault(what, "Correct the literal")
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
        shown = dict(aig.shown())
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
                    yield f"{letter}{place}", symbol[3].strip().decode()
                except UnicodeDecodeError as error:
                    what = f"expected a name in UTF-8, got {quoted(written)}"
                    raise self._fault(what, "Convert the names to UTF-8") from error

    def _cut_off(self, what: str) -> ValueError:
        mend = "The file is cut off: replace it, or correct the header"
        return self._fault(f"{what}, got the end of the file", mend)

    def _fault(self, what: str, mend: str) -> ValueError:
        place = f"byte {self.begin}" if self.by_bytes else f"line {self.line}"
        return fault(self.source, place, what, mend)

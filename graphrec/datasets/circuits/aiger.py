"""Circuits in ASCII AIGER, the format of and-inverter graphs.

Source: A. Biere, "The AIGER And-Inverter Graph (AIG) format version 20071012", Johannes Kepler University Linz, 2007;
resets of latches are those of version 1.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ._text import fault, read_text
from .aig import Literals, literals
from .netlist import CombinationalCycleError, Kind, Netlist

_SYMBOL = re.compile(r"([ilo])(\d+) (.+)")
_LETTERS = {"i": "inputs", "l": "latches", "o": "outputs"}


def read_aiger(path: str | Path) -> Netlist:
    """The circuit in an `.aag` file; see `parse_aiger`."""
    return parse_aiger(read_text(path), str(path))


def parse_aiger(text: str, source: str = "") -> Netlist:
    """The circuit that a text in ASCII AIGER describes.

    The header `aag M I L O A` gives the highest variable and the numbers of inputs, latches, outputs and ANDs; these
    follow, one per line, then symbols and comments. A complemented literal becomes a NOT, one for all who read it.
    Inputs and latches are called by their symbols. The symbol of an output is the name of the AND, NOT or constant
    that it shows, if no other has it. See `Literals.netlist` for the other names, and the order.

    Args:
        text: what the file holds.
        source: what errors call it.

    Raises:
        ValueError: a malformed header, line or symbol, a literal out of range, an odd one on the left, one that is
            defined twice or not at all, a text cut off, a cycle of ANDs: with the line.
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
    lines = [" ".join(map(str, ["aag", counts[0] + counts[1] + counts[3], *counts]))]
    lines += map(str, aig.inputs)
    for latch, read, reset in aig.latches:
        # 0 is what a latch without reset has; its own literal stands for either value.
        lines.append(f"{latch} {read}" + ("" if reset == 0 else f" {latch if reset is None else reset}"))
    lines += map(str, aig.outputs)
    lines += [" ".join(map(str, gate)) for gate in aig.ands]
    for letter, gates in (("i", netlist.inputs), ("l", netlist.latches), ("o", netlist.outputs)):
        lines += [f"{letter}{place} {netlist.names[gate]}" for place, gate in enumerate(gates)]
    return "".join(f"{line}\n" for line in lines)


_ALLOWED = {Kind.INPUT, Kind.CONST0, Kind.CONST1, Kind.LATCH, Kind.NOT, Kind.AND}


class _Reader:
    """Goes through the lines of one text."""

    def __init__(self, text: str, source: str) -> None:
        self.lines = text.split("\n")
        self.source = source
        self.line = 0
        self.highest = 0
        self.defined: dict[int, int] = {}  # literal: line
        self.used: list[tuple[int, int]] = []  # line, literal
        self.aig = Literals()

    def netlist(self) -> Netlist:
        self.highest, inputs, latches, outputs, ands = self._header()
        aig = self.aig
        for place in range(inputs):
            (literal,) = self._numbers(f"input {place + 1} of {inputs}", "one literal", (1,))
            self._define(literal)
            aig.inputs.append(literal)
        for place in range(latches):
            what = f"latch {place + 1} of {latches}"
            literal, read, *reset = self._numbers(
                what, "its literal, what it reads and maybe a reset", (2, 3)
            )
            self._define(literal)
            self._use(read)
            aig.latches.append((literal, read, self._reset(literal, reset)))
        for place in range(outputs):
            (literal,) = self._numbers(f"output {place + 1} of {outputs}", "one literal", (1,))
            self._use(literal)
            aig.outputs.append(literal)
        for place in range(ands):
            literal, left, right = self._numbers(f"AND {place + 1} of {ands}", "three literals", (3,))
            self._define(literal)
            self._use(left)
            self._use(right)
            aig.ands.append((literal, left, right))
        for line, literal in self.used:
            if literal > 1 and literal & ~1 not in self.defined:
                self.line = line
                what = f"expected the literal of an input, a latch or an AND, got {literal}"
                raise self._fault(f"{what}, which no line defines", f"Define {literal & ~1}, or correct it")
        self.line = 1 + inputs + latches + outputs + ands
        self._symbols()
        try:
            return aig.netlist()
        except CombinationalCycleError as error:
            # ANDs follow the inputs and latches; the NOTs between them have no lines.
            heads = list(self.defined.values())
            self.line = next(heads[gate] for gate in error.cycle if gate < len(heads))
            raise self._fault(str(error), "Correct a literal, or put a latch in the cycle") from error

    def _header(self) -> list[int]:
        self.line = 1
        word, *numbers = self.lines[0].split() or [""]
        if word == "aig":
            raise self._fault(
                "expected ASCII AIGER (aag), got binary (aig)", "Convert it with aigtoaig x.aig x.aag"
            )
        if word != "aag" or len(numbers) < 5 or not all(number.isdecimal() for number in numbers):
            raise self._fault(
                f"expected the header 'aag M I L O A', got {self.lines[0]!r}",
                "Correct the header, or replace the file",
            )
        counts = [int(number) for number in numbers]
        if any(counts[5:]):
            what = f"expected inputs, latches, outputs and ANDs only, got {self.lines[0]!r}"
            raise self._fault(what, "Take out the bad states, constraints, justice and fairness of AIGER 1.9")
        highest, inputs, latches, _, ands = counts[:5]
        if highest < inputs + latches + ands:
            what = f"expected M of {inputs + latches + ands} or more (I + L + A), got {highest}"
            raise self._fault(what, "Correct the header")
        return counts[:5]

    def _numbers(self, what: str, expected: str, counts: tuple[int, ...]) -> list[int]:
        """The numbers on the next line."""
        self.line += 1
        at_end = self.line > len(self.lines) or (self.line == len(self.lines) and not self.lines[-1])
        if at_end:
            raise self._fault(
                f"expected {what}, got the end of the text",
                "The file is cut off: replace it, or correct the header",
            )
        written = self.lines[self.line - 1]
        parts = written.split()
        if len(parts) not in counts or not all(part.isdecimal() for part in parts):
            raise self._fault(
                f"expected {what}, {expected}, got {written!r}", "Correct the line, or the header's counts"
            )
        return [int(part) for part in parts]

    def _define(self, literal: int) -> None:
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

    def _use(self, literal: int) -> None:
        self._check_range(literal)
        self.used.append((self.line, literal))

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
        ports = {"i": aig.inputs, "l": [latch for latch, _, _ in aig.latches]}
        shown: list[tuple[int, str]] = []  # outputs come last: inputs and latches have their names first
        taken: set[str] = set()
        counts = {"i": len(aig.inputs), "l": len(aig.latches), "o": len(aig.outputs)}
        for letter, place, name in self._symbol_lines(counts):
            if letter == "o":
                shown.append((aig.outputs[place], name))
                continue
            literal = ports[letter][place]
            if name in taken or literal in aig.names:
                what = f"expected one new name for {letter}{place}, got {name!r} again"
                raise self._fault(what, "Rename one of them")
            aig.names[literal] = name
            taken.add(name)
        is_port = {*ports["i"], *ports["l"]}
        for literal, name in shown:
            if literal not in aig.names and literal not in is_port and name not in taken:
                aig.names[literal] = name
                taken.add(name)

    def _symbol_lines(self, counts: dict[str, int]) -> Iterator[tuple[str, int, str]]:
        """Letter, place and name of each symbol that is left."""
        while self.line < len(self.lines) and self.lines[self.line].rstrip() != "c":
            written = self.lines[self.line].rstrip()
            self.line += 1
            if not written:
                continue
            symbol = _SYMBOL.fullmatch(written)
            if not symbol:
                what = f"expected a symbol such as 'i0 name', or c before a comment, got {written!r}"
                raise self._fault(what, "Correct the line, or the header's counts")
            letter, place = symbol[1], int(symbol[2])
            if place >= counts[letter]:
                what = f"expected a place below {counts[letter]}, the number of {_LETTERS[letter]}, got {written!r}"
                raise self._fault(what, "Correct the line")
            yield letter, place, symbol[3].strip()

    def _fault(self, what: str, mend: str) -> ValueError:
        return fault(self.source, self.line, what, mend)

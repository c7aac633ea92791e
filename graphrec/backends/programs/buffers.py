"""What the executor's memory consists of, by name: buffers, indices by which they are read, and places in them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...cprogram import GLOBAL
from ...program.codes import Ref
from ...program.symbols import NODE


class Spec(NamedTuple):
    """A buffer of the executor.

    Attributes:
        name: what it holds.
        width: its columns.
        place: see `csrc/program.h`.
        rows: of nodes or of edges; None: of neither.
    """

    name: Any
    width: int
    place: int
    rows: str | None


class Buffers:
    """The buffers of a cell's programs, by name."""

    def __init__(self) -> None:
        self.specs: list[Spec] = []
        self._number: dict[Any, int] = {}

    def number(self, name: Any, width: int, place: int = GLOBAL, rows: str | None = NODE) -> int:
        """Of the buffer of this name."""
        if name not in self._number:
            self._number[name] = len(self.specs)
            self.specs.append(Spec(name, width, place, rows))
        return self._number[name]

    def find(self, name: Any) -> int | None:
        """The same, if there is one."""
        return self._number.get(name)


class Indices:
    """The indices by which programs read, by name; number 0 is none."""

    def __init__(self) -> None:
        self.names: list[str] = [""]

    def number(self, name: str) -> int:
        """Of an index."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


class Home(NamedTuple):
    """Where a value's first column lies."""

    buffer: int
    column: int


class Copy(NamedTuple):
    """A piece that is copied to where it is wanted; no ref: zeros."""

    to: Home
    ref: Ref | None
    width: int
    rows: str

"""Codes, which say of which value a column is which column, and the values themselves.

A tensor `[rows, ...]` is an array of codes, one for each column. So views (split, cat, reshape, transpose, expand, …)
are operations on that array, and cost nothing when a program runs. Zero is a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

SHIFT = 32
ZERO = -1
DETACHED = 1 << 60  # a code with this bit is read without a gradient
JUMP = 1 << 40
COLUMN = (1 << SHIFT) - 1
VALUE = (1 << 28) - 1

Codes = np.ndarray  # of int64


class Value:
    """What is computed for each row of a kind, `width` columns; see `Builder` for the operations.

    Attributes:
        number: in the order of computation.
        rows: `NODE`, `EDGE`, or None for what has no rows: a captured tensor, a number.
        op: the operation.
        args: what it reads, as pieces of other values.
        imm, count: a number and a count that some operations have.
        field: the memory that is read, for loads.
        a, weight, bias: the codes of a product's operands.
    """

    args: list[Ref]
    number: int
    op: str
    rows: str | None
    width: int

    __slots__ = ("a", "args", "bias", "count", "field", "imm", "number", "op", "rows", "weight", "width")

    def __init__(
        self, number: int, rows: str | None, width: int, op: str, args: Sequence[Ref] = (), **more: Any
    ):
        self.number, self.rows, self.width, self.op, self.args = number, rows, width, op, list(args)
        self.imm: Any = more.get("imm")
        self.count: int = more.get("count", 0)
        self.field: Any = more.get("field")
        self.a: Any = more.get("a")
        self.weight: Any = more.get("weight")
        self.bias: Any = more.get("bias")

    @property
    def codes(self) -> Codes:
        """Of its columns."""
        return (self.number << SHIFT) + np.arange(self.width)

    def __repr__(self) -> str:
        more = [f"{k}={v}" for k in ("imm", "count", "field") if (v := getattr(self, k)) not in (None, 0)]
        args = ", ".join(map(str, self.args))
        return f"%{self.number}:{self.rows}[{self.width}] = {self.op}({args}) {' '.join(more)}"


class Ref(NamedTuple):
    """Columns `column`, `column + step`, … of a value."""

    value: Value
    column: int
    step: int
    width: int
    detached: bool = False

    @property
    def codes(self) -> Codes:
        """Of these columns."""
        base = (self.value.number << SHIFT) + self.column + (DETACHED if self.detached else 0)
        return base + np.arange(self.width) * self.step

    @property
    def key(self) -> tuple[int, ...]:
        """What it is."""
        return (self.value.number, self.column, self.step, self.width)

    @property
    def is_whole(self) -> bool:
        """Whether these are all columns, in order."""
        return self.width == self.value.width and self.column == 0 and (self.step == 1 or self.width == 1)

    def __str__(self) -> str:
        return f"%{self.value.number}[{self.column}:{self.column + self.width}]" + (
            "" if self.step == 1 else f"*{self.step}"
        )


def is_stretch(codes: Codes) -> bool:
    """Whether these are columns of one value with even steps, as one piece has them."""
    if codes.size < 2:
        return codes.size == 1
    step = codes[1:] - codes[:-1]
    is_near = step.size > 1 or step[0] in (0, 1)  # two columns apart are no stretch
    return bool(is_near and (step == step[0]).all() and codes[0] >> SHIFT == codes[-1] >> SHIFT)


def even_blocks(weight: Codes) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Cuts of a matrix of codes into stretches of rows and of columns with even steps within one tensor."""
    return _stretches(weight[:, 0]), _stretches(weight[0])


def _stretches(line: Codes) -> list[tuple[int, int]]:
    if len(line) < 2:
        return [(0, len(line))]
    step = np.diff(line)
    found, start = [], 0
    while start < len(line):
        if start == len(line) - 1:
            found.append((start, start + 1))
            break
        same = np.flatnonzero(step[start:] != step[start])
        stop = len(line) if not len(same) else start + int(same[0]) + 1
        if (line[start] >> SHIFT) != (line[stop - 1] >> SHIFT):
            stop = start + 1
        found.append((start, stop))
        start = stop
    return found

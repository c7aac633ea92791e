"""The operations of a program for the native executor, before they have an order."""

from __future__ import annotations

from typing import Any

from ...cprogram import IN_EDGES, NODES, OUT_EDGES
from ...program.codes import Codes, Value
from ...program.reverse import WeightGradient
from ...program.symbols import EDGE, NODE
from .buffers import Home

OUT = "out"  # the rows of out-edges
ROWS = {NODE: NODES, EDGE: IN_EDGES, OUT: OUT_EDGES}

# An index of the executor: its name, and how many parts a row is read in.
Index = tuple[str, int]
NO_INDEX: Index = ("", 0)


class Weights:
    """Blocks of captured tensors that products read."""

    def __init__(self) -> None:
        self.blocks: list[
            tuple[int, int, int, int, int, int]
        ] = []  # captured, offset, steps down and across, K, N

    def number(self, block: tuple[int, int, int, int, int, int]) -> int:
        """Of a block."""
        if block not in self.blocks:
            self.blocks.append(block)
        return self.blocks.index(block)


class Operand:
    """What a unit reads or writes: memory by an index, or a register."""

    column: int
    home: Home | None
    index: Index
    value: Value | None

    __slots__ = ("column", "home", "index", "value")

    def __init__(self, value: Value | None, column: int, home: Home | None, index: Index = NO_INDEX) -> None:
        self.value, self.column, self.home, self.index = value, column, home, index


class Unit:
    """One operation of a program: of a chain, or a product."""

    imm: float
    k: int
    op: str
    reads: list[Operand]
    rows: str
    to: Operand
    width: int

    __slots__ = (
        "after",
        "bias",
        "imm",
        "k",
        "made",
        "op",
        "product",
        "reads",
        "rows",
        "to",
        "together",
        "width",
    )

    def __init__(
        self, op: str, rows: str, width: int, to: Operand, reads: list[Operand], imm: float = 0.0, k: int = 0
    ):
        self.op, self.rows, self.width, self.to, self.reads, self.imm, self.k = (
            op,
            rows,
            width,
            to,
            reads,
            imm,
            k,
        )
        self.after: set[Unit] = set()
        self.product: Value | None = None
        self.together: tuple[Codes, ...] = ()  # what it reads that lies side by side
        self.bias: Operand | None = None


def block_of(b: Any, weight: Codes) -> tuple[int, int, int, int, int, int]:
    """A block of a captured tensor: its number, the first element, steps down and across, rows and columns."""
    number = b.value(weight.flat[0]).count
    column = weight & 0xFFFFFFFF
    first = int(column[0, 0])
    down = int(column[1, 0]) - first if len(column) > 1 else 1
    across = int(column[0, 1]) - first if column.shape[1] > 1 else 1
    return number, first, down, across, *weight.shape


def sides_of(b: Any, weight: WeightGradient) -> tuple[Codes, Codes]:
    """Whose outer products are the gradient of a dense block as it lies in memory: torch keeps weights as [N, K]."""
    return (weight.g, weight.a) if block_of(b, weight.weight)[2] == 1 else (weight.a, weight.g)

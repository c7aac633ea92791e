"""What the executor in PyTorch runs: instructions that read and write columns of buffers, level by level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from ...program.compile import Part

# When instructions run: once before the levels, in each of them, in each on the way back, once after all.
BEFORE, FORWARD, REVERSE, AFTER = range(4)


class Span(NamedTuple):
    """Columns of a buffer."""

    buffer: int
    column: int
    step: int
    width: int


class Read(NamedTuple):
    """Columns of what a phase reads, by its key; of a captured tensor or a number, by its value."""

    key: Any
    column: int
    step: int
    width: int


Operand = Span | Read


@dataclass
class Buffer:
    """Rows of one sort of nodes, or of their edges.

    Attributes:
        name: of the memory that it is, or None.
        width, rows: its shape.
        phases: in which it is used: in more than one of them, it is kept for all levels.
        uses: the first and the last instruction that uses it.
        slot: of what serves one level at a time: which memory it shares with others.
    """

    name: str | None
    width: int
    rows: str
    phases: set[int] = field(default_factory=set)
    uses: tuple[int, int] = (-1, -1)
    slot: int = -1


class Block(NamedTuple):
    """A matrix within a captured tensor: which one, the shape, the strides, and where it begins.

    A row of numbers is one, too.
    """

    captured: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    def of(self, tensors: list[Tensor]) -> Tensor:
        """The view."""
        flat = tensors[self.captured]
        return flat.as_strided(self.shape, self.stride, flat.storage_offset() + self.offset)


class Instruction(NamedTuple):
    """One operation for each level.

    Attributes:
        op: of the value; copy, accumulate, or gather_sum.
        rows: of the result.
        out: where it goes; a key: what is read.
        operands: what it reads.
        value: the value, for what else it must know.
        weight, bias: of products.
    """

    op: str
    rows: str
    out: Span | Any
    operands: list[Operand]
    value: Any = None
    weight: Block | None = None
    bias: Operand | None = None


class Gradient(NamedTuple):
    """Of a block of a captured tensor, aᵀ g, or (without a) of a row of its numbers, the sum of g."""

    of: Block
    a: Operand | None
    g: Operand


@dataclass
class TorchPart:
    """A part as instructions.

    Attributes:
        part: what it was.
        phases: the instructions of each.
        buffers: all of them.
        gradients: what is summed over rows.
        last: the phase at the end of which it is.
    """

    part: Part
    phases: list[list[Instruction]]
    buffers: list[Buffer]
    gradients: list[Gradient]
    last: int

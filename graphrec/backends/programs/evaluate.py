"""The values of a program computed with torch's operations, for the rows of one level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from ...program.compile import Part
from ...program.symbols import EDGE
from ...program.values import Codes, Ref, Value


class Level(Protocol):
    """What a program reads of the level it is run on."""

    count: Tensor
    edges: int
    nodes: int

    def load(self, op: str, field: str) -> Tensor:
        """Rows of memory: of the level's nodes or edges, or of the sources of its edges."""
        ...

    def sum_edges(self, rows: Tensor) -> Tensor:
        """From in-edges to nodes."""
        ...

    def max_edges(self, rows: Tensor) -> Tensor:
        """The same, of the largest; minus infinity where there are none."""
        ...

    def to_edges(self, rows: Tensor) -> Tensor:
        """From nodes to in-edges."""
        ...

    def index(self, name: str, count: int) -> Tensor:
        """For each in-edge target * count + slot, or relation."""
        ...

    def pull(self, field: str) -> Tensor:
        """The sums over out-edges of a memory of edges."""
        ...


def _select(condition: Any, x: Any, y: Any) -> Tensor:
    return torch.where(condition != 0, x, y)


def _flag(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A comparison whose result is 1 or 0."""

    def compare(x: Any, y: Any) -> Tensor:
        like = x if isinstance(x, Tensor) else y
        return function(x, y).to(like.dtype)

    return compare


_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "reciprocal": torch.reciprocal,
    "square": torch.square,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "abs": torch.abs,
    "sign": torch.sign,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "relu": torch.relu,
    "exp": torch.exp,
    "log": torch.log,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "softplus": torch.nn.functional.softplus,
    "expm1": torch.expm1,
    "log1p": torch.log1p,
    "add_imm": torch.add,
    "mul_imm": torch.mul,
    "rsub_imm": torch.rsub,
    "max_imm": torch.clamp_min,
    "min_imm": torch.clamp_max,
    "greater": _flag(torch.gt),
    "greater_equal": _flag(torch.ge),
    "equal": _flag(torch.eq),
    "greater_imm": _flag(torch.gt),
    "less_imm": _flag(torch.lt),
    "equal_imm": _flag(torch.eq),
    "select": _select,
    "sigmoid_grad": torch.ops.aten.sigmoid_backward,
    "tanh_grad": torch.ops.aten.tanh_backward,
    "relu_grad": lambda g, y: torch.ops.aten.threshold_backward(g, y, 0),
}


class Evaluation:
    """The values of a part on the rows of a level.

    Args:
        part: the program.
        captured: its captured tensors, flat.
        level: what it reads.
        given: values that are there already, by number.
    """

    def __init__(
        self, part: Part, captured: list[Tensor], level: Any, given: dict[int, Tensor] | None = None
    ):
        self.part, self.captured, self.level = part, captured, level
        self.made: dict[int, Any] = {} if given is None else given

    def compute(self, values: list[Value]) -> None:
        """These values, in order."""
        for value in values:
            if value.number not in self.made:
                self.made[value.number] = self._compute(value)

    def read(self, codes: Codes, of_edges: bool = False) -> Tensor:
        """`[rows, n]`: the columns that codes stand for, of nodes or of in-edges."""
        count = self.level.edges if of_edges else self.level.nodes
        pieces = [self._piece(ref, count, stop - start) for start, stop, (ref,) in self.part.b.runs(codes)]
        if not pieces:
            return self.level.like.new_zeros(count, 0)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    def _piece(self, ref: Ref | None, count: int, width: int) -> Tensor:
        if ref is None:
            return self.level.like.new_zeros(count, width)
        piece = self._operand(ref)
        if not isinstance(piece, Tensor):
            return self.level.like.new_full((count, width), piece)
        return piece.expand(count, width)

    def _operand(self, ref: Ref) -> Any:
        """As torch's operations take it: a number, a vector of the cell's own, or `[rows, n]`."""
        if ref.value.op == "const":
            return ref.value.imm
        made = self.captured[ref.value.count] if ref.value.op == "captured" else self.made[ref.value.number]
        if ref.is_whole:
            return made
        if ref.step == 0:
            return made[..., ref.column : ref.column + 1]
        last = ref.column + (ref.width - 1) * ref.step
        if ref.step < 0:
            return made[..., last : ref.column + 1].flip(-1)[..., :: -ref.step]
        return made[..., ref.column : last + 1 : ref.step]

    def _compute(self, value: Value) -> Any:
        op, level = value.op, self.level
        if op in ("load", "gather", "previous"):
            return level.load(op, value.field)
        if op in ("captured", "const"):
            return None
        if op == "product":
            return self._product(value)
        if op == "beside":
            return self.read(value.a)
        if op == "pull":
            return level.pull(value.field)
        operands = [self._operand(ref) for ref in value.args]
        if op == "segment_sum":
            return level.sum_edges(operands[0])
        if op == "segment_max":
            return level.max_edges(operands[0])
        if op == "to_edges":
            return level.to_edges(operands[0])
        if op == "by_index":
            (rows,) = operands
            flat = rows.new_zeros(level.nodes * value.count, rows.shape[1])
            flat = flat.index_add_(0, level.index(value.field, value.count), rows)
            return flat.view(level.nodes, -1)
        if op == "from_index":
            (rows,) = operands
            flat = rows.reshape(level.nodes * value.count, -1)
            return flat.index_select(0, level.index(value.field, value.count))
        if op in ("sum_each", "repeat_each"):
            (rows,) = operands
            if op == "sum_each":
                return rows.unflatten(1, (value.width, value.count)).sum(2)
            return rows.repeat_interleave(value.count, 1)
        if op in ("sum_all", "repeat_all"):
            (rows,) = operands
            if op == "sum_all":
                return rows.unflatten(1, (value.count, value.width)).sum(1)
            return rows.repeat(1, value.count)
        if op in ("equal", "greater", "greater_equal", "select") or not isinstance(operands[0], Tensor):
            operands = [
                x if isinstance(x, Tensor) else level.like.new_tensor(x).reshape(1, 1) for x in operands
            ]
        imm = () if value.imm is None else (value.imm,)
        made = _OPERATIONS[op](*operands, *imm)
        if made.dim() < 2 or made.shape[1] != value.width:  # of numbers and vectors alone, or of one column
            made = made.reshape(-1, made.shape[-1]).expand(-1, value.width)
        return made

    def _product(self, value: Value) -> Tensor:
        a, weight = self.read(value.a, value.rows == EDGE), self.block(value.weight)
        if value.bias is None:
            return torch.mm(a, weight)
        runs = list(self.part.b.runs(value.bias))
        if len(runs) == 1 and runs[0][2][0] is not None:
            bias = self._operand(runs[0][2][0])
            return torch.addmm(bias, a, weight)
        return torch.addmm(self.read(value.bias, value.rows == EDGE), a, weight)

    def block(self, weight: Codes) -> Tensor:
        """`[K, N]`: a block of a captured tensor."""
        number = (int(weight.flat[0]) >> 32) & 0xFFFFFFF
        flat = self.captured[self.part.b.values[number].count]
        column = weight & 0xFFFFFFFF
        first = int(column[0, 0])
        down = int(column[1, 0]) - first if len(column) > 1 else 1
        across = int(column[0, 1]) - first if column.shape[1] > 1 else 1
        return flat.as_strided(weight.shape, (down, across), flat.storage_offset() + first)

"""Stand-ins for the tensors that a cell computes with: what is done to them is recorded, and nothing is computed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

NODE, EDGE = "node", "edge"


class NotRecordable(Exception):
    """The cell does something that no program can say; the message says what, `line` where."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.line: str | None = _line_of_the_cell()


def _line_of_the_cell() -> str | None:
    """Where the innermost frame outside of torch and of this package's own machinery stands."""
    frame = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(
            ("torch.", "graphrec.program", "graphrec.cell.", "functools")
        ) and module not in (
            "torch",
            "graphrec.cell",
        ):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None


class Rows:
    """How many rows of a kind there are: any number, which no equation may depend on.

    Attributes:
        kind: of the rows.
        asked: takes down of what kind of rows the cell asks whether there are any; None: nobody does.
        are_none: whether there are no such rows, which is all that the cell may learn of their number.
    """

    are_none: bool
    asked: set[str] | None
    kind: str

    __slots__ = ("are_none", "asked", "kind")

    def __init__(self, kind: str, asked: set[str] | None = None, are_none: bool = False) -> None:
        self.kind, self.asked, self.are_none = kind, asked, are_none

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rows):
            return self.kind == other.kind or self._refuse()
        if not isinstance(other, int):
            return NotImplemented
        if other < 0:
            return False
        return not bool(self) if other == 0 else self._refuse()

    def __gt__(self, other: object) -> bool:
        return bool(self) if isinstance(other, int) and other == 0 else self._refuse()

    def __bool__(self) -> bool:
        if self.asked is not None:
            self.asked.add(self.kind)
        return not self.are_none

    def __sub__(self, other: object) -> Rows:
        return self if isinstance(other, int) and other == 0 else self._refuse()

    def __hash__(self) -> int:
        return hash(self.kind)

    def __repr__(self) -> str:
        return f"<number of {self.kind}s>"

    def _refuse(self, *_: Any) -> Any:
        raise NotRecordable(f"the number of {self.kind}s enters the equations")

    __index__ = __int__ = __float__ = __add__ = __radd__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __lt__ = __le__ = __ge__ = _refuse


# What programs remember of shapes.
ROWS = {NODE: Rows(NODE), EDGE: Rows(EDGE)}


class Columns:
    """A tensor as a program sees it: rows of a kind (None: a tensor without such rows) and an array of its columns."""

    dtype: torch.dtype

    array: Any
    rows: str | None

    __slots__ = ("array", "dtype", "rows")

    def __init__(self, rows: str | None, array: np.ndarray, dtype: torch.dtype) -> None:
        self.rows, self.array, self.dtype = rows, array, dtype

    def like(self, array: np.ndarray, dtype: torch.dtype | None = None) -> Columns:
        """Other columns of the same rows."""
        return Columns(self.rows, array, self.dtype if dtype is None else dtype)

    @property
    def dim(self) -> int:
        """As the tensor's."""
        return self.array.ndim + (self.rows is not None)

    def axis(self, dim: int, more: int = 0) -> int:
        """The axis of the array behind a dimension of the tensor; of one with `more` dimensions."""
        rank = self.dim + more
        if not -rank <= dim < rank:
            raise IndexError(f"there are {rank} dimensions, got {dim}.")
        axis = dim % rank - (self.rows is not None)
        if axis < 0:
            raise NotRecordable("an operation along the rows")
        return axis


class Symbol:
    """A tensor of the cell while it is recorded."""

    columns: Columns
    number: int

    __slots__ = ("_record", "columns", "number")

    def __init__(self, record: Any, number: int, columns: Columns) -> None:
        self._record, self.number, self.columns = record, number, columns
        record.alive += 1

    def __del__(self) -> None:
        record = getattr(self, "_record", None)
        if record is not None:  # (torch's compiler makes some without calling __init__)
            record.alive -= 1

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        record = _record_of(args) or _record_of((kwargs or {}).values())
        return record.call(func, args, kwargs or {})

    @property
    def shape(self) -> tuple[Any, ...]:
        """The number of rows, and the widths."""
        columns = self.columns
        return (
            columns.array.shape
            if columns.rows is None
            else (self._record.rows[columns.rows], *columns.array.shape)
        )

    @property
    def dtype(self) -> torch.dtype:
        """As the tensor's."""
        return self.columns.dtype

    @property
    def device(self) -> torch.device:
        """As the tensor's."""
        return self._record.device

    @property
    def ndim(self) -> int:
        """As the tensor's."""
        return self.columns.dim

    @property
    def is_cuda(self) -> bool:
        """As the tensor's."""
        return self.device.type == "cuda"

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are wanted at all."""
        return torch.is_grad_enabled()

    def dim(self) -> int:
        """As the tensor's."""
        return self.columns.dim

    def size(self, dim: int | None = None) -> Any:
        """As the tensor's."""
        return self.shape if dim is None else self.shape[dim]

    def is_floating_point(self) -> bool:
        """As the tensor's."""
        return self.columns.dtype.is_floating_point

    def where(self, condition: Any, other: Any) -> Any:
        """As the tensor's: torch's function has the condition first."""
        return self._record.call_named("where", (condition, self, other), {})

    def __getattr__(self, name: str) -> Any:
        if name in Symbol.__slots__:
            raise AttributeError(f"{name} is not set.")
        record = self._record

        def method(*args: Any, **kwargs: Any) -> Any:
            return record.call_named(name, (self, *args), kwargs)

        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(f"a tensor has no {name!r}.")
        if callable(getattr(Tensor, name)):
            return method
        return record.call_named(name, (self,), {})  # a property, such as T

    def __iter__(self) -> Any:
        raise NotRecordable("a loop over rows")

    def __len__(self) -> int:
        raise NotRecordable("the number of rows enters the equations")

    def __bool__(self) -> bool:
        raise NotRecordable("control flow depends on values")

    __float__ = __int__ = __index__ = __bool__

    def __setitem__(self, index: Any, value: Any) -> None:
        raise NotRecordable("a tensor is written into")

    def _writes(self, other: Any) -> Any:
        raise NotRecordable("a tensor is written into")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = _writes

    def __repr__(self) -> str:
        return f"<{self.columns.rows or 'tensor'} {list(self.columns.array.shape)}>"

    __hash__ = object.__hash__


def _record_of(values: Any) -> Any:
    for value in values:
        if isinstance(value, Symbol):
            return value._record
        if isinstance(value, list | tuple) and (found := _record_of(value)) is not None:
            return found
    return None


def _dunder(name: str, swapped: bool = False) -> Any:
    def method(self: Symbol, *others: Any) -> Any:
        args = (*others, self) if swapped else (self, *others)
        return self._record.call_named(name, args, {})

    return method


for _name, _op in {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "pow": "pow",
    "matmul": "matmul",
    "gt": "gt",
    "ge": "ge",
    "lt": "lt",
    "le": "le",
    "eq": "eq",
    "ne": "ne",
    "and": "logical_and",
    "or": "logical_or",
    "neg": "neg",
    "invert": "logical_not",
    "abs": "abs",
    "getitem": "getitem",
}.items():
    setattr(Symbol, f"__{_name}__", _dunder(_op))
    if _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "and", "or"):
        setattr(Symbol, f"__r{_name}__", _dunder(_op, swapped=True))

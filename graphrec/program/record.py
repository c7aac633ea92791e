"""Recording: a cell's own Python code is called once, on symbols, and what it does to them is written down."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..structure.outside import is_stand_in
from .operations import OPERATIONS
from .symbols import EDGE, NODE, ROWS, Columns, NotRecordable, Rows, Symbol

# Where torch's functions are found, to be sure that a name means what it says.
_HOMES: tuple[Any, ...] = (torch, Tensor, F, torch._C._nn, torch._C._special, torch._VF)  # pyright: ignore[reportAttributeAccessIssue]


@functools.cache
def _blank(shape: tuple[int, ...]) -> np.ndarray:
    """An array that stands for its shape."""
    return np.zeros(shape, np.uint8)


@functools.cache
def _broadcast(*shapes: tuple[int, ...]) -> np.ndarray:
    return _blank(np.broadcast_shapes(*shapes))


class Shapes:
    """The side of operations that knows shapes alone."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def const(self, value: float) -> np.ndarray:
        """A number."""
        return _blank(())

    def ew(self, op: str, *arrays: np.ndarray, imm: float | None = None) -> np.ndarray:
        """An elementwise operation."""
        first = arrays[0]
        if len(arrays) == 1 or (len(arrays) == 2 and first.shape == arrays[1].shape):
            return first
        return _broadcast(*(array.shape for array in arrays))

    def product(self, rows: str, a: np.ndarray, weight: np.ndarray, bias: Any) -> np.ndarray:
        """`[K] × [K, N]`."""
        return _blank(weight.shape[1:])

    def sum_over(self, array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        """Without some axes."""
        return _blank(tuple(size for axis, size in enumerate(array.shape) if axis not in axes))

    def from_edges(self, op: str, array: np.ndarray) -> np.ndarray:
        """From edges to nodes."""
        return array

    def to_edges(self, array: np.ndarray) -> np.ndarray:
        """From nodes to edges."""
        return array

    def by_index(self, name: str, array: np.ndarray, count: int) -> np.ndarray:
        """From edges to nodes, side by side."""
        return _blank((count, *array.shape))


class Captured:
    """Tensors of the cell's own that its equations read: parameters, and what it has computed from them."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._number: dict[int, int] = {}

    def number(self, tensor: Tensor) -> int:
        """Of a tensor, which is the same for the same tensor."""
        found = self._number.get(id(tensor))
        if found is None:
            found = self._number[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        return found

    def key(self) -> tuple[Any, ...]:
        """What a program depends on."""
        return tuple((tuple(tensor.shape), tensor.requires_grad) for tensor in self.tensors)


class Record:
    """What one part of a cell does, as a list of operations on numbered tensors.

    Attributes:
        entries: `(operation, arguments)`, or `("input", name, rows, shape)`; `"%3"` in arguments is the result of entry
            3 (of several, `"%3"` and those after it), `"@2"` captured tensor 2.
        outputs: the numbers of the results.
        asked: of what kind of rows the cell asks whether there are any.
        reads_kinds: whether it asks for the nodes of each kind.
    """

    dtype: torch.dtype
    device: torch.device

    captured: Captured

    def __init__(self, captured: Captured, dtype: torch.dtype, device: torch.device, has_edges: bool = True):
        self.captured, self.dtype, self.device = captured, dtype, device
        self.entries: list[tuple[Any, ...]] = []
        self.outputs: tuple[str, ...] = ()
        self.alive = 0
        self.refusal: Exception | None = None
        self.asked: set[str] = set()
        self.reads_kinds = False
        self.rows: dict[str, Rows] = {
            NODE: Rows(NODE, self.asked),
            EDGE: Rows(EDGE, self.asked, are_none=not has_edges),
        }
        self._shapes = Shapes(dtype)
        self._count = 0
        self._inputs: dict[str, Symbol] = {}
        self._with_grad = torch.is_grad_enabled()

    def key(self) -> tuple[Any, ...]:
        """What a program depends on."""
        return (tuple(self.entries), self.outputs)

    def input(self, name: str, rows: str, shape: Sequence[int], dtype: torch.dtype | None = None) -> Symbol:
        """A tensor that the run provides."""
        if name not in self._inputs:
            shape, dtype = tuple(map(int, shape)), self.dtype if dtype is None else dtype
            self.entries.append(("input", name, rows, shape))
            self._inputs[name] = self._symbol(Columns(rows, _blank(shape), dtype))
        return self._inputs[name]

    def end(self, outputs: Sequence[Symbol]) -> None:
        """The results of this part; symbols that are still in use afterwards are kept by the cell, which is refused."""
        self.outputs = tuple(f"%{symbol.number}" for symbol in outputs)
        self._inputs.clear()

    def call(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """One of torch's functions."""
        try:
            return self._call(function, args, kwargs)
        except Exception as error:  # which the cell may catch
            self.refusal = self.refusal or error
            raise

    def call_named(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The same by its name."""
        try:
            return self._call_named(name, args, kwargs)
        except Exception as error:
            self.refusal = self.refusal or error
            raise

    def _call(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        name = _name_of(function)
        if function is Tensor.where and len(args) > 1:
            args = (args[1], args[0], *args[2:])  # (torch's function has the condition first)
        if "input" in kwargs:  # (the first argument of all of torch's functions)
            args, kwargs = (kwargs["input"], *args), {key: kwargs[key] for key in kwargs if key != "input"}
        if name is None:
            raise NotRecordable(f"{getattr(function, '__name__', function)} is no arithmetic on rows")
        return self._call_named(name, args, kwargs)

    def _call_named(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        operation = OPERATIONS.get(name)
        if operation is None:
            what = "writes into a tensor" if name.endswith("_") else "is no operation that programs have"
            raise NotRecordable(f"{name} {what}")
        if kwargs.get("out") is not None:
            raise NotRecordable(f"{name} writes into a tensor")
        columns: list[Any] = []
        names: list[Any] = []
        for value in args:
            kind = type(value)
            if kind is Symbol and value._record is self:
                columns.append(value.columns)
                names.append(_REFERENCES[value.number])
            elif kind in _PLAIN_ARGUMENTS:
                columns.append(value)
                names.append(value)
            else:
                columns.append(self._columns(value))
                names.append(self._names(value))
        if not kwargs:
            return self._noted((name, tuple(names)), operation(self._shapes, *columns))
        made = operation(
            self._shapes, *columns, **{key: self._columns(value) for key, value in kwargs.items()}
        )
        return self._noted(
            (name, tuple(names), tuple((key, self._names(kwargs[key])) for key in sorted(kwargs))), made
        )

    def _noted(self, entry: tuple[Any, ...], made: Any) -> Any:
        self.entries.append(entry)
        several = type(made) is list
        symbols = [self._symbol(columns) for columns in (made if several else (made,))]
        if self._with_grad and not torch.is_grad_enabled():
            raise NotRecordable(
                "gradients are turned off in the cell, or a function of its own has its own gradient"
            )
        return symbols if several else symbols[0]

    def _symbol(self, columns: Columns) -> Symbol:
        self._count += 1
        return Symbol(self, self._count - 1, columns)

    def _columns(self, value: Any) -> Any:
        """Arguments as operations take them."""
        if isinstance(value, Symbol):
            if value._record is not self:
                raise NotRecordable("a tensor is kept from step to step")
            return value.columns
        if isinstance(value, Tensor):
            return self._of_captured(value)
        if isinstance(value, tuple | list):
            return (
                type(value)(map(self._columns, value))
                if type(value) in (tuple, list)
                else tuple(map(self._columns, value))
            )
        return value

    def _of_captured(self, tensor: Tensor) -> Columns:
        if tensor.dim() == 0 and not tensor.requires_grad and tensor.dtype != self.dtype:
            raise NotRecordable(f"a number of type {tensor.dtype} meets rows of {self.dtype}")
        is_plain = type(tensor) in _PLAIN or is_stand_in(tensor)
        if tensor.dtype != self.dtype or tensor.device != self.device or not is_plain:
            raise NotRecordable(
                f"a {type(tensor).__name__} of {tensor.dtype} on {tensor.device} meets rows of {self.dtype} on "
                f"{self.device}"
            )
        return Columns(None, _blank(tuple(tensor.shape)), tensor.dtype)

    def _names(self, value: Any) -> Any:
        """Arguments as entries hold them, which can be hashed."""
        if isinstance(value, Symbol):
            return _REFERENCES[value.number]
        if isinstance(value, Tensor):
            return f"@{self.captured.number(value)}"
        if isinstance(value, tuple | list):
            return tuple(map(self._names, value))
        if isinstance(value, Rows):
            return ROWS[value.kind]  # (one that refers to no record: entries outlive it)
        if isinstance(value, slice):
            return ("slice", value.start, value.stop, value.step)
        return value


_PLAIN = (Tensor, torch.nn.Parameter)
_PLAIN_ARGUMENTS = frozenset((int, float, bool, str, type(None)))


class _References(dict[int, str]):
    """The names of entries' results."""

    def __missing__(self, number: int) -> str:
        self[number] = f"%{number}"
        return self[number]


_REFERENCES = _References()

_names: dict[Any, str | None] = {}


def _name_of(function: Any) -> str | None:
    """The name under which a function of torch is known here, or None."""
    if function not in _names:
        name = getattr(function, "__name__", "")
        is_torch = any(getattr(home, name, None) == function for home in _HOMES)
        plain = name.strip("_") if name.startswith("__") else name
        swapped = {"radd": "add", "rmul": "mul"}  # (the order of the operands does not matter)
        renamed = {"truediv": "div", "and": "logical_and", "or": "logical_or", "invert": "logical_not"}
        renamed |= {"special_expit": "expit", "log_sigmoid": "logsigmoid"}
        plain = swapped.get(plain, renamed.get(plain, plain))
        _names[function] = plain if is_torch and plain in OPERATIONS else None
    return _names[function]


def replay(
    record: Record, b: Any, given: Callable[[str, str, tuple[int, ...]], Columns], captured: Sequence[Columns]
) -> list[Columns]:
    """The outputs of a record as `b` makes them, from the columns of its inputs."""
    made: list[Columns] = []

    def read(value: Any) -> Any:
        if isinstance(value, str) and value[:1] == "%":
            return made[int(value[1:])]
        if isinstance(value, str) and value[:1] == "@":
            return captured[int(value[1:])]
        if isinstance(value, tuple):
            return slice(*value[1:]) if value[:1] == ("slice",) else tuple(map(read, value))
        return value

    for name, *rest in record.entries:
        if name == "input":
            made.append(given(*rest))
            continue
        result = OPERATIONS[name](b, *read(rest[0]), **(dict(read(rest[1])) if len(rest) > 1 else {}))
        made.extend(result if isinstance(result, list) else [result])
    return [made[int(number[1:])] for number in record.outputs]

"""Counts of what is done: numbers written, rows that enter matrix products, functions called. Never seconds."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten

# These return the tensor that they write into, but touch no more of it than the rows they are given.
_WRITES_ROWS_OF = {
    aten.index_add_.default: 3,
    aten.index_copy_.default: 3,
    aten.index_put_.default: 2,
    aten.scatter_add_.default: 3,
}


class Product(NamedTuple):
    """`[rows, inner] @ [inner, columns]`."""

    rows: int
    inner: int
    columns: int


class Count(TorchDispatchMode):
    """While this lasts, every operation of torch is counted, those of the backward pass as well.

    Attributes:
        written: how many numbers all operations have written.
        by_operation: the same, operation by operation.
        products: the matrix products, in order.
        operations: how many there were, views left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_operation: Counter[str] = Counter()
        self.products: list[Product] = []
        self.operations = 0

    @property
    def written(self) -> int:
        return self.by_operation.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (aten.mm.default, aten.mm.out):
            self._note_product(*args[:2])
        elif func in (aten.addmm.default, aten.addmm.out, aten.addmm_.default):
            self._note_product(*args[1:3])
        if not func.is_view:
            self.operations += 1
            self.by_operation[str(func)] += _numbers_written(func, args, result)
        return result

    def _note_product(self, left: Tensor, right: Tensor) -> None:
        self.products.append(Product(*left.shape, right.shape[1]))


def _numbers_written(func: Any, args: Any, result: Any) -> int:
    if func in _WRITES_ROWS_OF:
        return args[_WRITES_ROWS_OF[func]].numel()
    return sum(value.numel() for value in tree_leaves(result) if isinstance(value, Tensor))


def calls(function: Callable[[], Any]) -> int:
    """How many functions it calls, of Python and of C."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count

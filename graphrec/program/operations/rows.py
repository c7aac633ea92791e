"""New tensors, and what an inbox does: operations between rows of nodes and rows of edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..symbols import EDGE, NODE, Columns, NotRecordable, Rows
from .registry import operation


def _filled(b: Any, x: Columns, shape: Sequence[Any], value: float, dtype: Any) -> Columns:
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = shape[0]
    if not shape or not isinstance(shape[0], Rows):
        raise NotRecordable("a new tensor without rows")
    dtype = x.dtype if dtype is None else dtype
    return Columns(shape[0].kind, np.broadcast_to(b.const(value), tuple(shape[1:])), dtype)


@operation("new_zeros")
def new_zeros(b: Any, x: Columns, *shape: Any, dtype: Any = None, **_: Any) -> Columns:
    """Zeros, of other rows or widths."""
    return _filled(b, x, shape, 0.0, dtype)


@operation("new_ones")
def new_ones(b: Any, x: Columns, *shape: Any, dtype: Any = None, **_: Any) -> Columns:
    """Ones, of other rows or widths."""
    return _filled(b, x, shape, 1.0, dtype)


@operation("new_full")
def new_full(b: Any, x: Columns, shape: Any, fill_value: float, dtype: Any = None, **_: Any) -> Columns:
    """One number, of other rows or widths."""
    return _filled(b, x, shape, float(fill_value), dtype)


@operation("full_like")
def full_like(b: Any, x: Columns, fill_value: float, dtype: Any = None, **_: Any) -> Columns:
    """One number everywhere."""
    array = np.broadcast_to(b.const(float(fill_value)), x.array.shape)
    return x.like(array, x.dtype if dtype is None else dtype)


@operation("zeros_like")
def zeros_like(b: Any, x: Columns, dtype: Any = None, **_: Any) -> Columns:
    """Zeros."""
    return full_like(b, x, 0.0, dtype)


@operation("ones_like")
def ones_like(b: Any, x: Columns, dtype: Any = None, **_: Any) -> Columns:
    """Ones."""
    return full_like(b, x, 1.0, dtype)


@operation("inbox.sum")
def segment_sum(b: Any, x: Columns) -> Columns:
    """Over the edges of each node."""
    dtype = torch.long if x.dtype == torch.bool else x.dtype
    return Columns(NODE, b.from_edges("segment_sum", _of(EDGE, x)), dtype)


@operation("inbox.max")
def segment_max(b: Any, x: Columns) -> Columns:
    """Over the edges of each node, zero where there are none."""
    return Columns(NODE, b.from_edges("segment_max", _of(EDGE, x)), x.dtype)


@operation("inbox.to_edges")
def to_edges(b: Any, x: Columns) -> Columns:
    """To each edge the row of its target."""
    return Columns(EDGE, b.to_edges(_of(NODE, x)), x.dtype)


@operation("inbox.by_slot")
def by_slot(b: Any, x: Columns, count: int) -> Columns:
    """The edges' rows side by side, by slot."""
    return Columns(NODE, b.by_index("slot", _of(EDGE, x), count), x.dtype)


@operation("inbox.by_relation")
def by_relation(b: Any, x: Columns, count: int) -> Columns:
    """The sums over the edges of each relation side by side."""
    return Columns(NODE, b.by_index("relation", _of(EDGE, x), count), x.dtype)


def _of(rows: str, x: Columns) -> np.ndarray:
    if x.rows != rows:
        raise NotRecordable(f"an operation on an inbox gets no rows of {rows}s")
    return x.array

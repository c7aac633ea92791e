"""The same columns in another order or shape, which costs nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch

from ..symbols import ROWS, Columns, NotRecordable, Rows
from .elementwise import promoted
from .registry import operation


@operation("split", "split_with_sizes")
def split(b: Any, x: Columns, split_size_or_sections: Any, dim: int = 0, **named: Any) -> list[Columns]:
    """Pieces of given sizes."""
    sizes = named.get("split_size", split_size_or_sections)
    if dim % x.dim == 0 and x.rows is not None:
        if isinstance(sizes, list | tuple) and len(sizes) == 1 and isinstance(sizes[0], Rows):
            return [x]  # the only kind of nodes
        raise NotRecordable("rows are split")
    axis = x.axis(dim)
    if isinstance(sizes, list | tuple):
        if sum(sizes) != x.array.shape[axis]:
            raise ValueError(f"sizes {sizes} do not add up to {x.array.shape[axis]}.")
        ends = list(accumulate(sizes))
    else:
        ends = [*range(sizes, x.array.shape[axis], sizes), x.array.shape[axis]]
    before = (slice(None),) * axis
    return [x.like(x.array[(*before, slice(start, stop))]) for start, stop in pairwise([0, *ends])]


@operation("chunk")
def chunk(b: Any, x: Columns, chunks: int, dim: int = 0) -> list[Columns]:
    """Pieces of equal size, but for the last."""
    size = x.array.shape[x.axis(dim)]
    return split(b, x, max(-(-size // chunks), 1), dim)


@operation("unbind")
def unbind(b: Any, x: Columns, dim: int = 0) -> list[Columns]:
    """All along a dimension."""
    axis = x.axis(dim)
    return [x.like(np.take(x.array, i, axis)) for i in range(x.array.shape[axis])]


@operation("unsqueeze")
def unsqueeze(b: Any, x: Columns, dim: int) -> Columns:
    """A dimension of size one."""
    return x.like(np.expand_dims(x.array, x.axis(dim, 1)))


@operation("squeeze")
def squeeze(b: Any, x: Columns, dim: Any = None) -> Columns:
    """Without a dimension of size one."""
    if not isinstance(dim, int):
        raise NotRecordable("squeeze without a dimension, which could be that of rows")
    axis = x.axis(dim)
    return x.like(np.squeeze(x.array, axis)) if x.array.shape[axis] == 1 else x


@operation("view", "reshape")
def reshape(b: Any, x: Columns, *shape: Any) -> Columns:
    """Rows as they are, and columns in another shape."""
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = tuple(shape[0])
    if len(shape) == 1 and isinstance(shape[0], torch.dtype):
        raise NotRecordable("a view as another type")
    if x.rows is None:
        return x.like(x.array.reshape(shape))
    first, rest = shape[0], shape[1:]
    if isinstance(first, Rows):
        if first.kind != x.rows:
            raise NotRecordable("rows of edges are viewed as rows of nodes, or the other way round")
    elif first != -1 or math.prod(rest) != x.array.size or -1 in rest:
        raise NotRecordable("rows are mixed with columns")
    return x.like(x.array.reshape(rest))


@operation("view_as", "reshape_as")
def view_as(b: Any, x: Columns, other: Columns) -> Columns:
    """Columns in the shape of another tensor's."""
    rows = [] if other.rows is None else [ROWS[other.rows]]
    return reshape(b, x, *rows, *other.array.shape)


@operation("flatten")
def flatten(b: Any, x: Columns, start_dim: int = 0, end_dim: int = -1) -> Columns:
    """Some dimensions as one."""
    if x.dim == 1 + (x.rows is not None) and start_dim % x.dim == end_dim % x.dim:
        return x
    first, last = x.axis(start_dim), x.axis(end_dim)
    shape = x.array.shape
    return x.like(x.array.reshape(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@operation("unflatten")
def unflatten(b: Any, x: Columns, dim: int, sizes: Any) -> Columns:
    """One dimension as several."""
    axis, shape = x.axis(dim), x.array.shape
    return x.like(x.array.reshape(*shape[:axis], *sizes, *shape[axis + 1 :]))


@operation("expand", "expand_as", "broadcast_to")
def expand(b: Any, x: Columns, *shape: Any) -> Columns:
    """Repeated along dimensions of size one."""
    if len(shape) == 1 and isinstance(shape[0], Columns):
        other = shape[0]
        shape = (*([-1] if other.rows else []), *other.array.shape)
    elif len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = tuple(shape[0])
    if x.rows is None:
        if any(isinstance(size, Rows) for size in shape):
            raise NotRecordable("a tensor without rows is expanded to rows")
    elif len(shape) != x.dim or not (shape[0] == -1 or isinstance(shape[0], Rows)):
        raise NotRecordable("rows are expanded")
    else:
        shape = shape[1:]
    fitting = x.array.shape
    if len(shape) == len(fitting):
        shape = tuple(old if size == -1 else size for old, size in zip(fitting, shape, strict=True))
    return x.like(np.broadcast_to(x.array, shape))


@operation("transpose", "swapaxes", "swapdims")
def transpose(b: Any, x: Columns, dim0: int, dim1: int) -> Columns:
    """Two dimensions exchanged."""
    return x.like(np.swapaxes(x.array, x.axis(dim0), x.axis(dim1)))


@operation("mT")
def transposed(b: Any, x: Columns) -> Columns:
    """The last two dimensions exchanged."""
    return transpose(b, x, -1, -2)


@operation("t", "T")
def reversed_dimensions(b: Any, x: Columns) -> Columns:
    """Dimensions in the opposite order: rows are no columns."""
    if x.rows is not None:
        raise NotRecordable("rows are permuted with columns")
    return transpose(b, x, -1, -2)


@operation("permute")
def permute(b: Any, x: Columns, *dims: Any) -> Columns:
    """Dimensions in another order."""
    if len(dims) == 1 and isinstance(dims[0], list | tuple):
        dims = tuple(dims[0])
    if x.rows is not None and dims[0] % x.dim != 0:
        raise NotRecordable("rows are permuted with columns")
    axes = [x.axis(dim) for dim in (dims[1:] if x.rows is not None else dims)]
    return x.like(np.transpose(x.array, axes))


@operation("cat", "concat", "concatenate")
def cat(b: Any, tensors: Sequence[Columns], dim: int = 0) -> Columns:
    """Side by side."""
    if len(tensors) == 1:
        return tensors[0]
    rows, arrays = _together(tensors)
    axis = next(x for x in tensors if x.rows == rows).axis(dim)
    return Columns(rows, np.concatenate(arrays, axis), promoted(tensors))


@operation("stack")
def stack(b: Any, tensors: Sequence[Columns], dim: int = 0) -> Columns:
    """Side by side along a new dimension."""
    rows, arrays = _together(tensors)
    return Columns(rows, np.stack(arrays, tensors[0].axis(dim, 1)), promoted(tensors))


def _together(tensors: Sequence[Columns]) -> tuple[str | None, list[np.ndarray]]:
    kinds = {x.rows for x in tensors}
    if len(kinds) > 1:
        raise NotRecordable("tensors with different rows are put side by side")
    return kinds.pop(), [x.array for x in tensors]


@operation("select")
def select(b: Any, x: Columns, dim: int, index: int) -> Columns:
    """One along a dimension."""
    return x.like(np.take(x.array, index, x.axis(dim)))


@operation("narrow")
def narrow(b: Any, x: Columns, dim: int, start: int, length: int) -> Columns:
    """Some along a dimension."""
    axis = x.axis(dim)
    size = x.array.shape[axis]
    first = start + size if start < 0 else start
    if length < 0 or not 0 <= first <= size - length:
        raise IndexError(f"narrow from {start} by {length} of {size}.")
    return x.like(x.array[(slice(None),) * axis + (slice(first, first + length),)])


@operation("getitem", "__getitem__")
def getitem(b: Any, x: Columns, index: Any) -> Columns:
    """Columns by slices, numbers and None."""
    index = index if isinstance(index, tuple) else (index,)
    if any(not (isinstance(i, int | slice) or i is None or i is Ellipsis) for i in index):
        raise NotRecordable("an index that is a tensor or a list")
    if any(isinstance(i, bool) for i in index):
        raise NotRecordable("an index that is a mask")
    if x.rows is not None:
        if not index or index[0] is not Ellipsis:
            if not index or index[0] != slice(None):
                raise NotRecordable("rows are chosen")
            index = index[1:]
        elif sum(i is not None and i is not Ellipsis for i in index) >= x.dim:
            raise NotRecordable("rows are chosen")
    return x.like(x.array[index])


@operation("repeat")
def repeat(b: Any, x: Columns, *sizes: Any) -> Columns:
    """Columns repeated side by side."""
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        sizes = tuple(sizes[0])
    if x.rows is not None:
        if sizes[0] != 1 or len(sizes) != x.dim:
            raise NotRecordable("rows are repeated")
        sizes = sizes[1:]
    return x.like(np.tile(x.array, sizes))


@operation("repeat_interleave")
def repeat_interleave(b: Any, x: Columns, repeats: int, dim: int | None = None) -> Columns:
    """Each column repeated."""
    if dim is None or not isinstance(repeats, int):
        raise NotRecordable("repeat_interleave without a dimension, or by a tensor")
    return x.like(np.repeat(x.array, repeats, x.axis(dim)))

"""Sums over columns, products with tensors of the cell's own, and torch's cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ..symbols import Columns, NotRecordable
from .elementwise import add, detach, div, elementwise, mul, sub
from .registry import OPERATIONS, operation
from .views import chunk, narrow, unsqueeze


def _axes(x: Columns, dim: Any) -> tuple[int, ...]:
    if dim is None or dim == () or dim == []:
        raise NotRecordable("a reduction over rows")
    return tuple(x.axis(d) for d in (dim if isinstance(dim, list | tuple) else (dim,)))


@operation("sum")
def sum_(b: Any, x: Columns, dim: Any = None, keepdim: bool = False, **named: Any) -> Columns:
    """Over some dimensions of columns."""
    dim, keepdim = named.pop("axis", dim), named.pop("keepdims", keepdim)
    if named.get("dtype") not in (None, x.dtype):
        raise NotRecordable("a sum in another type")
    axes = _axes(x, dim)
    total = b.sum_over(x.array, axes)
    dtype = torch.long if x.dtype == torch.bool else x.dtype
    return x.like(np.expand_dims(total, axes) if keepdim else total, dtype)


@operation("mean")
def mean(b: Any, x: Columns, dim: Any = None, keepdim: bool = False, **named: Any) -> Columns:
    """Over some dimensions of columns."""
    dim, keepdim = named.pop("axis", dim), named.pop("keepdims", keepdim)
    if not x.dtype.is_floating_point or named.get("dtype") not in (None, x.dtype):
        raise NotRecordable("a mean in another type")
    count = math.prod(x.array.shape[axis] for axis in _axes(x, dim))
    return mul(b, sum_(b, x, dim, keepdim), 1 / count)


@operation("softmax")
def softmax(b: Any, x: Columns, dim: int, dtype: Any = None, _stacklevel: int = 3) -> Columns:
    """exp(x) / sum exp(x) over a dimension of columns."""
    weight = elementwise(b, "exp", _below_largest(b, x, dim, dtype))
    return div(b, weight, sum_(b, weight, dim, True))


@operation("log_softmax")
def log_softmax(b: Any, x: Columns, dim: int, dtype: Any = None, _stacklevel: int = 3) -> Columns:
    """x - log sum exp(x) over a dimension of columns."""
    lower = _below_largest(b, x, dim, dtype)
    return sub(b, lower, elementwise(b, "log", sum_(b, elementwise(b, "exp", lower), dim, True)))


def _below_largest(b: Any, x: Columns, dim: int, dtype: Any) -> Columns:
    """x minus the largest along a dimension, found by halves, which overlap where a size is odd."""
    if not isinstance(dim, int) or not x.dtype.is_floating_point or dtype not in (None, x.dtype):
        raise NotRecordable("a softmax without a dimension, or in another type")
    top, size = detach(b, x), x.array.shape[x.axis(dim)]
    while size > 1:
        half = (size + 1) // 2
        top = elementwise(b, "maximum", narrow(b, top, dim, 0, half), narrow(b, top, dim, size - half, half))
        size = half
    return sub(b, x, top)


@operation("layer_norm")
def layer_norm(
    b: Any, x: Columns, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Columns:
    """(x - mean) / std over the last dimension, scaled and shifted."""
    if len(normalized_shape) != 1 or x.array.shape[-1:] != tuple(normalized_shape) or x.rows is None:
        raise NotRecordable("a norm over several dimensions")
    centred = sub(b, x, mean(b, x, -1, True))
    variance = mean(b, elementwise(b, "square", centred), -1, True)
    y = mul(b, centred, elementwise(b, "rsqrt", add(b, variance, eps)))
    y = y if weight is None else mul(b, y, weight)
    return y if bias is None else add(b, y, bias)


@operation("linear")
def linear(b: Any, input: Columns, weight: Columns, bias: Columns | None = None) -> Columns:
    """x W^T + b."""
    x = input
    if not isinstance(weight, Columns) or weight.rows is not None or x.rows is None:
        raise NotRecordable("a product whose weight is not a tensor of the cell's own")
    if bias is not None and bias.array.shape != weight.array.shape[:1]:
        raise ValueError(f"a bias of shape {bias.array.shape} for a weight of shape {weight.array.shape}.")
    return product(b, x, weight.array.T, None if bias is None else bias.array)


def product(b: Any, x: Columns, weight: np.ndarray, bias: np.ndarray | None) -> Columns:
    """Along the last dimension, `[..., K] × [K, N]`."""
    if x.array.ndim < 1 or weight.ndim != 2 or x.array.shape[-1] != weight.shape[0]:
        raise ValueError(f"a product of columns {x.array.shape} with a matrix {weight.shape}.")
    if x.array.ndim == 1:
        return x.like(b.product(x.rows, x.array, weight, bias))
    lead = x.array.shape[:-1]
    rows = x.array.reshape(-1, x.array.shape[-1])
    if len(rows) > 16:
        raise NotRecordable("a product along the last of several dimensions")
    made = [b.product(x.rows, row, weight, bias) for row in rows]
    joined = np.concatenate(made) if made else b.const(0.0)[None][:0]
    return x.like(joined.reshape(*lead, weight.shape[1]))


@operation("matmul", "mm", "bmm")
def matmul(b: Any, x: Any, y: Any) -> Columns:
    """Rows times a matrix of the cell's own; or, row by row, times a matrix that each row has."""
    if not isinstance(x, Columns) or not isinstance(y, Columns) or x.rows is None:
        raise NotRecordable("a product whose left side is not made of rows")
    if y.rows is None:
        if y.array.ndim == 1:
            return sum_(b, mul(b, x, y), -1)
        return product(b, x, y.array, None)
    if x.rows != y.rows or x.array.ndim != 2 or y.array.ndim != 2:
        raise NotRecordable("a product of rows with rows")
    left, right = unsqueeze(b, x, 3), unsqueeze(b, y, 1)  # [n, i, k, 1] and [n, 1, k, j]
    return sum_(b, mul(b, left, right), 2)


@operation("einsum")
def einsum(b: Any, equation: str, *given: Any) -> Columns:
    """Rows times a tensor of the cell's own, summed over the letters that the result lacks."""
    left, _, result = equation.replace(" ", "").partition("->")
    letters = left.split(",")
    if len(given) != 2 or len(letters) != 2 or given[0].rows is None or given[1].rows is not None:
        raise NotRecordable("an einsum other than of rows with a tensor of the cell's own")
    (n, *of_x), of_w = letters[0], letters[1]
    shared = [letter for letter in of_x if letter in of_w]
    kept_x, kept_w = ([k for k in of if k not in shared] for of in (of_x, of_w))
    if list(result) != [n, *kept_x, *kept_w] or n in of_w:
        raise NotRecordable(f"the einsum {equation}")
    x = np.transpose(given[0].array, [of_x.index(k) for k in (*kept_x, *shared)])
    w = np.transpose(given[1].array, [of_w.index(k) for k in (*shared, *kept_w)])
    count = math.prod(w.shape[: len(shared)])
    flat = given[0].like(x.reshape(*x.shape[: len(kept_x)], count))
    made = product(b, flat, w.reshape(count, -1), None)
    return made.like(made.array.reshape(*x.shape[: len(kept_x)], *w.shape[len(shared) :]))


@operation("addmm")
def addmm(b: Any, bias: Any, x: Columns, weight: Columns, *, beta: float = 1, alpha: float = 1) -> Columns:
    """bias + x W."""
    if beta != 1 or alpha != 1:
        raise NotRecordable("addmm with factors")
    return add(b, bias, matmul(b, x, weight))


@operation("gru_cell")
def gru_cell(b: Any, x: Columns, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Columns:
    """Torch's GRU, with gates r, z, n."""
    xr, xz, xn = chunk(b, linear(b, x, w_ih, b_ih), 3, -1)
    ur, uz, un = chunk(b, linear(b, h, w_hh, b_hh), 3, -1)
    r, z = (elementwise(b, "sigmoid", add(b, of_x, of_h)) for of_x, of_h in ((xr, ur), (xz, uz)))
    n = elementwise(b, "tanh", add(b, xn, mul(b, r, un)))
    return add(b, n, mul(b, z, sub(b, h, n)))


@operation("lstm_cell")
def lstm_cell(
    b: Any, x: Columns, state: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> list[Columns]:
    """Torch's LSTM, with gates i, f, g, o."""
    h, c = state
    i, f, g, o = chunk(b, add(b, linear(b, x, w_ih, b_ih), linear(b, h, w_hh, b_hh)), 4, -1)
    i, f, o = (elementwise(b, "sigmoid", gate) for gate in (i, f, o))
    c = add(b, mul(b, f, c), mul(b, i, elementwise(b, "tanh", g)))
    return [mul(b, o, elementwise(b, "tanh", c)), c]


def _simple_cell(op: str) -> Any:
    def cell(b: Any, x: Columns, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Columns:
        return elementwise(b, op, add(b, linear(b, x, w_ih, b_ih), linear(b, h, w_hh, b_hh)))

    return cell


OPERATIONS["rnn_tanh_cell"], OPERATIONS["rnn_relu_cell"] = _simple_cell("tanh"), _simple_cell("relu")

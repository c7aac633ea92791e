"""What torch's functions do to the columns of a program: one definition each, for recording and for compiling.

A function gets the side that it works for, `b`, which makes values: `Shapes` while a cell is recorded, when arrays
stand for shapes alone, or `Builder`, when they say which column of which value stands where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch

from .symbols import EDGE, NODE, Columns, NotRecordable, Rows

OPERATIONS: dict[str, Callable[..., Any]] = {}


def operation(*names: str) -> Callable[[Any], Any]:
    """Register a function under torch's names for it."""

    def register(function: Any) -> Any:
        for name in names:
            OPERATIONS[name] = function
        return function

    return register


# ------------------------------------------------------------------------------------------------ elementwise


def _elementwise(b: Any, op: str, *given: Any, imm: float | None = None, dtype: Any = None) -> Columns:
    """Columns of the same rows, after broadcasting."""
    if len(given) == 1 and isinstance(given[0], Columns):
        (x,) = given
        return Columns(x.rows, b.ew(op, x.array, imm=imm), x.dtype if dtype is None else dtype)
    if len(given) == 2 and isinstance(given[0], Columns) and isinstance(given[1], Columns):
        x, y = given
        if x.rows == y.rows and x.array.ndim == y.array.ndim and x.dtype == y.dtype:
            return Columns(x.rows, b.ew(op, x.array, y.array, imm=imm), x.dtype if dtype is None else dtype)
    columns = [value for value in given if isinstance(value, Columns)]
    kinds = {value.rows for value in columns if value.rows is not None}
    if len(kinds) > 1:
        raise NotRecordable("rows of nodes and rows of edges meet in one operation")
    ranks = {value.array.ndim for value in columns if value.rows is not None}
    if len(ranks) > 1:
        raise NotRecordable(
            "tensors with different numbers of dimensions, rows among them, meet in one operation"
        )
    rank = ranks.pop() if ranks else None
    arrays = [
        _aligned(value, rank) if isinstance(value, Columns) else b.const(float(value)) for value in given
    ]
    return Columns(kinds.pop() if kinds else None, b.ew(op, *arrays, imm=imm), dtype or _promoted(columns))


def _aligned(value: Columns, rank: int | None) -> np.ndarray:
    """The array, without the dimension that would stand beside rows."""
    array = value.array
    if rank is None or value.rows is not None or array.ndim <= rank:
        return array
    if array.ndim > rank + 1 or array.shape[0] != 1:
        raise NotRecordable("a tensor of the cell's own has rows, or more dimensions than the one it meets")
    return array[0]


def _promoted(columns: Sequence[Columns]) -> torch.dtype:
    floating = {value.dtype for value in columns if value.dtype.is_floating_point}
    if len(floating) > 1:
        raise NotRecordable("tensors of different precision meet in one operation")
    if floating:
        return floating.pop()
    return torch.bool if all(value.dtype == torch.bool for value in columns) else torch.long


def _floating(b: Any, x: Columns) -> torch.dtype:
    return x.dtype if x.dtype.is_floating_point else b.dtype


for _name in [
    "sigmoid",
    "tanh",
    "exp",
    "log",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "sin",
    "cos",
    "erf",
    "expm1",
    "log1p",
]:
    OPERATIONS[_name] = lambda b, x, _op=_name: _elementwise(b, _op, x, dtype=_floating(b, x))
OPERATIONS["expit"] = OPERATIONS["special_expit"] = OPERATIONS["sigmoid"]
for _name in ["neg", "abs", "square", "sign"]:
    OPERATIONS[_name] = lambda b, x, _op=_name: _elementwise(b, _op, x)
OPERATIONS["negative"], OPERATIONS["absolute"] = OPERATIONS["neg"], OPERATIONS["abs"]


@operation("relu")
def relu(b: Any, x: Columns, inplace: bool = False) -> Columns:
    """max(x, 0)."""
    _not_in_place(inplace)
    return _elementwise(b, "relu", x)


def _not_in_place(inplace: bool) -> None:
    if inplace:
        raise NotRecordable("a tensor is written into")


@operation("add")
def add(b: Any, x: Any, y: Any, *, alpha: float = 1) -> Columns:
    """x + alpha y."""
    return _elementwise(b, "add", x, y if alpha == 1 else mul(b, y, alpha))


@operation("sub", "subtract")
def sub(b: Any, x: Any, y: Any, *, alpha: float = 1) -> Columns:
    """x - alpha y."""
    return _elementwise(b, "sub", x, y if alpha == 1 else mul(b, y, alpha))


@operation("rsub")
def rsub(b: Any, x: Any, y: Any, *, alpha: float = 1) -> Columns:
    """y - alpha x."""
    return sub(b, y, x, alpha=alpha)


@operation("mul", "multiply")
def mul(b: Any, x: Any, y: Any) -> Columns:
    """x y."""
    return _elementwise(b, "mul", x, y)


@operation("div", "divide", "true_divide")
def div(b: Any, x: Any, y: Any, *, rounding_mode: str | None = None) -> Columns:
    """x / y."""
    if rounding_mode is not None:
        raise NotRecordable(f"division with rounding_mode={rounding_mode!r}")
    given = [value.dtype for value in (x, y) if isinstance(value, Columns)]
    dtype = next((dtype for dtype in given if dtype.is_floating_point), b.dtype)
    return _elementwise(b, "div", x, y, dtype=dtype)


@operation("maximum")
def maximum(b: Any, x: Columns, y: Columns) -> Columns:
    """The larger one; where both are equal, they share the gradient."""
    return _elementwise(b, "maximum", x, y)


@operation("minimum")
def minimum(b: Any, x: Columns, y: Columns) -> Columns:
    """The smaller one; where both are equal, they share the gradient."""
    return _elementwise(b, "minimum", x, y)


@operation("pow", "__pow__")
def power(b: Any, x: Any, exponent: Any) -> Columns:
    """x^n for the exponents that have an operation of their own."""
    if not isinstance(x, Columns) or isinstance(exponent, Columns):
        raise NotRecordable("a power with a tensor as its exponent")
    if exponent == 2:
        return _elementwise(b, "square", x)
    if exponent == 3:
        return mul(b, x, _elementwise(b, "square", x))
    names = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if exponent not in names:
        raise NotRecordable(f"a power with the exponent {exponent}")
    return _elementwise(b, names[exponent], x)


@operation("addcmul")
def addcmul(b: Any, x: Columns, y: Columns, z: Columns, *, value: float = 1) -> Columns:
    """x + value y z."""
    return add(b, x, mul(b, y, z), alpha=value)


@operation("lerp")
def lerp(b: Any, x: Columns, y: Columns, weight: Any) -> Columns:
    """x + weight (y - x)."""
    return add(b, x, mul(b, weight, sub(b, y, x)))


@operation("clamp", "clip")
def clamp(b: Any, x: Columns, min: Any = None, max: Any = None) -> Columns:
    """Not below min, not above max."""
    if isinstance(min, Columns) or isinstance(max, Columns):
        raise NotRecordable("clamp with tensors as bounds")
    if min is not None:
        x = _elementwise(b, "max_imm", x, imm=float(min))
    return x if max is None else _elementwise(b, "min_imm", x, imm=float(max))


@operation("clamp_min")
def clamp_min(b: Any, x: Columns, min: Any) -> Columns:
    """Not below min."""
    return clamp(b, x, min)


@operation("clamp_max")
def clamp_max(b: Any, x: Columns, max: Any) -> Columns:
    """Not above max."""
    return clamp(b, x, None, max)


@operation("hardtanh")
def hardtanh(
    b: Any, x: Columns, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Columns:
    """clamp, whose gradient is zero at the bounds, too."""
    _not_in_place(inplace)
    if min_val > max_val:
        raise ValueError(f"hardtanh from {min_val} to {max_val}.")
    inside = logical_and(b, gt(b, x, min_val), lt(b, x, max_val))
    return where(b, inside, x, clamp(b, detach(b, x), min_val, max_val))


@operation("softplus")
def softplus(b: Any, x: Columns, beta: float = 1, threshold: float = 20) -> Columns:
    """log(1 + exp(x))."""
    if beta != 1 or threshold != 20:
        raise NotRecordable("softplus with another beta or threshold")
    return _elementwise(b, "softplus", x)


@operation("logsigmoid")
def logsigmoid(b: Any, x: Columns) -> Columns:
    """log(sigmoid(x))."""
    return _elementwise(b, "neg", _elementwise(b, "softplus", _elementwise(b, "neg", x)))


@operation("silu")
def silu(b: Any, x: Columns, inplace: bool = False) -> Columns:
    """x sigmoid(x)."""
    _not_in_place(inplace)
    return mul(b, x, _elementwise(b, "sigmoid", x))


@operation("gelu")
def gelu(b: Any, x: Columns, approximate: str = "none") -> Columns:
    """x times the normal distribution function."""
    if approximate == "none":
        share = _elementwise(b, "erf", mul(b, x, math.sqrt(0.5)))
    else:
        inner = add(b, x, mul(b, power(b, x, 3), 0.044715))
        share = _elementwise(b, "tanh", mul(b, inner, math.sqrt(2 / math.pi)))
    return mul(b, mul(b, x, 0.5), add(b, share, 1.0))


@operation("leaky_relu")
def leaky_relu(b: Any, x: Columns, negative_slope: float = 0.01, inplace: bool = False) -> Columns:
    """x, or slope x below zero."""
    _not_in_place(inplace)
    return where(b, gt(b, x, 0.0), x, mul(b, x, negative_slope))


@operation("elu")
def elu(b: Any, x: Columns, alpha: float = 1.0, inplace: bool = False) -> Columns:
    """x, or alpha (exp(x) - 1) below zero."""
    _not_in_place(inplace)
    below = mul(b, _elementwise(b, "expm1", _elementwise(b, "min_imm", x, imm=0.0)), alpha)
    return where(b, gt(b, x, 0.0), x, below)


@operation("softsign")
def softsign(b: Any, x: Columns) -> Columns:
    """x / (1 + |x|)."""
    return div(b, x, add(b, _elementwise(b, "abs", x), 1.0))


@operation("gt", "greater")
def gt(b: Any, x: Any, y: Any) -> Columns:
    """x > y."""
    return _elementwise(b, "greater", x, y, dtype=torch.bool)


@operation("ge", "greater_equal")
def ge(b: Any, x: Any, y: Any) -> Columns:
    """x ≥ y."""
    return _elementwise(b, "greater_equal", x, y, dtype=torch.bool)


@operation("lt", "less")
def lt(b: Any, x: Any, y: Any) -> Columns:
    """x < y."""
    return gt(b, y, x)


@operation("le", "less_equal")
def le(b: Any, x: Any, y: Any) -> Columns:
    """x ≤ y."""
    return ge(b, y, x)


@operation("eq")
def eq(b: Any, x: Any, y: Any) -> Columns:
    """x = y."""
    return _elementwise(b, "equal", x, y, dtype=torch.bool)


@operation("ne", "not_equal")
def ne(b: Any, x: Any, y: Any) -> Columns:
    """x ≠ y."""
    return logical_not(b, eq(b, x, y))


@operation("logical_not", "bitwise_not")
def logical_not(b: Any, x: Columns) -> Columns:
    """Where x is zero."""
    return _elementwise(b, "equal", x, 0.0, dtype=torch.bool)


@operation("logical_and", "bitwise_and")
def logical_and(b: Any, x: Columns, y: Columns) -> Columns:
    """Both, of two masks."""
    _masks(x, y)
    return _elementwise(b, "mul", x, y, dtype=torch.bool)


@operation("logical_or", "bitwise_or")
def logical_or(b: Any, x: Columns, y: Columns) -> Columns:
    """One or both, of two masks."""
    _masks(x, y)
    return _elementwise(b, "maximum", x, y, dtype=torch.bool)


def _masks(*given: Any) -> None:
    if any(not isinstance(x, Columns) or x.dtype != torch.bool for x in given):
        raise NotRecordable("a logical operation on numbers")


@operation("where")
def where(b: Any, condition: Columns, x: Any, y: Any) -> Columns:
    """x where the condition holds, else y."""
    given = [value for value in (x, y) if isinstance(value, Columns)]
    dtype = _promoted(given) if given else b.dtype
    return _elementwise(b, "select", condition, x, y, dtype=dtype)


@operation("masked_fill")
def masked_fill(b: Any, x: Columns, mask: Columns, value: Any) -> Columns:
    """x, but a value where the mask holds."""
    return where(b, mask, value, x)


@operation("detach")
def detach(b: Any, x: Columns) -> Columns:
    """x, which gradients do not pass."""
    return x.like(b.ew("detach", x.array))


@operation("clone", "contiguous", "alias")
def clone(b: Any, x: Columns, **_: Any) -> Columns:
    """x: nothing is written into."""
    return x


for _name in ["float", "double", "long", "int", "bool", "half", "bfloat16"]:
    OPERATIONS[_name] = lambda b, x, _to=_name, **_: convert(b, x, dtype=getattr(torch, _to))


@operation("to", "type_as")
def convert(b: Any, x: Columns, *given: Any, dtype: Any = None, **others: Any) -> Columns:
    """The same numbers, in another type only where both are exact."""
    for value in (*given, *others.values()):
        if isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, Columns):
            dtype = value.dtype
    if dtype is None or dtype == x.dtype:
        return x
    if not isinstance(dtype, torch.dtype):
        raise NotRecordable(f"a conversion to {dtype}")
    if x.dtype.is_floating_point or dtype not in (b.dtype, torch.long):
        raise NotRecordable(f"a conversion from {x.dtype} to {dtype}")
    return Columns(x.rows, x.array, dtype)


@operation("dropout")
def dropout(b: Any, x: Columns, p: float = 0.5, training: bool = True, inplace: bool = False) -> Columns:
    """x, where nothing is dropped."""
    if training and p:
        raise NotRecordable("dropout draws random numbers in each step")
    return x


# ------------------------------------------------------------------------------------------------ views


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
    return Columns(rows, np.concatenate(arrays, axis), _promoted(tensors))


@operation("stack")
def stack(b: Any, tensors: Sequence[Columns], dim: int = 0) -> Columns:
    """Side by side along a new dimension."""
    rows, arrays = _together(tensors)
    return Columns(rows, np.stack(arrays, tensors[0].axis(dim, 1)), _promoted(tensors))


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


# ------------------------------------------------------------------------------------------------ over columns


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


@operation("layer_norm")
def layer_norm(
    b: Any, x: Columns, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Columns:
    """(x - mean) / std over the last dimension, scaled and shifted."""
    if len(normalized_shape) != 1 or x.array.shape[-1:] != tuple(normalized_shape) or x.rows is None:
        raise NotRecordable("a norm over several dimensions")
    centred = sub(b, x, mean(b, x, -1, True))
    variance = mean(b, _elementwise(b, "square", centred), -1, True)
    y = mul(b, centred, _elementwise(b, "rsqrt", add(b, variance, eps)))
    y = y if weight is None else mul(b, y, weight)
    return y if bias is None else add(b, y, bias)


# ------------------------------------------------------------------------------------------------ products


@operation("linear")
def linear(b: Any, input: Columns, weight: Columns, bias: Columns | None = None) -> Columns:
    """x W^T + b."""
    x = input
    if not isinstance(weight, Columns) or weight.rows is not None or x.rows is None:
        raise NotRecordable("a product whose weight is not a tensor of the cell's own")
    if bias is not None and bias.array.shape != weight.array.shape[:1]:
        raise ValueError(f"a bias of shape {bias.array.shape} for a weight of shape {weight.array.shape}.")
    return _product(b, x, weight.array.T, None if bias is None else bias.array)


def _product(b: Any, x: Columns, weight: np.ndarray, bias: np.ndarray | None) -> Columns:
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
        return _product(b, x, y.array, None)
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
    made = _product(b, flat, w.reshape(count, -1), None)
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
    r, z = (_elementwise(b, "sigmoid", add(b, of_x, of_h)) for of_x, of_h in ((xr, ur), (xz, uz)))
    n = _elementwise(b, "tanh", add(b, xn, mul(b, r, un)))
    return add(b, n, mul(b, z, sub(b, h, n)))


@operation("lstm_cell")
def lstm_cell(
    b: Any, x: Columns, state: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> list[Columns]:
    """Torch's LSTM, with gates i, f, g, o."""
    h, c = state
    i, f, g, o = chunk(b, add(b, linear(b, x, w_ih, b_ih), linear(b, h, w_hh, b_hh)), 4, -1)
    i, f, o = (_elementwise(b, "sigmoid", gate) for gate in (i, f, o))
    c = add(b, mul(b, f, c), mul(b, i, _elementwise(b, "tanh", g)))
    return [mul(b, o, _elementwise(b, "tanh", c)), c]


def _simple_cell(op: str) -> Any:
    def cell(b: Any, x: Columns, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Columns:
        return _elementwise(b, op, add(b, linear(b, x, w_ih, b_ih), linear(b, h, w_hh, b_hh)))

    return cell


OPERATIONS["rnn_tanh_cell"], OPERATIONS["rnn_relu_cell"] = _simple_cell("tanh"), _simple_cell("relu")


# ------------------------------------------------------------------------------------------------ new tensors


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


# ------------------------------------------------------------------------------------------------ inboxes


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

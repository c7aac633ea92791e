"""Operations on each column by itself, after broadcasting: arithmetic, functions, choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..symbols import Columns, NotRecordable
from .registry import OPERATIONS, operation


def elementwise(b: Any, op: str, *given: Any, imm: float | None = None, dtype: Any = None) -> Columns:
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
    return Columns(kinds.pop() if kinds else None, b.ew(op, *arrays, imm=imm), dtype or promoted(columns))


def _aligned(value: Columns, rank: int | None) -> np.ndarray:
    """The array, without the dimension that would stand beside rows."""
    array = value.array
    if rank is None or value.rows is not None or array.ndim <= rank:
        return array
    if array.ndim > rank + 1 or array.shape[0] != 1:
        raise NotRecordable("a tensor of the cell's own has rows, or more dimensions than the one it meets")
    return array[0]


def promoted(columns: Sequence[Columns]) -> torch.dtype:
    """The type of what is made of these."""
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
    OPERATIONS[_name] = lambda b, x, _op=_name: elementwise(b, _op, x, dtype=_floating(b, x))
OPERATIONS["expit"] = OPERATIONS["sigmoid"]
for _name in ["neg", "abs", "square", "sign"]:
    OPERATIONS[_name] = lambda b, x, _op=_name: elementwise(b, _op, x)
OPERATIONS["negative"], OPERATIONS["absolute"] = OPERATIONS["neg"], OPERATIONS["abs"]


@operation("relu")
def relu(b: Any, x: Columns, inplace: bool = False) -> Columns:
    """max(x, 0)."""
    check_in_place(inplace)
    return elementwise(b, "relu", x)


def check_in_place(inplace: bool) -> None:
    """Refuse to write into a tensor."""
    if inplace:
        raise NotRecordable("a tensor is written into")


@operation("add")
def add(b: Any, x: Any, y: Any, *, alpha: float = 1) -> Columns:
    """x + alpha y."""
    return elementwise(b, "add", x, y if alpha == 1 else mul(b, y, alpha))


@operation("sub", "subtract")
def sub(b: Any, x: Any, y: Any, *, alpha: float = 1) -> Columns:
    """x - alpha y."""
    return elementwise(b, "sub", x, y if alpha == 1 else mul(b, y, alpha))


@operation("rsub")
def rsub(b: Any, x: Any, y: Any, *, alpha: float = 1) -> Columns:
    """y - alpha x."""
    return sub(b, y, x, alpha=alpha)


@operation("mul", "multiply")
def mul(b: Any, x: Any, y: Any) -> Columns:
    """x y."""
    return elementwise(b, "mul", x, y)


@operation("div", "divide", "true_divide")
def div(b: Any, x: Any, y: Any, *, rounding_mode: str | None = None) -> Columns:
    """x / y."""
    if rounding_mode is not None:
        raise NotRecordable(f"division with rounding_mode={rounding_mode!r}")
    given = [value.dtype for value in (x, y) if isinstance(value, Columns)]
    dtype = next((dtype for dtype in given if dtype.is_floating_point), b.dtype)
    return elementwise(b, "div", x, y, dtype=dtype)


@operation("maximum")
def maximum(b: Any, x: Columns, y: Columns) -> Columns:
    """The larger one; where both are equal, they share the gradient."""
    return elementwise(b, "maximum", x, y)


@operation("minimum")
def minimum(b: Any, x: Columns, y: Columns) -> Columns:
    """The smaller one; where both are equal, they share the gradient."""
    return elementwise(b, "minimum", x, y)


@operation("pow", "__pow__")
def power(b: Any, x: Any, exponent: Any) -> Columns:
    """x^n for the exponents that have an operation of their own."""
    if not isinstance(x, Columns) or isinstance(exponent, Columns):
        raise NotRecordable("a power with a tensor as its exponent")
    if exponent == 2:
        return elementwise(b, "square", x)
    if exponent == 3:
        return mul(b, x, elementwise(b, "square", x))
    names = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if exponent not in names:
        raise NotRecordable(f"a power with the exponent {exponent}")
    return elementwise(b, names[exponent], x)


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
        x = elementwise(b, "max_imm", x, imm=float(min))
    return x if max is None else elementwise(b, "min_imm", x, imm=float(max))


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
    check_in_place(inplace)
    if min_val > max_val:
        raise ValueError(f"hardtanh from {min_val} to {max_val}.")
    inside = logical_and(b, gt(b, x, min_val), lt(b, x, max_val))
    return where(b, inside, x, clamp(b, detach(b, x), min_val, max_val))


@operation("softplus")
def softplus(b: Any, x: Columns, beta: float = 1, threshold: float = 20) -> Columns:
    """log(1 + exp(x))."""
    if beta != 1 or threshold != 20:
        raise NotRecordable("softplus with another beta or threshold")
    return elementwise(b, "softplus", x)


@operation("logsigmoid")
def logsigmoid(b: Any, x: Columns) -> Columns:
    """log(sigmoid(x))."""
    return elementwise(b, "neg", elementwise(b, "softplus", elementwise(b, "neg", x)))


@operation("silu")
def silu(b: Any, x: Columns, inplace: bool = False) -> Columns:
    """x sigmoid(x)."""
    check_in_place(inplace)
    return mul(b, x, elementwise(b, "sigmoid", x))


@operation("gelu")
def gelu(b: Any, x: Columns, approximate: str = "none") -> Columns:
    """x times the normal distribution function."""
    if approximate == "none":
        share = elementwise(b, "erf", mul(b, x, math.sqrt(0.5)))
    else:
        inner = add(b, x, mul(b, power(b, x, 3), 0.044715))
        share = elementwise(b, "tanh", mul(b, inner, math.sqrt(2 / math.pi)))
    return mul(b, mul(b, x, 0.5), add(b, share, 1.0))


@operation("leaky_relu")
def leaky_relu(b: Any, x: Columns, negative_slope: float = 0.01, inplace: bool = False) -> Columns:
    """x, or slope x below zero."""
    check_in_place(inplace)
    return where(b, gt(b, x, 0.0), x, mul(b, x, negative_slope))


@operation("elu")
def elu(b: Any, x: Columns, alpha: float = 1.0, inplace: bool = False) -> Columns:
    """x, or alpha (exp(x) - 1) below zero."""
    check_in_place(inplace)
    below = mul(b, elementwise(b, "expm1", elementwise(b, "min_imm", x, imm=0.0)), alpha)
    return where(b, gt(b, x, 0.0), x, below)


@operation("softsign")
def softsign(b: Any, x: Columns) -> Columns:
    """x / (1 + |x|)."""
    return div(b, x, add(b, elementwise(b, "abs", x), 1.0))


@operation("gt", "greater")
def gt(b: Any, x: Any, y: Any) -> Columns:
    """x > y."""
    return elementwise(b, "greater", x, y, dtype=torch.bool)


@operation("ge", "greater_equal")
def ge(b: Any, x: Any, y: Any) -> Columns:
    """x ≥ y."""
    return elementwise(b, "greater_equal", x, y, dtype=torch.bool)


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
    return elementwise(b, "equal", x, y, dtype=torch.bool)


@operation("ne", "not_equal")
def ne(b: Any, x: Any, y: Any) -> Columns:
    """x ≠ y."""
    return logical_not(b, eq(b, x, y))


@operation("logical_not", "bitwise_not")
def logical_not(b: Any, x: Columns) -> Columns:
    """Where x is zero."""
    return elementwise(b, "equal", x, 0.0, dtype=torch.bool)


@operation("logical_and", "bitwise_and")
def logical_and(b: Any, x: Columns, y: Columns) -> Columns:
    """Both, of two masks."""
    _masks(x, y)
    return elementwise(b, "mul", x, y, dtype=torch.bool)


@operation("logical_or", "bitwise_or")
def logical_or(b: Any, x: Columns, y: Columns) -> Columns:
    """One or both, of two masks."""
    _masks(x, y)
    return elementwise(b, "maximum", x, y, dtype=torch.bool)


def _masks(*given: Any) -> None:
    if any(not isinstance(x, Columns) or x.dtype != torch.bool for x in given):
        raise NotRecordable("a logical operation on numbers")


@operation("where")
def where(b: Any, condition: Columns, x: Any, y: Any) -> Columns:
    """x where the condition holds, else y."""
    given = [value for value in (x, y) if isinstance(value, Columns)]
    dtype = promoted(given) if given else b.dtype
    return elementwise(b, "select", condition, x, y, dtype=dtype)


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


for _type in (torch.float, torch.double, torch.long, torch.int, torch.bool, torch.half, torch.bfloat16):
    for _name in [
        name for name, value in vars(torch).items() if value is _type and hasattr(torch.Tensor, name)
    ]:
        OPERATIONS[_name] = lambda b, x, _to=_type, **_: convert(b, x, dtype=_to)


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

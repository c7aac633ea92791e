"""The operations of programs as torch's, writing their results where they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


def _softplus(x: Tensor, out: Tensor) -> None:
    _aten.softplus.out(x, out=out)


def _relu(x: Tensor, out: Tensor) -> None:
    torch.clamp_min(x, 0, out=out)


def _select(condition: Tensor, x: Tensor, y: Tensor, out: Tensor) -> None:
    torch.where(condition != 0, x, y, out=out)


def _sigmoid_grad(g: Tensor, y: Tensor, out: Tensor) -> None:
    _aten.sigmoid_backward.grad_input(g, y, grad_input=out)


def _tanh_grad(g: Tensor, y: Tensor, out: Tensor) -> None:
    _aten.tanh_backward.grad_input(g, y, grad_input=out)


def _relu_grad(g: Tensor, y: Tensor, out: Tensor) -> None:
    _aten.threshold_backward.grad_input(g, y, 0, grad_input=out)


def _copy(x: Tensor, out: Tensor) -> None:
    out.copy_(x)


def _accumulate(x: Tensor, out: Tensor) -> None:
    out.add_(x)


def _zero(out: Tensor) -> None:
    out.zero_()


ELEMENTWISE: dict[str, Callable[..., Any]] = {
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
    "relu": _relu,
    "exp": torch.exp,
    "log": torch.log,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "softplus": _softplus,
    "expm1": torch.expm1,
    "log1p": torch.log1p,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "equal": torch.eq,
    "select": _select,
    "sigmoid_grad": _sigmoid_grad,
    "tanh_grad": _tanh_grad,
    "relu_grad": _relu_grad,
    "copy": _copy,
    "accumulate": _accumulate,
    "zero": _zero,
}
# With a number as their second operand, or (None) as their first.
WITH_NUMBER: dict[str, Callable[..., Any]] = {
    "add_imm": torch.add,
    "mul_imm": torch.mul,
    "rsub_imm": lambda x, imm, out: torch.sub(imm, x, out=out),
    "max_imm": torch.clamp_min,
    "min_imm": torch.clamp_max,
    "greater_imm": torch.gt,
    "less_imm": torch.lt,
    "equal_imm": torch.eq,
}


# Sums and copies over columns: of rows x, with the count of the value.


def sum_each(x: Tensor, count: int, out: Tensor) -> None:
    """Of every `count` columns that follow each other."""
    torch.sum(x.unflatten(1, (-1, count)), 2, out=out)


def sum_all(x: Tensor, count: int, out: Tensor) -> None:
    """Of `count` equal parts."""
    torch.sum(x.unflatten(1, (count, -1)), 1, out=out)


def repeat_each(x: Tensor, count: int, out: Tensor) -> None:
    """Every column `count` times."""
    out.unflatten(1, (-1, count)).copy_(x.unsqueeze(2))


def repeat_all(x: Tensor, count: int, out: Tensor) -> None:
    """All columns `count` times."""
    out.unflatten(1, (count, -1)).copy_(x.unsqueeze(1))


OVER_COLUMNS = {
    "sum_each": sum_each,
    "sum_all": sum_all,
    "repeat_each": repeat_each,
    "repeat_all": repeat_all,
}

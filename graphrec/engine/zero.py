"""Sums over empty inboxes: zeros that know that they are zero.

Leaves are half of a tree, and all they receive is an empty sum. A cell multiplies it by its weights as it does
every other sum; a `Zero` answers such a product without computing it, so that no cell needs a special case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class NotSweepable(Exception):
    """The cell does something that only the reference loop can follow; the engine then takes that."""


class Zero(Tensor):
    """A tensor of zeros without memory of its own; products with it are zeros again, at no cost."""

    @staticmethod
    def of(shape: tuple[int, ...], like: Tensor) -> Zero:
        """Zeros of this shape, with the dtype and on the device of `like`."""
        return like.new_zeros(()).expand(shape).as_subclass(Zero)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        rule = _RULES.get(func)
        if kwargs.get("inplace"):
            raise NotSweepable("an in-place function would write into the sum of an empty inbox")
        by_name = any(isinstance(value, Tensor) for name, value in kwargs.items() if name != "bias")
        if rule is not None and args and not by_name:
            return rule(func, *args, **kwargs)
        name = getattr(func, "__name__", "")
        if (
            (name.endswith("_") and not name.endswith("__"))
            or "out" in kwargs
            or name in ("__setitem__", "__iadd__")
        ):
            raise NotSweepable(f"{name} would write into the sum of an empty inbox")
        return func(*_plain(args), **_plain(kwargs))


def _plain(value: Any) -> Any:
    if isinstance(value, Zero):
        with torch._C.DisableTorchFunctionSubclass():
            return value.as_subclass(Tensor)
    if isinstance(value, tuple | list):
        return rebuilt(value, [_plain(v) for v in value])
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def rebuilt(like: Any, items: list[Any]) -> Any:
    """A list, tuple or named tuple of other items."""
    return type(like)(*items) if hasattr(like, "_fields") else type(like)(items)


def _stays_zero(func: Any, zero: Any, *args: Any, **kwargs: Any) -> Any:
    """For functions f with f(0) = 0, whatever their other arguments."""
    if not isinstance(zero, Zero):
        return func(zero, *_plain(args), **_plain(kwargs))
    result = func(_plain(zero), *args, **kwargs)
    if isinstance(result, tuple):
        return tuple(part.as_subclass(Zero) for part in result)
    return result.as_subclass(Zero)


def _linear(func: Any, x: Any, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if not isinstance(x, Zero) or weight.dim() != 2:
        return func(_plain(x), _plain(weight), _plain(bias))
    shape = (*x.shape[:-1], weight.shape[0])
    # A copy, because who gets the result of a product may write into it.
    return Zero.of(shape, _plain(x)) if bias is None else bias.expand(shape).clone()


def _product(func: Any, a: Any, b: Any) -> Tensor:
    """a @ b, where the one that is not known to be zero is a matrix."""
    known, other = (a, b) if isinstance(a, Zero) else (b, a)
    if other.dim() != 2 or known.dim() < 2:
        return func(_plain(a), _plain(b))
    shape = (*known.shape[:-1], other.shape[1]) if known is a else (other.shape[0], known.shape[-1])
    if known is b and known.dim() != 2:
        return func(_plain(a), _plain(b))
    return Zero.of(shape, _plain(known))


def _times(func: Any, a: Any, b: Any) -> Tensor:
    known, other = (a, b) if isinstance(a, Zero) else (b, a)
    shape = torch.broadcast_shapes(known.shape, other.shape) if isinstance(other, Tensor) else known.shape
    return Zero.of(tuple(shape), _plain(known))


_KEEP_ZERO = (
    *(
        "reshape",
        "view",
        "flatten",
        "unflatten",
        "transpose",
        "t",
        "permute",
        "movedim",
        "expand",
        "unsqueeze",
    ),
    *("squeeze", "unbind", "chunk", "split", "select", "narrow", "contiguous", "__getitem__"),
    *("neg", "sum", "mean", "tanh", "relu"),
)

_RULES: dict[Any, Callable[..., Any]] = {F.linear: _linear, F.relu: _stays_zero, F.tanh: _stays_zero}
for _name in _KEEP_ZERO:
    for _home in (Tensor, torch):
        if hasattr(_home, _name):
            _RULES[getattr(_home, _name)] = _stays_zero
for _func in (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm):
    _RULES[_func] = _product
for _func in (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__):
    _RULES[_func] = _times

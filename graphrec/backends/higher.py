"""Derivatives of what has a backward pass of its own, to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def gradients_of(
    function: Callable[..., Tensor], grads: Sequence[Tensor], needed: Sequence[bool], *inputs: Any
) -> list[Tensor | None]:
    """The gradients of a function of plain PyTorch in its last inputs, where they are needed, to any order."""
    others, tensors = inputs[: -len(needed)], inputs[-len(needed) :]
    with torch.enable_grad():
        # Each by another name: one may lie behind another, or be the same tensor, and derivatives are partial ones.
        named = [None if tensor is None else tensor.view_as(tensor) for tensor in tensors]
        wanted: Any = [tensor for tensor, is_needed in zip(named, needed, strict=True) if is_needed]
        found = iter(torch.autograd.grad(function(*others, *named), wanted, grads[0], create_graph=True))
    return [next(found) if is_needed else None for is_needed in needed]

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
    tensors = inputs[-len(needed) :]
    with torch.enable_grad():
        wanted = [tensor for tensor, is_needed in zip(tensors, needed, strict=True) if is_needed]
        found = iter(torch.autograd.grad(function(*inputs), wanted, grads[0], create_graph=True))
    return [next(found) if is_needed else None for is_needed in needed]

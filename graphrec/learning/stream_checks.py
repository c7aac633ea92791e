"""Masks of streams."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..structure.checks import check_layout


def checked_mask(name: str, mask: Tensor | None, shape: Any, device: torch.device) -> Tensor:
    """A copy of a mask of this shape; all False where it is None."""
    if mask is None:
        return torch.zeros(shape, dtype=torch.bool, device=device)
    if isinstance(mask, Tensor):
        check_layout(name, mask)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != shape:
        got = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"{name} must be a bool tensor of shape {list(shape)}, got {got}.")
    return mask.to(device, copy=True)

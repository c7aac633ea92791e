"""Gradients on or off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def in_grad_mode(enabled: bool, compute: Callable[..., T], *args: Any) -> T:
    """`compute(*args)`, with gradients on or off."""
    if torch.is_grad_enabled() == enabled:  # (torch's context takes as long as a small operation)
        return compute(*args)
    with torch.set_grad_enabled(enabled):
        return compute(*args)

"""Torch's random numbers on the device of a run: where they stand, and drawn a second time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def random_state(device: torch.device) -> Tensor:
    """Where random numbers stand."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Let them stand there again."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


@contextmanager
def drawn_again(device: torch.device, state: Tensor | None) -> Iterator[None]:
    """In this context the numbers that followed a state are drawn; nothing is drawn by it for later. None: as usual."""
    if state is None:
        yield
        return
    now = random_state(device)
    set_random_state(device, state)
    try:
        yield
    finally:
        set_random_state(device, now)

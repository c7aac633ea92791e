"""Memory that is used again: fresh memory costs the processor more than the sums that are put into it."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from ...structure.outside import outside

# Of blocks that nobody uses at most so many are kept, and so many bytes.
_MOST_BLOCKS, _MOST_BYTES = 4, 1 << 30

# (The collector may free a run, which hands its block back, while the same thread takes one: so it may enter twice.)
_lock = threading.RLock()
_free: list[Tensor] = []


def take(size: int) -> Tensor:
    """A block of so many bytes at least, whose contents are anything."""
    with _lock:
        fitting = [block for block in _free if size <= block.numel() <= 4 * size + (1 << 20)]
        if fitting:
            found = min(fitting, key=len)
            _free[:] = [block for block in _free if block is not found]
            return found
    with outside():  # (a later run, which uses it again, may be in another mode)
        return torch.empty(size, dtype=torch.uint8)


def give(block: Tensor) -> None:
    """Hand a block back, which nobody reads any more."""
    if not 0 < block.numel() <= _MOST_BYTES:
        return
    with _lock:
        _free.append(block)
        while len(_free) > _MOST_BLOCKS or sum(map(len, _free)) > _MOST_BYTES:
            _free.pop(0)

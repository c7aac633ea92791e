"""What a run keeps for its reverse, in a tensor: while the tensor's memory is in use, the run can be found by it."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor


class _Memory(np.ndarray):
    """A byte that a tensor borrows; when no tensor does any more, what was done goes with it."""

    done: Any


_in_use: WeakValueDictionary[int, _Memory] = WeakValueDictionary()


def keep(done: Any) -> Tensor:
    """`[1]` uint8: a tensor that keeps what was done. A copy of it does not; see `kept`."""
    memory = np.zeros(1, np.uint8).view(_Memory)
    memory.done = done
    tensor = torch.from_numpy(memory)
    _in_use[tensor.data_ptr()] = memory
    return tensor


def kept(tensor: Tensor) -> Any:
    """What was done; None: this is no tensor that keeps it (a copy, for instance), and it must be done again."""
    memory = _in_use.get(tensor.data_ptr())
    return None if memory is None else memory.done

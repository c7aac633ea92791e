"""What is done for a while to the inputs of a cell's layers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from ..cell import Cell

# Two changes of one layer's input would add up; threads that share a cell take turns.
_one_at_a_time = threading.RLock()


@contextmanager
def inputs_changed(cell: Cell, layers: tuple[str, ...], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While this lasts, these layers of a cell read what `change` makes of their inputs, in this thread.

    Args:
        cell: the cell.
        layers: the names of the layers in it.
        change: from what a layer is given to what it reads.
    """
    thread = threading.get_ident()

    def changed(layer: object, inputs: tuple[Tensor, ...]) -> tuple[Tensor] | None:
        return (change(inputs[0]),) if threading.get_ident() == thread else None

    with _one_at_a_time:
        hooks = [cell.get_submodule(name).register_forward_pre_hook(changed) for name in layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

"""Temporary changes to the inputs of a cell's layers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from ..cell import Cell

# Two changes of one layer's input would add up, so threads that share a cell wait for each other.
_one_at_a_time = threading.RLock()


@contextmanager
def inputs_changed(cell: Cell, layers: tuple[str, ...], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """In this context, and this thread, these layers of a cell read their inputs as `change` returns them.

    Args:
        cell: the cell.
        layers: the names of the layers in it.
        change: from a layer's input to what it reads instead.
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

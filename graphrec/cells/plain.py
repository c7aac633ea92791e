"""Whether a cell computes what its class says."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module

from ..cell import Cell


def is_plain(cell: Cell, kind: type[Cell]) -> bool:
    """Whether a cell computes what its class says: it is not a subclass, its parts are linear layers, without hooks."""
    if type(cell) is not kind or is_changed(cell):
        return False
    for part in cell.children():
        if type(part) is not nn.Linear or is_changed(part):
            return False
    return not (torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks)


def is_changed(part: nn.Module) -> bool:
    """Whether a call does more than the class says: there are hooks, or methods of the object's own."""
    return bool(
        any(name in part.__dict__ for name in ("forward", "project"))
        or part._compiled_call_impl is not None
        or part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
    )

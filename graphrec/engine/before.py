"""What a cell keeps, and how it is put back before a run begins again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer

_MODULE_INTERNALS = frozenset(vars(nn.Module()))


class Before:
    """What a cell and its parts held before a run that may have to begin again: attributes, lists, buffers."""

    def __init__(self, cell: nn.Module) -> None:
        modules = [module for module in cell.modules() if not isinstance(module, torch.jit.ScriptModule)]
        self._held = [(module, own_attributes(module)) for module in modules]
        self._contents = [
            (value, value.copy())
            for _, attributes in self._held
            for value in attributes.values()
            if isinstance(value, list | dict)
        ]
        self._buffers = [(module._buffers, dict(module._buffers)) for module in modules]
        # Only in training are buffers written into (running means), and large ones may be costly to copy.
        self._values = [
            (buffer, buffer._version, buffer.clone())
            for module in modules
            if module.training
            for buffer in module._buffers.values()
            if buffer is not None
            and not isinstance(buffer, UninitializedBuffer)
            and not buffer.is_inference()
        ]

    def restore(self) -> None:
        """As it was."""
        for module, attributes in self._held:
            for name in own_attributes(module).keys() - attributes.keys():
                del module.__dict__[name]
            module.__dict__.update(attributes)
        for container, content in self._contents:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)
        for home, buffers in self._buffers:
            home.update(buffers)
        with torch.no_grad():
            for buffer, version, value in self._values:
                if buffer._version != version:
                    buffer.copy_(value)


def own_attributes(module: nn.Module) -> dict[str, Any]:
    """What a module keeps beside what every module has."""
    return {name: value for name, value in vars(module).items() if name not in _MODULE_INTERNALS}

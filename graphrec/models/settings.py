"""What a call may depend on beside tensors: a compiled program holds it fixed, and is compiled anew when it is another.

Dynamo guards what it reads. It does not read the equations (they are recorded), so it is told which attributes to look
at: those of all modules of a model, what they contain, and what the user's classes define.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

# Between modules; between a module's path and its attributes; between an attribute and one of the object that it holds.
_MODULES, _NAMES, _WITHIN = "\x1d\x1e\x1f"

# Attributes that all modules have, and no equation reads.
_OF_MODULES = frozenset(vars(nn.Module())) - {"training"}
_LEAVES = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_FUNCTIONS = (FunctionType, BuiltinFunctionType, type)
# (Dynamo of torch 2.6 guards no partial, and no frozenset.)
_GUARDS_ALL = TorchVersion("2.7") <= torch.__version__
_DEEPEST = 4
# Objects of these are not looked into; and their classes, and ours, say nothing that changes.
_OPAQUE = ("builtins", "numpy", "torch", "torch_geometric")


class UnseenSettingError(Exception):
    """An attribute that dynamo cannot be asked to watch."""


def written_settings(model: nn.Module) -> str:
    """The names of all settings, for `look_at_settings`.

    Raises:
        UnseenSettingError: an attribute of another type; the message says which.
    """
    return _MODULES.join(_NAMES.join([path, *_names(part)]) for path, part in model.named_modules())


def look_at_settings(model: nn.Module, settings: str) -> None:
    """Read them all, under dynamo, which then guards them."""
    seen: set[Any] = set()
    for part in settings.split(_MODULES):
        path, *names = part.split(_NAMES)
        module = model.get_submodule(path)
        for name in names:
            value = module
            for step in name.split(_WITHIN):
                value = getattr(value, step)
            _look(value, seen)


def _look(value: Any, seen: set[Any]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            seen.add(key)
            _look(item, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        seen.add(len(value))
        for item in value:
            _look(item, seen)
    elif isinstance(value, partial):
        _look(value.func, seen)
        _look(value.args, seen)
        _look(value.keywords, seen)
    elif not isinstance(value, Tensor):
        seen.add(value)  # (what is looked up in a set must be known)


def _names(module: nn.Module) -> Iterator[str]:
    for name, value in vars(module).items():
        # (PyG's layers have hooks, and an inspector of their methods.)
        if name not in _OF_MODULES and not name.endswith("_hooks") and name != "inspector":
            yield from _paths(module, name, value, 0)
    for of in type(module).__mro__:
        if _library(of) not in (*_OPAQUE, "graphrec"):
            for name, value in vars(of).items():
                if not name.startswith("__") and name not in vars(module) and _is_value(value):
                    yield name


def _paths(module: nn.Module, name: str, value: Any, depth: int) -> Iterator[str]:
    """The setting itself, or those of the object that it is."""
    if _is_readable(value):
        yield name
    elif _library(type(value)) not in _OPAQUE and hasattr(value, "__dict__") and depth < _DEEPEST:
        for inner, part in vars(value).items():
            yield from _paths(module, f"{name}{_WITHIN}{inner}", part, depth + 1)
    else:
        raise UnseenSettingError(
            f"{name.replace(_WITHIN, '.')} of {type(module).__name__} is of type {type(value).__name__}, of whose "
            f"changes a compiled program would not hear"
        )


def _is_readable(value: Any) -> bool:
    """Whether dynamo guards what `_look` reads. (A tensor that is no buffer is refused where it is used.)"""
    if isinstance(value, dict):
        return all(_is_value(key) for key in value) and all(map(_is_readable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_readable, value))
    if isinstance(value, partial):
        return _GUARDS_ALL and all(map(_is_readable, (value.func, value.args, value.keywords)))
    if isinstance(value, set) or (_GUARDS_ALL and isinstance(value, frozenset)):
        return all(map(_is_value, value))
    return _is_value(value) or isinstance(value, (*_FUNCTIONS, Tensor))


def _is_value(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_value, value))
    return type(value) in _LEAVES or isinstance(value, (Enum, torch.dtype, torch.device))


def _library(of: type) -> str:
    return of.__module__.partition(".")[0]

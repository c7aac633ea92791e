"""What a call may depend on beside tensors: a compiled program holds it fixed, and is compiled anew when it is another.

Dynamo guards what it reads. It does not read the equations (they are recorded), so it is told which attributes to look
at: those of all modules of a model, what they contain, and what the user's classes define.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import partial
from logging import Logger
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from ..program.purity import OF_MODULES, OPAQUE, library_of

# Between modules; between a module's path and its attributes; between an attribute and one of the object that it holds.
_MODULES, _NAMES, _WITHIN = "\x1d\x1e\x1f"

_LEAVES = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_COLLECTIONS = (dict, list, tuple, set, frozenset)
# No equation computes with these.
_SILENT = (ModuleType, Logger)
# (Dynamo of torch 2.6 guards no partial function, bound method or frozenset.)
_GUARDS_ALL = TorchVersion("2.7") <= torch.__version__


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
    else:
        seen.add(value)  # (what is looked up in a set must be known)


def _names(module: nn.Module) -> Iterator[str]:
    seen = {id(module)}
    for name, value in vars(module).items():
        # (PyG's layers have hooks, and an inspector of their methods.)
        if name not in OF_MODULES and not name.endswith("_hooks") and name != "inspector":
            yield from _paths(module, name, value, seen)
    yield from sorted(_of_class(type(module)) - vars(module).keys())


def _of_class(of: type) -> set[str]:
    """What a class of the user's defines, methods and properties left out."""
    return {
        name
        for base in of.__mro__
        if library_of(base) not in (*OPAQUE, "graphrec")
        for name, held in vars(base).items()
        if not name.startswith("__") and _is_data(held)
    }


def _paths(module: nn.Module, name: str, value: Any, seen: set[int]) -> Iterator[str]:
    """The setting itself, or those of the object that it is."""
    if _is_readable(value):
        yield name
        if isinstance(value, type):
            yield from (f"{name}{_WITHIN}{inner}" for inner in sorted(_of_class(value)))
    elif _GUARDS_ALL and isinstance(value, MethodType) and isinstance(value.__func__, FunctionType):
        yield f"{name}{_WITHIN}__func__"
        yield from _paths(module, f"{name}{_WITHIN}__self__", value.__self__, seen)
    elif isinstance(value, _SILENT) or id(value) in seen:
        return
    elif _is_object(value):
        seen.add(id(value))
        yield f"{name}{_WITHIN}__class__"
        for inner in sorted(_of_class(type(value)) - vars(value).keys()):
            yield f"{name}{_WITHIN}{inner}"
        for inner, part in vars(value).items():
            yield from _paths(module, f"{name}{_WITHIN}{inner}", part, seen)
    else:
        what = f"{name.replace(_WITHIN, '.')} of {type(module).__name__}"
        if any(isinstance(held, Tensor) for held in (value if isinstance(value, list | tuple) else [value])):
            raise UnseenSettingError(
                f"{what} is neither a parameter nor a buffer: register_buffer makes it one"
            )
        raise UnseenSettingError(
            f"{what} is of type {type(value).__name__}, of whose changes a compiled program would not hear"
        )


def _is_object(value: Any) -> bool:
    """Whether all that it holds are attributes that can be listed."""
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, (nn.Module, *_COLLECTIONS, *_LEAVES))
        and all(library_of(of) not in OPAQUE or of is object for of in type(value).__mro__)
        and not any(getattr(of, "__slots__", ()) for of in type(value).__mro__)
    )


def _is_readable(value: Any) -> bool:
    """Whether dynamo guards what `_look` reads."""
    if isinstance(value, partial):
        return _GUARDS_ALL and all(map(_is_readable, (value.func, value.args, value.keywords)))
    if isinstance(value, _COLLECTIONS):
        is_known = library_of(type(value)) in OPAQUE or hasattr(value, "_fields")
        if not is_known or (isinstance(value, frozenset) and not _GUARDS_ALL):
            return False
        keys, items = (value, value.values()) if isinstance(value, dict) else ((), value)
        return all(map(_is_data, keys)) and all(map(_is_readable, items))
    return _is_data(value) or _is_function(value)


def _is_function(value: Any) -> bool:
    if isinstance(value, BuiltinFunctionType):  # (bound ones, as [].append, cannot be looked up)
        return value.__self__ is None or isinstance(value.__self__, type | ModuleType)
    return isinstance(value, FunctionType | type)


def _is_data(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_data, value)) and all(map(_is_data, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_data, value))
    return type(value) in _LEAVES or isinstance(value, (Enum, torch.dtype, torch.device))

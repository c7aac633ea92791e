"""Whether a call of a cell leaves anything behind: what a step keeps or writes, one recorded call cannot stand for."""

from __future__ import annotations

import pickle
import random
from enum import Enum
from itertools import chain
from types import BuiltinFunctionType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch import Tensor, nn

from ..structure.outside import untraced
from .symbols import NotRecordable

# Attributes of all modules, which no step of a cell changes.
OF_MODULES = frozenset(vars(nn.Module())) - {"training"}
# What most attributes are, told at once: to ask whether a value is a torch.Generator takes Python code of torch's.
_WITHOUT_CONTENT = frozenset({int, float, bool, str, tuple, type(None), FunctionType, BuiltinFunctionType})
# Collections are looked into so far, those of many things no further.
_DEEPEST, _MANY = 4, 1000
# Objects of these libraries hold nothing of the user's.
OPAQUE = frozenset(
    (
        "builtins",
        "collections",
        "functools",
        "logging",
        "numpy",
        "pathlib",
        "torch",
        "torch_geometric",
        "weakref",
    )
)
# Buffers of more numbers are copied until a call of their module has left nothing behind.
_LARGE = 1 << 16

# Why a cell was refused, by mode (training or not), each time. One that fills a cache in its first call is refused
# once; the loop then fills it.
_refused: WeakKeyDictionary[nn.Module, dict[bool, list[str]]] = WeakKeyDictionary()
_MOST_TRIALS = 2
# The modes in which a cell's first call has left nothing behind.
_pure: WeakKeyDictionary[nn.Module, set[bool]] = WeakKeyDictionary()
_seen: WeakSet[nn.Module] = WeakSet()


def check_pure(cell: nn.Module) -> None:
    """Refuse a cell that has left something behind before."""
    reasons = _refused.get(cell, {}).get(cell.training, [])
    if len(reasons) >= _MOST_TRIALS:
        raise NotRecordable(reasons[0])


class Traces:
    """What a cell consists of before it is called, to find out what the call has changed, and to put it back.

    Attributes:
        is_first: whether it is the cell's first call in its mode. (Asking for the states of Python's and numpy's random
            numbers takes longer than recording a small cell: it is done once.)
    """

    def __init__(self, cell: nn.Module, modules: list[nn.Module]) -> None:
        self._cell, self._modules = cell, modules
        with untraced():
            self._random = torch.get_rng_state()
        self.is_first: bool = cell.training not in _pure.get(cell, ())
        self._others = _other_random() if self.is_first else None
        self._attributes = [(module, _attributes(module)) for module in modules]
        self._held = _held(self._attributes)
        # (Those of what torch.jit has compiled are no dictionaries.)
        parts = (parts for module in modules for parts in _parts(module) if isinstance(parts, dict))
        self._parts = [(names, dict(names)) for names in parts]
        self._copies = [
            (buffer, buffer.clone())
            for module in modules
            for buffer in module._buffers.values()
            if buffer is not None and (buffer.numel() <= _LARGE or module not in _seen)
        ]
        self._versions = _versions(modules)

    def check(self, is_constant: bool) -> None:
        """Refuse a call that has left traces, which are removed, or is not constant: the next one would differ."""
        reason = self.remove()
        if reason is None and not is_constant:
            reason = f"{type(self._cell).__name__} computes something else in each call"
        if reason is not None:
            _refused.setdefault(self._cell, {}).setdefault(self._cell.training, []).append(reason)
            raise NotRecordable(reason)
        _pure.setdefault(self._cell, set()).add(self._cell.training)
        _seen.update(self._modules)

    def remove(self) -> str | None:
        """Put back what was there before; what has been changed, in words."""
        reason = None
        with untraced():
            draws = not torch.equal(self._random, torch.get_rng_state())
            if draws:
                torch.set_rng_state(self._random)
        if draws:
            reason = "the cell draws random numbers"
        if self._others is not None:
            python, numpy = self._others
            if python != random.getstate():
                random.setstate(python)
                reason = "the cell draws Python's random numbers"
            if not all(map(np.array_equal, numpy, np.random.get_state())):  # noqa: NPY002
                np.random.set_state(numpy)  # noqa: NPY002
                reason = "the cell draws numpy's random numbers"
        if self._versions != _versions(self._modules):
            with torch.no_grad():
                for buffer, copy in self._copies:
                    buffer.copy_(copy)
            reason = "the cell writes into tensors of its own"
        for parts, before in self._parts:
            if not _are_same(parts, before):
                parts.clear()
                parts.update(before)
                reason = "the cell makes or replaces weights, buffers or parts of its own"
        for module, before in self._attributes:
            if _differ(before, _attributes(module)):
                for name in set(vars(module)) - OF_MODULES - set(before):
                    del module.__dict__[name]
                module.__dict__.update(before)
                reason = f"{type(module).__name__} keeps something from step to step"
        for module, value, content in self._held:
            if _has_changed(value, content):
                _refill(value, content)
                reason = f"{type(module).__name__} keeps something from step to step"
        return reason


class Watched:
    """What a cell consists of, to find out later whether it has been changed, by its steps or by others.

    Args:
        cell: the cell.
    """

    def __init__(self, cell: nn.Module) -> None:
        self._cell, self._modules = cell, list(cell.modules())
        self._others = _other_random()
        self._attributes = [(module, _attributes(module)) for module in self._modules]
        self._held = _held(self._attributes)
        self._versions = _versions(self._modules)

    def change(self) -> str | None:
        """In words, what steps have changed (torch's random numbers left out); None: nothing."""
        if self._other_tensors():
            return f"{type(self._cell).__name__} writes into tensors of its own"
        python, numpy = self._others
        same = map(np.array_equal, numpy, np.random.get_state())  # noqa: NPY002
        if python != random.getstate() or not all(same):
            return f"{type(self._cell).__name__} draws Python's or numpy's random numbers"
        module = self._other_attributes()
        return None if module is None else f"{type(module).__name__} keeps something from step to step"

    def change_by_others(self) -> str | None:
        """In words, what has been changed since by whoever uses the cell; None: nothing."""
        if self._other_tensors():
            return f"weights or buffers of {type(self._cell).__name__} have been written into or replaced"
        module = self._other_attributes()
        return None if module is None else f"attributes of {type(module).__name__} have been changed"

    def _other_tensors(self) -> bool:
        return self._versions != _versions(self._modules)

    def _other_attributes(self) -> nn.Module | None:
        """The first module whose attributes are others than before."""
        others = (module for module, before in self._attributes if _differ(before, _attributes(module)))
        refilled = (module for module, value, content in self._held if _has_changed(value, content))
        return next(chain(others, refilled), None)


def _other_random() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state()  # noqa: NPY002


def _parts(module: nn.Module) -> tuple[dict[str, Any], ...]:
    return module._parameters, module._buffers, module._modules


def _are_same(parts: dict[str, Any], before: dict[str, Any]) -> bool:
    return parts.keys() == before.keys() and all(part is before[name] for name, part in parts.items())


def _versions(modules: list[nn.Module]) -> list[Any]:
    return [
        (id(tensor), tensor._version)
        for module in modules
        for tensors in _parts(module)[:2]
        for tensor in tensors.values()
        if tensor is not None
    ]


Attributes = list[tuple[nn.Module, dict[str, Any]]]
Held = list[tuple[nn.Module, Any, Any]]


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in OF_MODULES}


def _held(attributes: Attributes) -> Held:
    """Each collection, object and generator of random numbers in attributes, or in another, and what is in it."""
    found: Held = []
    seen: set[int] = set()

    def hold(module: nn.Module, value: Any, depth: int) -> None:
        if type(value) in _WITHOUT_CONTENT or depth == _DEEPEST or id(value) in seen:
            return
        if (content := _content(value)) is not None:
            seen.add(id(value))
            found.append((module, value, content))
            for item in _items(content) if len(content) <= _MANY else ():
                hold(module, item, depth + 1)

    for module, values in attributes:
        for value in values.values():
            hold(module, value, 0)
    return found


def _content(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return [value.get_state().numpy().tobytes()]
    if isinstance(value, np.random.Generator):
        return [pickle.dumps(value.bit_generator.state)]
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list | set):
        return list(value)
    return dict(vars(value)) if _is_object(value) else None


def _is_object(value: Any) -> bool:
    """Whether it is a plain object of the user's, whose attributes may be changed. (Loggers hold all others.)"""
    return (
        hasattr(value, "__dict__")
        and library_of(type(value)) not in {*OPAQUE, "graphrec"}
        and not isinstance(value, type | Enum | Tensor | nn.Module)
    )


def library_of(of: type) -> str:
    """The package that a class comes from."""
    return of.__module__.partition(".")[0]


def _differ(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return before.keys() != after.keys() or not all(
        _same(value, after[name]) for name, value in before.items()
    )


def _has_changed(value: Any, content: Any) -> bool:
    now = _content(value)
    if isinstance(content, dict) and content.keys() != now.keys():
        return True
    return len(content) != len(now) or not all(map(_same, _items(content), _items(now)))


def _items(content: Any) -> list[Any]:
    return list(content.values()) if isinstance(content, dict) else content


def _same(one: Any, other: Any) -> bool:
    return one is other or (
        not isinstance(one, Tensor) and type(one) in (int, float, str, bool, bytes) and one == other
    )


def _refill(value: Any, content: Any) -> None:
    if isinstance(value, torch.Generator):
        value.set_state(torch.frombuffer(bytearray(content[0]), dtype=torch.uint8))
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = pickle.loads(content[0])
    elif isinstance(value, dict):
        value.clear()
        value.update(content)
    elif isinstance(value, list):
        value[:] = content
    elif isinstance(value, set):
        value.clear()
        value.update(content)
    else:
        vars(value).clear()
        vars(value).update(content)

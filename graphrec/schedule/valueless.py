"""Schedules for inputs without values, on the meta device or fake: only shapes, types and devices are run."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..structure import Structure
from ..structure.outside import has_values, seen_by
from .plan import Cache, Schedule


def schedule_seen_by(x: Tensor, plan: Schedule) -> Schedule:
    """The schedule with indices of the same kind of tensor as x."""
    if has_values(x):
        return plan
    other = _seen_by(x, plan)
    object.__setattr__(other, "cache", _SeenCache(x, plan))
    return other


class _SeenCache(Cache):
    """The cache of a schedule without values, filled from the schedule that has them."""

    def __init__(self, x: Tensor, plan: Schedule) -> None:
        super().__init__()
        self._x, self._plan = x, plan

    def derive(self, name: str, compute: Callable[[Schedule], Any], plan: Schedule) -> Any:
        return _seen_by(self._x, self._plan.cache.look_up(name, compute, self._plan))


def _seen_by(x: Tensor, value: Any) -> Any:
    if isinstance(value, Tensor):
        return seen_by(x, value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_seen_by(x, part) for part in value))
    if dataclasses.is_dataclass(value):
        other: Any = copy.copy(value.alone() if isinstance(value, Structure) else value)
        names = [field.name for field in dataclasses.fields(value) if field.name != "cache"]
        other.__dict__.update({name: _seen_by(x, getattr(value, name)) for name in names})
        return other
    return value

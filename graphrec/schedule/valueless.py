"""A schedule for inputs without values: on the meta device, or fake, where shapes, types and devices alone are run."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from ..structure import Structure
from ..structure.outside import has_values, seen_by
from .plan import Schedule
from .views import Paths


def schedule_seen_by(x: Tensor, plan: Schedule) -> Schedule:
    """The schedule with its indices as x is; what must be read off their values is read off here."""
    if has_values(x):
        return plan
    ready: dict[str, Any] = {name: getattr(plan, name) for name in ("ends", "degree", "is_loop")}
    if plan.mode == "async":
        ready["routes"] = plan.routes
    if plan.structure.kind is not None:
        ready["parts"] = plan.parts
    other = _seen_by(x, plan)
    other.__dict__.update({name: _seen_by(x, value) for name, value in ready.items()})
    return other


def _seen_by(x: Tensor, value: Any) -> Any:
    if isinstance(value, Tensor):
        return seen_by(x, value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_seen_by(x, part) for part in value))
    if isinstance(value, Paths):
        source, target, first = (seen_by(x, part) for part in (value.source, value.target, value.first))
        return Paths(source, target, first, value.num_sources)
    if isinstance(value, Schedule | Structure):
        value = copy.copy(value.alone() if isinstance(value, Structure) else value)
        value.__dict__.update({name: _seen_by(x, part) for name, part in vars(value).items()})
    return value

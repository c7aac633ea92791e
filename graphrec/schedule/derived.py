"""What is derived from a schedule: functions of it, each computed once and cached with it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .plan import Schedule

T = TypeVar("T")


def derived(compute: Callable[[Schedule], T]) -> Callable[[Schedule], T]:
    """A function of a schedule alone that is computed when first called.

    Any part of the library may define such functions: the schedule knows none of them.
    """

    @functools.wraps(compute)
    def look_up(plan: Schedule) -> Any:
        return plan.cache.look_up(compute, plan)

    return look_up

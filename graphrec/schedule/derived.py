"""What is derived from a schedule: functions of it, each computed once and cached with it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .plan import Schedule

T = TypeVar("T")


def derived(compute: Callable[[Schedule], T]) -> Callable[[Schedule], T]:
    """A function of a schedule alone that is computed when first called.

    Any part of the library may define such functions: the schedule knows none of them. Results are kept by the
    function's name.

    Raises:
        ValueError: a function without a name of its own: a lambda, or one within another function.
    """
    if "<" in compute.__qualname__:
        raise ValueError(
            f"what is derived from a schedule is kept by the name of the function, which must be its own, got "
            f"{compute.__qualname__}: define it at the top of its module."
        )

    name = f"{compute.__module__}.{compute.__qualname__}"

    @functools.wraps(compute)
    def look_up(plan: Schedule) -> Any:
        return plan.cache.look_up(name, compute, plan)

    return look_up

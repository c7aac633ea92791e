"""What torch's functions do to columns, by torch's names for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OPERATIONS: dict[str, Callable[..., Any]] = {}


def operation(*names: str) -> Callable[[Any], Any]:
    """Register a function under torch's names for it."""

    def register(function: Any) -> Any:
        for name in names:
            OPERATIONS[name] = function
        return function

    return register

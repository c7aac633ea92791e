"""Values as texts, including whole numbers of more digits than Python writes in base 10."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any


def written(value: Any, write: Callable[[Any], str] = repr) -> str:
    """A value as Python writes it; whole numbers that are too long for that are written in base 16."""
    try:
        return write(value)
    except ValueError:  # beyond sys.get_int_max_str_digits
        return hex(value) if isinstance(value, int) else f"a {type(value).__name__} of very long numbers"


def shown(value: Any) -> str:
    """A value for an error text, cut if long."""
    text = written(value, reprlib.repr)
    return text if len(text) <= 80 else f"{text[:60]} …"


def told(error: Exception) -> str:
    """What an error of another library says, cut if long: torch repeats names from a damaged file."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:280]} …"

"""What the fuzzed readers share: a reader is called, and either gives something or refuses as it says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST_SAID = 2000  # characters of an error


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def accepted(
    read: Any, *given: Any, errors: tuple[type[Exception], ...] = (ValueError,), **options: Any
) -> Any:
    """What a reader gives, or None where it refuses as it says."""
    try:
        return read(*given, **options)
    except errors as error:
        said = len(str(error))
    assert said <= MOST_SAID, f"an error of {said} characters"
    return None


def read_file(
    read: Callable[[Path], Any],
    data: bytes,
    ending: str,
    errors: tuple[type[Exception], ...] = (ValueError,),
) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ending}"
        path.write_bytes(data)
        return accepted(read, path, errors=errors)

"""Real data only where GRAPHREC_DATA names it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# (Read here: tests of examples hide it from all that follow.)
REAL_DATA = os.environ.get("GRAPHREC_DATA")


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The path of a real data file; skips where it is not there."""

    def find(file: str) -> Path:
        if REAL_DATA is None or not (Path(REAL_DATA) / file).is_file():
            pytest.skip(f"needs {file} in the folder that GRAPHREC_DATA names")
        return Path(REAL_DATA) / file

    return find

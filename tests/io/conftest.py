"""Real data only where GRAPHREC_DATA names it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The path of a real data file; skips where it is not there."""

    def find(file: str) -> Path:
        folder = os.environ.get("GRAPHREC_DATA")
        if folder is None or not (Path(folder) / file).is_file():
            pytest.skip(f"needs {file} in the folder that GRAPHREC_DATA names")
        return Path(folder) / file

    return find

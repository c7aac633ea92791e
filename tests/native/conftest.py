"""Every test that asks for `library` runs on each instruction set."""

import pytest

from graphrec import clib
from graphrec.operators import edges
from tests.native.libraries import ISAS, loaded


@pytest.fixture(scope="session", params=ISAS)
def library(request):
    if clib.library() is None:
        pytest.skip(f"there is no native library: {clib.why_not()}")
    found = loaded(request.param)
    if found is None:
        pytest.skip(f"this processor has no {request.param}")
    return found


@pytest.fixture
def edges_library(library, monkeypatch):
    """The same, as what sums along edges and linear recurrences are computed by."""
    edges._functions.cache_clear()
    monkeypatch.setattr(edges, "library", lambda: library)
    yield library
    edges._functions.cache_clear()

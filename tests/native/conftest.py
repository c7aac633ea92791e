"""Every test that asks for `library` runs on each instruction set."""

import pytest

from tests.native.libraries import ISAS, loaded


@pytest.fixture(scope="session", params=ISAS)
def library(request):
    found = loaded(request.param)
    if found is None:
        pytest.skip(f"this processor has no {request.param}")
    return found

"""What several tests of programs watch."""

import pytest

from graphrec.backends.programs.native import NativeExecution


@pytest.fixture
def executions(monkeypatch):
    """The native executions of the test, in order."""
    found = []
    begin = NativeExecution.__init__

    def beginning(self, *args):
        begin(self, *args)
        found.append(self)

    monkeypatch.setattr(NativeExecution, "__init__", beginning)
    return found

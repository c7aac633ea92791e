"""The examples keep nothing of what they do in tests, and say how their training went."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """A user cache of their own, for all of them together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("GRAPHREC_DATA", raising=False)
        yield


@pytest.fixture
def example(request, monkeypatch) -> ModuleType:
    """The example that a file of tests is named after."""
    for folder in (EXAMPLES, EXAMPLES / "computation"):
        monkeypatch.syspath_prepend(folder)
    return importlib.import_module(request.path.stem.removeprefix("test_"))


@pytest.fixture
def run_quick() -> Callable[..., str]:
    """Runs an example with --quick; returns its results, and sees to it that it has learnt something."""

    def run(name: str, folder: Path, *flags: str) -> str:
        command = [sys.executable, EXAMPLES / name, "--quick", "--out", folder, *flags]
        done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent, env=os.environ)
        assert done.returncode == 0, done.stderr
        for model in re.split(r"samples\.\n", done.stdout)[1:]:
            losses = [float(loss) for loss in re.findall(r"train loss ([\d.]+)", model)]
            assert len(losses) > 1
            assert losses[-1] < 0.99 * losses[0], "the loss on the training set does not fall"
        return (folder / "results.txt").read_text()

    return run

"""The wheel that is built from the sdist works in an empty environment."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import graphrec as gr

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("make") and shutil.which("c++")), reason="needs make and a C++ compiler"
)
def test_the_wheel_is_installed_into_an_empty_environment():
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(["make", "wheel-check"], cwd=ROOT, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"graphrec {gr.__version__} in " in done.stdout


def test_there_is_one_version():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == gr.__version__

"""Every Python block in the README and in docs/ runs; the blocks of one page run in order, in one namespace.

A block that begins with a comment `# name.py` is a file of that name, which later blocks import. A line
`python name.py` in an `sh` block runs it, in a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "graphrec" / ".agents" / "skills"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(SKILL.rglob("*.md")),
]
PRINTED = re.compile(
    r"(?<=^```\n\n```\n).*?(?=^```)", re.DOTALL | re.MULTILINE
)  # a bare block behind a code block
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.py)\n")
# Programs that a page runs, and Python blocks, in their order.
RUNS = re.compile(BLOCK.pattern + r"|^python (\w+\.py)$", re.DOTALL | re.MULTILINE)


# Lightning asks for more workers than a test needs.
@pytest.mark.filterwarnings(r"ignore:The '\w+' does not have many workers")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # what a block writes goes there
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)  # files that are blocks are imported from there
    torch.manual_seed(0)
    text = page.read_text()
    assert text.count("```python") == len(BLOCK.findall(text)), "a block is opened and never closed"
    names: dict[str, object] = {"__name__": "__main__"}
    files: set[str] = set()
    for block in RUNS.finditer(text):
        code, program = block.groups()
        if program in files:
            done = subprocess.run(
                [sys.executable, program], env=_environment(), capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        elif code is not None and (named := FILE.match(code)):
            files.add(named[1])
            monkeypatch.delitem(sys.modules, named[1].removesuffix(".py"), raising=False)
            Path(named[1]).write_text(code)
        elif code is not None:
            line = text.count("\n", 0, block.start()) + 2
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
    for name in files:
        sys.modules.pop(name.removesuffix(".py"), None)
    printed = capsys.readouterr().out
    for shown in PRINTED.findall(text):
        assert shown in printed, f"{page.name} shows what is not printed:\n{shown}"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def test_the_readme_shows_what_is_printed():
    assert "Schedule(async" in PRINTED.findall(PAGES[0].read_text())[0]


def test_pages_link_to_what_is_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", BLOCK.sub("", page.read_text())):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"

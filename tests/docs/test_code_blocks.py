"""Every Python block in the README and in docs/ runs; the blocks of one page run in order, in one namespace."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # what a block writes goes there
    torch.manual_seed(0)
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    assert text.count("```python") == len(blocks), "a block is opened and never closed"
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        line = text.count("\n", 0, block.start()) + 2
        code = compile("\n" * (line - 1) + block.group(1), str(page), "exec")
        exec(code, names)
    printed = capsys.readouterr().out
    for shown in PRINTED.findall(text):
        assert shown in printed, f"{page.name} shows what is not printed:\n{shown}"


def test_the_readme_shows_what_is_printed():
    assert "Schedule(async" in PRINTED.findall(PAGES[0].read_text())[0]


def test_pages_link_to_what_is_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"

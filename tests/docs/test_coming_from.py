"""The page for those who come from other libraries: all of its blocks run, DGL's and torchrecurrent's among them.

`test_code_blocks.py` runs what needs torch and PyG alone; the extra `bench` installs the others.
"""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "coming_from.md"


@pytest.mark.filterwarnings("ignore")  # theirs
def test_blocks_of_peers_agree_with_ours(monkeypatch):
    monkeypatch.setenv("DGLBACKEND", "pytorch")
    pytest.importorskip("dgl", exc_type=ImportError)
    pytest.importorskip("torchrecurrent")
    torch.manual_seed(0)
    names: dict[str, object] = {"__name__": "__main__"}
    blocks = re.findall(r"^```(python|py)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert [kind for kind, _ in blocks].count("py") == 4
    for _, block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


def test_every_pair_compares_its_numbers():
    sections = PAGE.read_text().split("\n## ")[1:]
    assert all("assert_close(" in section for section in sections)

"""The skill for assistants that the package holds: its form, its links, and that the errors which it names are raised.

Its code blocks run in `test_code_blocks.py`.
"""

from __future__ import annotations

import re
import tomllib
import warnings
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
import yaml

import graphrec as gr

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "graphrec" / ".agents" / "skills" / "graphrec"
X, CHAIN = torch.randn(5, 3), gr.chain(5)


class Widthless(gr.Cell):
    State = gr.SRNCell.State

    def forward(self, x, inbox, own):
        return self.State(x)


class Mine(gr.GRUCell):
    def forward(self, x, inbox, own):
        return self.State(super().forward(x, inbox, own).h * (1 if x.sum() > 0 else 2))


# What one does, by what the error then says.
MISTAKES = {
    "is a cell, one step of a run": lambda: gr.GRUCell(3, 4)(X, CHAIN),
    "runs over rows [N, D] and a structure": lambda: gr.GRU(3, 4)(torch.randn(2, 5, 3)),
    "x must have one row per node": lambda: gr.GRU(3, 4)(torch.randn(2, 5, 3), gr.chains([5, 5])),
    "there is a cycle": lambda: gr.TreeLSTM(3, 4)(X, gr.dag([[0, 1, 2], [1, 2, 0]], 5)),
    "the cell has 2 slots, but the structure fills slot 2": lambda: gr.RecNN(3, 4)(
        X, gr.tree(parents=[3, 3, 3, 4, -1])
    ),
    "the cell has 1 slot": lambda: gr.GRU(3, 4)(X, gr.dag([[0, 1], [2, 2]], 5)),
    "x is torch.float64, but the cell's parameters are torch.float32": lambda: gr.LSTM(3, 4)(
        X.double(), CHAIN
    ),
    "the cell has weights for 2 relations, but the structure has none": lambda: gr.Recursive(
        gr.GGNNCell(3, 4, relations=2), mode="sync", rounds=2
    )(X, gr.dag([[0], [1]], 5)),
    "does not say how wide its state is": lambda: gr.Recursive(Widthless(3))(X, CHAIN),
    "takes a list of structures": lambda: gr.batch(CHAIN),  # type: ignore[arg-type]
    "is a subclass of": lambda: gr.Recursive(Mine(3, 4))(X, CHAIN),
}


def test_its_head_says_what_it_is_for():
    head = yaml.safe_load((SKILL / "SKILL.md").read_text().split("---\n")[1])
    assert head["name"] == SKILL.name
    assert set(head) == {"name", "description"}
    assert "Use when" in head["description"]
    assert len(head["description"]) <= 1024


def test_it_is_short_enough_to_be_read_whole():
    assert all(len(path.read_text().splitlines()) < 150 for path in SKILL.rglob("*.md"))


def test_its_links_lead_to_its_files():
    links = {
        (path.parent / link).resolve()
        for path in SKILL.rglob("*.md")
        for link in re.findall(r"\]\(([^)]+)\)", path.read_text())
    }
    assert links == set((SKILL / "references").glob("*.md"))


def test_a_wheel_has_all_of_it():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "graphrec"
    ]
    files = [str(path.relative_to(ROOT / "graphrec")) for path in SKILL.rglob("*") if path.is_file()]
    assert files
    assert all(any(fnmatch(file, pattern) for pattern in patterns) for file in files)


def test_names_in_it_exist():
    for path in SKILL.rglob("*.md"):
        for name in re.findall(r"\bgr\.((?:[a-z]\w*\.)?[A-Za-z]\w*)", path.read_text()):
            value = gr
            for part in name.split("."):
                if part != "NAME":
                    assert hasattr(value, part), f"{path.name} names gr.{name}, which is not there"
                    value = getattr(value, part)


@pytest.mark.parametrize("message", MISTAKES)
def test_errors_that_it_names_are_raised(message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            (ValueError, TypeError, AttributeError, gr.SlowPathWarning), match=re.escape(message)
        ):
            MISTAKES[message]()


def test_every_error_that_it_names_is_tested():
    rows = re.findall(r"^\| (`[^|]+) \|", (SKILL / "references" / "errors.md").read_text(), re.M)
    assert [message for row in rows for message in re.findall(r"`([^`]+)`", row)] == list(MISTAKES)

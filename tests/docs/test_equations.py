"""The page from equation to class: every cell is there, with its docstring's equations and with tests that use it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import graphrec as gr
from tests import zoo

PAGE = Path(__file__).parents[2] / "docs" / "equations.md"
# Of each system: its title, its text, and the classes in the line behind its equations.
SYSTEMS = [
    (title, text, re.findall(r"`(\w+)`", re.search(r"^`\w+`.* · ", text, re.M)[0]))  # type: ignore[index]
    for title, text in re.findall(r"^### (.+)\n((?:(?!##).*\n)*)", PAGE.read_text(), re.M)
]


def is_cell(name: str) -> bool:
    value = getattr(gr, name)
    return inspect.isclass(value) and issubclass(value, gr.Cell) and value is not gr.Cell


def test_every_cell_is_on_the_page():
    named = {name for _, _, classes in SYSTEMS for name in classes} | set(
        re.findall(r"`(\w+)`", PAGE.read_text())
    )
    assert [name for name in gr.__all__ if is_cell(name) and name not in named] == []


@pytest.mark.parametrize(("title", "text", "classes"), SYSTEMS, ids=[title for title, _, _ in SYSTEMS])
class TestSystems:
    def test_its_classes_are_there(self, title, text, classes):
        assert classes
        assert set(classes) <= set(gr.__all__)

    def test_its_equations_are_those_of_the_docstring(self, title, text, classes):
        docstrings = "\n".join(inspect.getdoc(getattr(gr, name)) or "" for name in classes)
        stated = {line.strip() for line in docstrings.splitlines()}
        block = re.search(r"^```text\n(.+?)^```", text, re.M | re.S)
        assert not block or {line.strip() for line in block[1].splitlines()} <= stated

    def test_its_tests_use_it(self, title, text, classes):
        files = re.findall(r"\]\((\.\./tests/[^)]+)\)", text)
        assert files
        examples = re.findall(r"\]\((\.\./examples/[^)]+)\)", text)  # what tests of examples run
        of_the_zoo = {type(case.make(2, 2)).__name__ for case in zoo.ALL_CELLS}
        for file in files:
            read = [(PAGE.parent / path).read_text() for path in (file, *examples)]
            used = set(re.findall(r"\w+", "\n".join(read)))
            if used & {"CELLS", "ALL_CELLS"}:
                used |= of_the_zoo
            assert used & set(classes), f"{file} uses none of {', '.join(classes)}"

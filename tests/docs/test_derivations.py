"""docs/derivations.md: every formula with a number is checked by a test that names it."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "derivations.md"


def named(text: str) -> set[tuple[int, int]]:
    """The formulas that a text names: (2.3), (2.2, 2.3), (5.2) to (5.5)."""
    found = {(int(a), int(b)) for a, b in re.findall(r"(?<=[( ])(\d)\.(\d+)(?=[),])", text)}
    for chapter, first, other, last in re.findall(r"\((\d)\.(\d+)\) to \((\d)\.(\d+)\)", text):
        assert chapter == other
        found |= {(int(chapter), n) for n in range(int(first), int(last) + 1)}
    return found


def first_lines(file: Path) -> str:
    tests = (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))
    return "\n".join(ast.get_docstring(test) or "" for test in tests if test.name.startswith("test_"))


def test_every_formula_is_checked():
    numbered = re.findall(r"\\q?quad \((\d)\.(\d+)\)", PAGE.read_text())
    in_words = re.findall(r"\((\d)\.(\d+)\)[.:| ]", PAGE.read_text())
    formulas = {(int(a), int(b)) for a, b in numbered + in_words}
    checked = set().union(*(named(first_lines(file)) for file in HERE.glob("test_derivations_*.py")))
    assert formulas == checked
    for chapter in range(1, 8):
        numbers = sorted(n for c, n in formulas if c == chapter)
        assert numbers == list(range(1, len(numbers) + 1))

"""Propositional formulas: truth tables, and the relations of drawn and published pairs, by Python's own reading."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from data.propositions import draw_pairs, relation, truth_table

WORLDS = range(64)
VARIABLES = {name: sum(1 << w for w in WORLDS if w >> i & 1) for i, name in enumerate("abcdef")}


def worlds(formula: str) -> set[int]:
    """The worlds in which a formula is true, by Python's own reading of it."""
    for word, sign in (("and", "&"), ("or", "|")):
        formula = formula.replace(f"( {word} ", f"{sign} ( ")
    table = eval(formula.replace("not", "~"), VARIABLES.copy())
    return {w for w in WORLDS if table >> w & 1}


def oracle(left: set[int], right: set[int]) -> str:
    """The relation by its definition in the paper."""
    apart, exhaustive = not left & right, left | right == set(WORLDS)
    if left == right:
        return "="
    if left < right and not exhaustive:
        return "<"
    if left > right and not exhaustive:
        return ">"
    if apart:
        return "^" if exhaustive else "|"
    return "v" if exhaustive else "#"


def check_relations(lines: Iterable[str]) -> None:
    for line in lines:
        label, left, right = line.rstrip("\n").split("\t")
        assert oracle(worlds(left), worlds(right)) == label, line


@pytest.mark.parametrize("size", range(5))
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_relations_of_the_drawn_pairs_are_right(samples: Path, split: str, size: int) -> None:
    check_relations((samples / "logic" / f"{split}{size}").read_text().splitlines())


@pytest.mark.parametrize(
    ("left", "right", "label"),
    [
        ("a", "( not ( not a ) )", "="),
        ("( a ( and b ) )", "a", "<"),
        ("( a ( or b ) )", "b", ">"),
        ("a", "( not a )", "^"),
        ("( a ( and b ) )", "( not a )", "|"),
        ("( a ( or b ) )", "( not a )", "v"),
        ("a", "b", "#"),
    ],
)
def test_each_relation_has_its_meaning(left: str, right: str, label: str) -> None:
    assert relation(truth_table(left), truth_table(right)) == label
    assert oracle(worlds(left), worlds(right)) == label


@pytest.mark.parametrize(
    "text", ["( a b )", "( not )", "( and a )", "( a ( not b ) )", "not", "g", "( a ( and b ) c )"]
)
def test_what_is_no_formula_has_no_truth_table(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a formula, got"):
        truth_table(text)


def test_the_published_relations_are_right(real_data: Callable[[str], Path]) -> None:
    folder = real_data("logic/train4") / "logic"
    for path in sorted(folder.iterdir()):
        lines = path.read_text().splitlines()[:300]
        check_relations(lines)
        size = int(path.name.removeprefix("train").removeprefix("test"))
        counts = [
            max(sum(part.count(w) for w in ("not", "and", "or")) for part in line.split("\t"))
            for line in lines
        ]
        assert set(counts) == {size}, "the number in a file's name counts operators"


@pytest.mark.slow
def test_all_published_relations_are_right(real_data: Callable[[str], Path]) -> None:
    folder = real_data("logic/train4") / "logic"
    for path in sorted(folder.iterdir()):
        check_relations(path.read_text().splitlines())


@pytest.mark.parametrize("variables", [1, 2, 3, 5])
def test_truth_tables_by_enumeration(variables: int) -> None:
    names = [f"v{i}" for i in range(variables)]
    for place, name in enumerate(names):
        table = truth_table(name, names)
        assert [table >> w & 1 for w in range(2**variables)] == [w >> place & 1 for w in range(2**variables)]
        assert relation(table, truth_table(f"( not {name} )", names), variables) == "^"


@pytest.mark.parametrize("size", range(5))
def test_pairs_drawn_anew_are_right_too(size: int) -> None:
    pairs = draw_pairs(30, size, random.Random(7))
    assert len({pair[1:] for pair in pairs}) == 30
    check_relations("\t".join(pair) for pair in pairs)

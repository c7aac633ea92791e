"""ListOps expressions that are drawn: by their grammar, without repetitions, and as the published ones are."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data.listops import DrawnListOps, ListOpsGenerator

from graphrec.datasets.listops import words_of

PUBLIC = ("MIN", "MAX", "FIRST", "LAST")


def test_the_same_seed_draws_the_same_expressions() -> None:
    assert ListOpsGenerator(50, seed=1).lines() == ListOpsGenerator(50, seed=1).lines()
    assert ListOpsGenerator(50, seed=1).lines() != ListOpsGenerator(50, seed=2).lines()
    assert ListOpsGenerator(50, seed=1).lines()[:20] == ListOpsGenerator(20, seed=1).lines()


def test_drawn_expressions_obey_the_grammar() -> None:
    generator = ListOpsGenerator(2000, seed=3, operators=("SM", "MED"), max_depth=4, max_args=3)
    drawn = [tuple(words) for words in generator.expressions()]
    assert len(set(drawn)) == 2000
    assert {word for words in drawn for word in words if word.startswith("[")} == {"[SM", "[MED"}
    depths, arguments = Counter(), Counter()
    for words in drawn:
        open_lists: list[int] = [0]
        deepest = 1
        for word in words:
            if word == "]":
                arguments[open_lists.pop()] += 1
            else:
                open_lists[-1] += 1
            if word.startswith("["):
                open_lists.append(0)
                deepest = max(deepest, len(open_lists))
        depths[deepest] += 1
    assert set(depths) == {1, 2, 3, 4}
    assert set(arguments) == {2, 3}


def test_expressions_of_a_file_can_be_left_out(tmp_path: Path) -> None:
    test = ListOpsGenerator(200, seed=1, max_depth=3, operators=PUBLIC)
    (tmp_path / "test.tsv").write_text("\n".join(test.lines()))
    common = ListOpsGenerator(200, seed=2, max_depth=3, operators=PUBLIC)
    assert set(common.lines()) & set(test.lines())
    without = ListOpsGenerator(200, 2, PUBLIC, max_depth=3, without=str(tmp_path / "test.tsv"))
    assert not set(without.lines()) & set(test.lines())
    assert len(DrawnListOps(without)) == 200


def test_a_grammar_with_too_few_expressions_is_refused() -> None:
    assert len(ListOpsGenerator(10, max_depth=1).expressions()) == 10
    with pytest.raises(ValueError, match=r"expected 11 different expressions, got 10 .*greater depth"):
        ListOpsGenerator(11, max_depth=1).expressions()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operators": ("MIN", "PLUS")}, r"operators must be some of MIN, .*, got \['MIN', 'PLUS'\]"),
        ({"operators": ()}, r"operators must be some of"),
        ({"max_args": 1}, r"max_args 2 or more"),
        ({"nest": float("nan")}, r"nest from 0 to 1"),
        ({"size": 0}, r"size and max_depth must be 1 or more"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ListOpsGenerator(**{"size": 10, **options})


def test_the_shallow_variant_draws_what_the_public_test_set_holds(real_data: Callable[[str], Path]) -> None:
    path = real_data("listops/test_d8.tsv") / "listops" / "test_d8.tsv"
    public = [len(words_of(line.partition("\t")[2])) for line in path.read_text().splitlines()]
    generator = ListOpsGenerator(20000, operators=PUBLIC, max_depth=8, max_args=3)
    drawn = [len(words) for words in generator.expressions()]
    # A larger draw without repetitions has fewer short expressions, so only the longer ones are compared.
    for length in (15, 20, 30):
        share = [
            sum(n >= length for n in lengths) / sum(n >= 10 for n in lengths) for lengths in (public, drawn)
        ]
        assert share[0] == pytest.approx(share[1], rel=0.1)

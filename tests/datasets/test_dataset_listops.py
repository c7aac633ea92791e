"""ListOps: what is read, and that values are right."""

import functools
import operator
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from data.listops import DrawnListOps, ListOpsGenerator
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data, InMemoryDataset

from graphrec.datasets import ListOps
from graphrec.datasets.listops import (
    binarise,
    binary_tree,
    evaluate,
    operator_tree,
    read_expressions,
    words_of,
)
from graphrec.io import parse_brackets

PUBLIC = ("MIN", "MAX", "FIRST", "LAST")
ORACLE = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda v: sorted(v)[len(v) // 2] if len(v) % 2 else sum(sorted(v)[len(v) // 2 - 1 :][:2]) // 2,
    "[SM": lambda v: sum(v) % 10,
    "[PM": lambda v: functools.reduce(operator.mul, v) % 10,
    "[FIRST": lambda v: v[0],
    "[LAST": lambda v: v[-1],
}


def children_of(sample: Data) -> list[list[int]]:
    """The children of each node, by slot."""
    children: list[dict[int, int]] = [{} for _ in range(sample.num_nodes or 0)]
    for (child, parent), slot in zip(sample.edge_index.t().tolist(), sample.slot.tolist(), strict=True):
        children[parent][slot] = child
    return [[below[slot] for slot in range(len(below))] for below in children]


def value_of_parse(sample: Data, vocabulary: list[str]) -> int:
    """The paper's way: a binary node adds an argument to a list that has begun, or closes it."""
    children = children_of(sample)

    def value(node: int) -> Any:
        if not children[node]:
            word = vocabulary[sample.token[node]]
            return int(word) if word.isdigit() else word
        left, right = (value(child) for child in children[node])
        if isinstance(left, str):
            return (left, [right])
        name, arguments = left
        return ORACLE[name](arguments) if right == "]" else (name, [*arguments, right])

    return value((sample.num_nodes or 0) - 1)


def value_of_operators(sample: Data, vocabulary: list[str]) -> int:
    """An operator above its arguments."""
    children = children_of(sample)

    def value(node: int) -> int:
        word = vocabulary[sample.token[node]]
        return ORACLE[word]([value(child) for child in children[node]]) if children[node] else int(word)

    return value((sample.num_nodes or 0) - 1)


ALL = ListOpsGenerator(300, seed=5, operators=("MIN", "MAX", "MED", "SM", "PM", "FIRST", "LAST"), max_depth=7)


def test_values_are_right_in_both_forms() -> None:
    parses, trees = DrawnListOps(ALL), DrawnListOps(ALL, form="operators")
    values = [value_of_parse(sample, parses.vocabulary) for sample in parses]
    assert values == parses.y.tolist()
    assert values == [value_of_operators(sample, trees.vocabulary) for sample in trees]
    assert values == trees.y.tolist()
    assert len(set(values)) == 10
    assert values == [ListOps.value(sample.token.tolist()) for sample in parses]
    with pytest.raises(ValueError, match="expected one complete expression"):
        ListOps.value(parses[0].token.tolist()[:-2])


@pytest.mark.parametrize("form", ["parse", "operators"])
def test_levels_and_slots_are_those_of_each_tree(
    form: str, check_levels: Callable[[InMemoryDataset], None]
) -> None:
    check_levels(DrawnListOps(ALL, form=form))


def test_one_expression_by_hand(tmp_path: Path) -> None:
    (tmp_path / "one.tsv").write_text("9\t( ( ( [MAX 2 ) 9 ) ] )\n7\t7\n")
    dataset = ListOps("one.tsv", tmp_path)
    parse, digit = dataset
    words = [dataset.vocabulary[token] for token in parse.token.tolist()]
    assert words == ["[MAX", "2", "", "9", "", "]", ""]
    assert parse.edge_index.tolist() == [[0, 1, 2, 3, 4, 5], [2, 2, 4, 4, 6, 6]]
    assert parse.slot.tolist() == [0, 1, 0, 1, 0, 1]
    assert parse.y.tolist() == [9]
    assert (digit.num_nodes, digit.y.tolist()) == (1, [7])
    tree = ListOps("one.tsv", tmp_path, form="operators")[0]
    assert [dataset.vocabulary[token] for token in tree.token.tolist()] == ["2", "9", "[MAX"]
    assert tree.edge_index.tolist() == [[0, 1], [2, 2]]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7))
def test_operators_have_their_meaning(values: list[int]) -> None:
    expected = {
        "MIN": min(values),
        "MAX": max(values),
        "MED": int(statistics.median(values)),
        "SM": sum(values) % 10,
        "PM": functools.reduce(operator.mul, values) % 10,
        "FIRST": values[0],
        "LAST": values[-1],
    }
    for name, value in expected.items():
        assert evaluate([f"[{name}", *map(str, values), "]"]) == value


def test_a_binarised_parse_has_the_words_it_was_made_of() -> None:
    for words in ALL.expressions():
        assert words_of(binarise(words)) == words


def test_a_binarised_parse_is_the_tree_that_its_brackets_say() -> None:
    for words in ALL.expressions():
        assert binary_tree(words) == parse_brackets(binarise(words), labels=False)


def wide(arguments: int) -> list[str]:
    return ["[SM", *"1" * arguments, "]"]


def deep(lists: int) -> list[str]:
    return [*["[SM", "1"] * lists, *["]"] * lists]


def work_of(function: Callable[[list[str]], object], words: list[str]) -> tuple[int, int]:
    """How many lines of Python run, and how many characters the different texts have that come by on the way."""
    lines, texts = 0, set[str]()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        for value in frame.f_locals.values():
            texts.update(x for x in (value if isinstance(value, list) else [value]) if isinstance(x, str))
        return trace

    before = sys.gettrace()  # a coverage tool's
    sys.settrace(trace)
    try:
        function(words)
    finally:
        sys.settrace(before)
    return lines, sum(map(len, texts))


@pytest.mark.parametrize("shape", [wide, deep])
@pytest.mark.parametrize("function", [binarise, binary_tree, operator_tree, evaluate, words_of])
def test_work_grows_with_the_length_of_an_expression(
    function: Callable[[Any], object], shape: Callable[[int], list[str]]
) -> None:
    def given(size: int) -> Any:
        return " ".join(shape(size)) if function is words_of else shape(size)

    (lines, characters), (more_lines, more_characters) = (work_of(function, given(n)) for n in (50, 200))
    assert more_lines <= 4.2 * lines
    assert more_characters <= 4.2 * characters


def read_one(folder: Path, text: str) -> list[tuple[int, str]]:
    """Values and words of a file."""
    (folder / "file.tsv").write_bytes(text.encode())
    return [(value, " ".join(words)) for value, words in read_expressions(folder / "file.tsv")]


@pytest.mark.parametrize(
    "text",
    [
        "9\t( ( ( [MAX 2 ) 9 ) ] )\n",
        "9\t((([MAX 2) 9)])\n",
        "9\t[MAX 2 9 ]\n",
        "9\t[MAX 2 9]\r\n",
        '9\t"[MAX 2 9 ]"\n',
        "[MAX 2 9 ]\t9\n",
        "( ( ( [MAX 2 ) 9 ) ] )\t9\n",
        "Source\tTarget\r\n( ( ( [MAX 2 ) 9 ) ] )\t9\r\n",
        '"Source"\t"Target"\n"( ( ( [MAX 2 ) 9 ) ] )"\t"9"\n',
    ],
)
def test_what_the_tools_of_the_field_write_is_read(tmp_path: Path, text: str) -> None:
    assert read_one(tmp_path, text) == [(9, "[MAX 2 9 ]")]


def test_a_file_of_all_forms_is_the_samples_of_one(tmp_path: Path) -> None:
    drawn = [words for words in ALL.expressions() if len(words) > 1]
    raw = [f"{' '.join(words)}\t{evaluate(words)}" for words in drawn]
    (tmp_path / "raw.tsv").write_text("\n".join(["Source\tTarget", *raw]))
    (tmp_path / "parses.tsv").write_text(
        "\n".join(f"{evaluate(words)}\t{binarise(words)}" for words in drawn)
    )
    for form in ("parse", "operators"):
        first, second = (ListOps(name, tmp_path, form) for name in ("raw.tsv", "parses.tsv"))
        assert first.token.tolist() == second.token.tolist()
        assert first.edge_index.tolist() == second.edge_index.tolist()
        assert first.y.tolist() == second.y.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[MAX 2 9 ]\t8", r"line 1: expected the value 9 at position 11, got '8'"),
        ("Source\tTarget\n[MAX 2 9 ]\t8", r"line 2: expected the value 9"),
        ("Source\tTarget\n", r"expected one expression per line, got only a header"),
        ("Target\tSource\n9\t[MAX 2 9 ]", r"line 1: word 0 of the expression, 'Source', is unknown"),
        ("9\t[MAX 2 9 ]\t1", r"expected a value, a tab and an expression .*, got 3 fields"),
        ("9\t[ MAX 2 9 ]", r"word 0 of the expression, '\[', is unknown"),
        ("9\t[FLSUM 2 7 ]", r"word 0 of the expression, '\[FLSUM', is unknown"),
        ("9\t( ( [MAX 2 ) 9 ] )", r"expected the left-branching parse .*, or no round brackets, got"),
        ("9\t() [MAX 2 9 ]", r"malformed brackets at position 0"),
    ],
)
def test_what_is_no_known_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"file\.tsv.*{message}"):
        read_one(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("8\t( ( ( [MAX 2 ) 9 ) ] )", r"expected the value 9 at position 0, got '8'"),
        ("nan\t( ( ( [MAX 2 ) 9 ) ] )", r"expected the value 9 at position 0, got 'nan'"),
        ("9.0\t( ( ( [MAX 2 ) 9 ) ] )", r"got '9\.0'"),
        ("9 ( ( ( [MAX 2 ) 9 ) ] )", r"expected a value, a tab and an expression such as .*, got 1 fields"),
        ("9\t( ( ( [MAX 2 ) 9 ) ]", r"malformed brackets at position 0: '\(' is never closed"),
        ("9\t( ( ( [MOX 2 ) 9 ) ] )", r"word 0 of the expression, '\[MOX', is unknown"),
        ("9\t( ( ( [MAX 2 ) 19 ) ] )", r"word 2 of the expression, '19', is unknown"),
        ("9\t( [MAX 2 9 ] )", r"expected the left-branching parse '\( \( \( \[MAX 2 \) 9 \) \] \)'"),
        ("9\t( [MAX ( 2 ( 9 ] ) ) )", r"expected the left-branching parse"),
        ("9\t( [MAX ] )", r"word 1 of the expression, '\]', is unknown or out of place"),
        ("9\t( ( [MAX 2 ) 9 )", r"expected one complete expression, got 1 lists left open"),
        ("9\t( 2 9 )", r"expected one complete expression"),
    ],
)
@pytest.mark.parametrize("form", ["parse", "operators"])
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str, form: str) -> None:
    (tmp_path / "bad.tsv").write_text(f"7\t7\n{line}\n")
    with pytest.raises(ValueError, match=rf"bad\.tsv, line 2: .*{message}"):
        ListOps("bad.tsv", tmp_path, form=form)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"test_d8\.tsv in .*, which holds: nothing\. Place it there"):
        ListOps(root=tmp_path)
    with pytest.raises(ValueError, match=r"form must be one of parse, operators, got 'binary'"):
        DrawnListOps(ALL, form="binary")


def test_the_public_test_set_is_read_in_full(real_data: Callable[[str], Path]) -> None:
    dataset = ListOps(root=real_data("listops/test_d8.tsv"))
    assert len(dataset) == 10000
    assert set(dataset.y.tolist()) == set(range(10))
    assert [value_of_parse(sample, dataset.vocabulary) for sample in dataset[:500]] == dataset.y[
        :500
    ].tolist()

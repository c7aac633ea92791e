"""Propositional logic: that pairs are read as they are written."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader

from graphrec.datasets import Logic
from graphrec.datasets.logic import RELATIONS


def write_formulas(sample: Data, vocabulary: list[str]) -> list[str]:
    """Both formulas of a sample as text."""
    children: list[list[int]] = [[] for _ in range(sample.num_nodes or 0)]
    for child, parent in sample.edge_index.t().tolist():
        children[parent].append(child)
    texts: list[str] = []
    for node, token in enumerate(sample.token.tolist()):
        inside = " ".join(texts[child] for child in children[node])
        texts.append(f"( {inside} )" if inside else vocabulary[token])
    return [texts[root] for root in sample.root_index.tolist()]


def test_samples_read_back_as_the_lines_of_the_files(samples: Path) -> None:
    dataset = Logic(samples)
    lines = [
        line for size in range(5) for line in (samples / "logic" / f"train{size}").read_text().splitlines()
    ]
    written = [[dataset.classes[int(s.y)], *write_formulas(s, dataset.vocabulary)] for s in dataset]
    assert ["\t".join(parts) for parts in written] == lines
    assert [int(s.num_operators) for s in dataset] == [0] * 12 + [1] * 40 + [2] * 40 + [3] * 40 + [4] * 40


def test_levels_and_slots_are_those_of_each_pair(
    samples: Path, check_levels: Callable[[InMemoryDataset], None]
) -> None:
    check_levels(Logic(samples, "test"))


def test_one_pair_by_hand(tmp_path: Path) -> None:
    (tmp_path / "train1").write_text("<\t( a ( and b ) )\t( not ( not a ) )\n#\ta\tb\n")
    dataset = Logic(tmp_path, sizes=[1])
    pair, variables = dataset
    words = [dataset.vocabulary[token] for token in pair.token.tolist()]
    assert words == ["a", "and", "b", "", "", "not", "not", "a", "", ""]
    assert pair.edge_index.tolist() == [[0, 1, 2, 3, 5, 6, 7, 8], [4, 3, 3, 4, 9, 8, 8, 9]]
    assert pair.slot.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert pair.root_index.tolist() == [4, 9]
    assert dataset.classes[int(pair.y)] == "<"
    assert (variables.num_nodes, variables.root_index.tolist()) == (2, [0, 1])


def test_a_batch_counts_roots_on(samples: Path) -> None:
    dataset = Logic(samples, sizes=[3, 4])
    batch = next(iter(DataLoader(dataset, batch_size=8)))
    assert batch.root_index.shape == (16,)
    targets, sources = set(batch.edge_index[1].tolist()), set(batch.edge_index[0].tolist())
    roots = [node for node in range(batch.num_nodes) if node not in sources]
    assert batch.root_index.tolist() == roots
    assert all(root in targets or int(batch.token[root]) for root in roots)
    assert batch.y.tolist() == [int(sample.y) for sample in dataset[:8]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("?\ta\tb", r"expected = < > \^ \| v # at position 0, got '\?'"),
        ("nan\ta\tb", r"at position 0, got 'nan'"),
        ("=\ta", r"expected relation TAB formula TAB formula, got 1 tabs"),
        ("=\ta\t( not 1 )", r"expected a variable such as a or p1, not, and, or at position 10, got '1'"),
        ("=\ta\t( a ( -> b ) )", r"expected a variable such as a or p1, .* at position 10, got '->'"),
        ("=\t( not a\tb", r"left formula, malformed brackets at position 0: '\(' is never closed"),
        ("=\ta\t( not a ) )", r"right formula, malformed brackets at position 10"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "train2").write_text(f"#\ta\tb\n{line}\n")
    with pytest.raises(ValueError, match=rf"train2, line 2: .*{message}"):
        Logic(tmp_path, sizes=[2])


def test_what_is_not_there_is_refused(samples: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"train7 in .*, which holds: README\.md, test0, .*Ask for other sizes"
    ):
        Logic(samples, sizes=[0, 7])
    with pytest.raises(ValueError, match=r"split must be one of train, test, got 'dev'"):
        Logic(samples, "dev")
    with pytest.raises(ValueError, match=r"sizes must name at least one size"):
        Logic(samples, sizes=[])


def test_the_published_pairs_are_read_in_full(real_data: Callable[[str], Path]) -> None:
    dataset = Logic(real_data("logic/train2"), sizes=[0, 1, 2])
    assert len(dataset) == 30 + 2319 + 12451
    assert set(dataset.y.tolist()) == set(range(len(RELATIONS)))


NAMES = {"a": "cat", "b": "p10", "c": "p2", "d": "X_1", "e": "été", "f": "p1"}


def renamed(line: str) -> str:
    relation, formulas = line.split("\t", 1)
    return f"{relation}\t" + re.sub(r"\b[a-f]\b", lambda name: NAMES[name[0]], formulas)


@pytest.fixture
def named(samples: Path, tmp_path: Path) -> Path:
    """A folder with the drawn pairs, their variables by other names."""
    for path in (samples / "logic").glob("t*"):
        lines = [renamed(line) for line in path.read_text().splitlines()]
        (tmp_path / path.name).write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_variables_may_have_any_names(samples: Path, named: Path) -> None:
    variables = sorted(NAMES.values())
    for split in ("train", "test"):
        dataset, letters = Logic(named, split), Logic(samples, split)
        assert dataset.vocabulary == ["", *variables, "not", "and", "or"]
        assert letters.vocabulary == ["", *"abcdef", "not", "and", "or"]
        words = [NAMES.get(letters.vocabulary[t], letters.vocabulary[t]) for t in letters.token.tolist()]
        assert [dataset.vocabulary[token] for token in dataset.token.tolist()] == words
        assert dataset.y.tolist() == letters.y.tolist()
        assert dataset.edge_index.tolist() == letters.edge_index.tolist()


def test_the_vocabulary_is_that_of_training_whatever_is_read(named: Path) -> None:
    vocabulary = Logic(named).vocabulary
    for size in range(5):
        assert (
            Logic(named, "test", [size]).vocabulary == Logic(named, "train", [size]).vocabulary == vocabulary
        )
    # The cache of the test set must not outlive a change of the training files.
    with (named / "train4").open("a", encoding="utf-8") as file:
        file.write("\n#\tcat\taardvark\n")
    assert Logic(named, "test", [0]).vocabulary == ["", "X_1", "aardvark", *vocabulary[2:]]


def test_a_variable_that_training_does_not_have_is_refused(named: Path) -> None:
    (named / "test2").write_text("#\tcat\tp1\n#\tcat\t( not dog )\n")
    message = r"a variable that the training files have \(X_1, cat, .*\) at position 12, got 'dog'"
    with pytest.raises(ValueError, match=rf"test2, line 2: expected {message}"):
        Logic(named, "test", [2])


def test_without_training_files_the_test_set_names_its_variables(tmp_path: Path) -> None:
    (tmp_path / "test0").write_text("#\tq\tp\n")
    assert Logic(tmp_path, "test", [0]).vocabulary == ["", "p", "q", "not", "and", "or"]

"""The problems with long time lags, against the paper's definitions in plain Python."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from data.long_lags import SYMBOLS, adding_problem, order_classes, temporal_order
from torch import Tensor

import graphrec as gr


def sequences(values: Tensor, s: gr.Structure) -> list[list[Any]]:
    """The rows of each sequence, which are numbered one after the other."""
    assert sorted(s.graph.tolist()) == s.graph.tolist()
    return [rows.tolist() for rows in values.split(torch.bincount(s.graph).tolist())]


@pytest.mark.parametrize("T", [11, 12, 20, 37, 100])
def test_the_adding_problem_is_the_papers(T: int) -> None:
    x, s, y = adding_problem(1500, T, seed=3)
    lengths, places, ruled_out = Counter(), [], 0
    for rows, target in zip(sequences(x, s), y.tolist(), strict=True):
        lengths[len(rows)] += 1
        value, marker = zip(*rows, strict=True)
        assert marker[0] == marker[-1] == -1
        marked = [t for t, m in enumerate(marker) if m == 1]
        assert Counter(marker[1:-1]).keys() <= {0.0, 1.0}
        assert len(marked) in (1, 2)
        ruled_out += len(marked) == 1  # the first element was chosen, and keeps its -1
        places.append(marked)
        assert target == pytest.approx(0.5 + sum(value[t] for t in marked) / 4, abs=1e-6)
        assert 0 <= target <= 1
    assert set(lengths) == set(range(T, T + T // 10 + 1))
    early = T // 2 - 1
    assert {t for marked in places for t in marked} == set(range(1, max(10, early)))
    # X_1 is one of the first ten and X_2 one of the first T/2 - 1.
    assert all(len(marked) == 1 or (marked[0] < 10 and marked[0] < early) for marked in places)
    # The first element is X_1 in a tenth of the sequences, X_2 in some of the others.
    chance = 0.1 + sum(0.1 / (early - (one < early)) for one in range(1, 10))
    assert ruled_out / 1500 == pytest.approx(chance, abs=0.04)
    values = x[:, 0]
    assert values.min() < -0.99
    assert values.max() > 0.99
    assert values.mean().abs() < 0.02


def test_the_second_marked_element_is_drawn_evenly_from_those_left() -> None:
    x, s, _ = adding_problem(10_000, 24, seed=1)
    pairs = Counter(tuple(t for t, (_, marker) in enumerate(rows) if marker == 1) for rows in sequences(x, s))
    expected = Counter()
    for one in range(10):
        left = [t for t in range(24 // 2 - 1) if t != one]
        for other in left:
            expected[tuple(sorted({one, other} - {0}))] += 10_000 / 10 / len(left)
    assert pairs.keys() == expected.keys()
    for pair, count in expected.items():
        assert pairs[pair] == pytest.approx(count, abs=5 * count**0.5)


@pytest.mark.parametrize(
    ("relevant", "T", "bounds"),
    [
        (2, 100, [(10, 20), (50, 60)]),
        (3, 100, [(10, 20), (33, 43), (66, 76)]),
        (2, 50, [(5, 10), (25, 30)]),
        (3, 10, [(1, 2), (3, 4), (6, 7)]),
        (2, 10, [(1, 2), (5, 6)]),
    ],
)
def test_temporal_order_is_the_papers(relevant: int, T: int, bounds: list[tuple[int, int]]) -> None:
    token, s, y = temporal_order(2000, T, relevant, seed=3)
    lengths, found = Counter(), [set() for _ in bounds]
    for numbers, label in zip(sequences(token, s), y.tolist(), strict=True):
        symbols = [SYMBOLS[number] for number in numbers]
        lengths[len(symbols)] += 1
        assert (symbols[0], symbols[-1]) == ("E", "B")
        places = [t for t, symbol in enumerate(symbols) if symbol in "XY"]
        assert len(places) == relevant
        for seen, place in zip(found, places, strict=True):
            seen.add(place)
        assert set(symbols[1:-1]) - set("XY") <= set("abcd")
        assert "".join(symbols[t] for t in places) == order_classes(relevant)[label]
    assert set(lengths) == set(range(T, T + T // 10 + 1))
    assert found == [set(range(first, last + 1)) for first, last in bounds]
    assert all(first[1] < second[0] for first, second in pairwise(bounds))
    counts = Counter(y.tolist())
    assert set(counts) == set(range(2**relevant))
    assert min(counts.values()) > 2000 / 2**relevant * 0.75
    noise = torch.bincount(token)[:4]
    assert noise.min() > 0.9 * noise.max()


def test_the_classes_have_the_papers_order() -> None:
    assert order_classes() == ["XX", "XY", "YX", "YY"]
    assert order_classes(3) == ["XXX", "XXY", "XYX", "XYY", "YXX", "YXY", "YYX", "YYY"]


@pytest.mark.parametrize("problem", [adding_problem, temporal_order])
def test_the_same_seed_draws_the_same_sequences(problem: Callable[..., Any]) -> None:
    def drawn(seed: int) -> list[Any]:
        x, s, y = problem(20, 30, seed=seed)
        return [x.tolist(), s.graph.tolist(), y.tolist()]

    torch.manual_seed(0)
    first = drawn(5)
    torch.manual_seed(1)
    assert drawn(5) == first
    assert all(one != other for one, other in zip(drawn(6), first, strict=True))


@pytest.mark.parametrize(
    ("problem", "arguments", "message"),
    [
        (adding_problem, (0, 100), r"size, how many sequences to draw, must be 1 or more, got 0"),
        (adding_problem, (5, 10), r"min_length must be 11 or more, got 10"),
        (temporal_order, (-1, 100), r"size, how many sequences to draw, must be 1 or more, got -1"),
        (temporal_order, (5, 9), r"min_length must be 10 or more, got 9"),
        (temporal_order, (5, 100, 4), r"relevant must be 2 or 3, as in experiments 6a and 6b, got 4"),
    ],
)
def test_bad_options_are_refused(
    problem: Callable[..., Any], arguments: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        problem(*arguments)

"""State tracking, against the definitions in plain Python: groups by their axioms, products and brackets by hand."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from data.groups import group
from data.state_tracking import dyck, word_problem
from torch import Tensor

import graphrec as gr

SIZES = {"Z1": 1, "Z2": 2, "Z5": 5, "S1": 1, "S3": 6, "S4": 24, "S5": 120, "A3": 3, "A4": 12, "A5": 60}
LENGTHS = [7, 0, 1, 12, 3]


def sequences(values: Tensor, s: gr.Structure) -> list[list[int]]:
    """The rows of each sequence."""
    return [rows.tolist() for rows in values.split(torch.bincount(s.graph, minlength=s.num_graphs).tolist())]


@pytest.mark.parametrize("name", SIZES)
def test_groups_are_groups_of_permutations(name: str) -> None:
    found = group(name)
    size = len(found.elements)
    assert size == SIZES[name] == len(set(found.elements))
    n = len(found.elements[0])
    assert found.elements[0] == tuple(range(n))
    if name[0] == "Z":
        assert found.product == tuple(tuple((a + b) % n for b in range(n)) for a in range(n))
    for a, b in list(product(range(size), repeat=2))[:400]:
        p, q = found.elements[a], found.elements[b]
        assert found.elements[found.product[a][b]] == tuple(q[p[i]] for i in range(n))  # first p, then q
    assert all(sorted(row) == list(range(size)) for row in found.product)


def test_the_elements_of_a5_are_the_squares_products() -> None:
    """Even permutations are those that products of cycles of three make."""
    found = group("A5")
    cycles = [p for p in found.elements if sum(p[i] == i for i in range(5)) == 2 and p[p[p[0]]] == 0]
    reached, new = {found.elements[0]}, [found.elements[0]]
    while new:
        new = [tuple(c[i] for i in p) for p in new for c in cycles]
        new = list(set(new) - reached)
        reached |= set(new)
    assert reached == set(found.elements)


@pytest.mark.parametrize("name", ["Z2", "Z5", "S3", "A5"])
def test_word_problems_are_products_so_far(name: str) -> None:
    token, s, y = word_problem(name, LENGTHS, seed=4)
    assert s == gr.chains(LENGTHS)
    elements = group(name).elements
    for word, answers in zip(sequences(token, s), sequences(y, s), strict=True):
        state = list(range(len(elements[0])))
        for element, answer in zip(word, answers, strict=True):
            state = [elements[element][i] for i in state]
            assert tuple(state) == elements[answer]


def test_parity_and_sums() -> None:
    token, s, y = word_problem("Z2", [50] * 4)
    for bits, answers in zip(sequences(token, s), sequences(y, s), strict=True):
        assert answers == [sum(bits[: t + 1]) % 2 for t in range(50)]
    assert set(token.tolist()) == {0, 1}


def test_elements_and_answers_are_uniform() -> None:
    token, _, y = word_problem("S3", [20] * 1500)
    for values in (token, y):
        count = torch.bincount(values, minlength=6)
        assert (count - 5000).abs().max() < 5 * 5000**0.5


def top(word: list[int], brackets: int, depth: int) -> list[int]:
    """What may close after each bracket; errors, where the word breaks a rule."""
    stack, found = [], []
    for token in word:
        if token < brackets:
            stack.append(token)
        else:
            assert stack.pop() == token - brackets
        assert len(stack) <= depth
        found.append(1 + stack[-1] if stack else 0)
    return found


@pytest.mark.parametrize(("brackets", "depth"), [(1, 1), (2, 4), (3, 2), (8, 30)])
def test_dyck_by_a_stack(brackets: int, depth: int) -> None:
    token, s, y = dyck([*LENGTHS, 60, 60], brackets, depth, seed=2)
    assert s == gr.chains([*LENGTHS, 60, 60])
    for word, answers in zip(sequences(token, s), sequences(y, s), strict=True):
        assert answers == top(word, brackets, depth)
    assert set(token.tolist()) <= set(range(2 * brackets))


def test_dyck_opens_and_closes_as_it_says() -> None:
    token, s, _ = dyck([40] * 800, 2, 3, seed=1)
    deep, opened = Counter(), Counter()
    for word in sequences(token, s):
        height = 0
        for bracket in word:
            opened[height, bracket < 2] += 1
            height += 1 if bracket < 2 else -1
            deep[height] += 1
    assert set(deep) == {0, 1, 2, 3}
    assert opened[0, False] == opened[3, True] == 0
    for height in (1, 2):
        share = opened[height, True] / (opened[height, True] + opened[height, False])
        assert share == pytest.approx(0.5, abs=0.03)
    kinds = torch.bincount(token, minlength=4)
    assert kinds[:2].min() > 0.95 * kinds[:2].max()


@pytest.mark.parametrize(
    "draw", [lambda n, seed: word_problem("S3", n, seed), lambda n, seed: dyck(n, seed=seed)]
)
def test_the_same_seed_draws_the_same_sequences(draw: Callable[..., Any]) -> None:
    first = [part.tolist() for part in draw([30], 5)[::2]]
    torch.manual_seed(1)
    assert [part.tolist() for part in draw([30], 5)[::2]] == first
    assert [part.tolist() for part in draw([30], 6)[::2]] != first
    for lengths in ([], [0, 0]):
        token, s, y = draw(lengths, 0)
        assert len(token) == len(y) == 0
        assert s.num_graphs == len(lengths)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: word_problem("D4", [3]), "group must be Z, S or A with a number, .* got 'D4'"),
        (lambda: word_problem("S0", [3]), "got 'S0'"),
        (lambda: word_problem("Z", [3]), "got 'Z'"),
        (lambda: word_problem("S7", [3]), "at most 1,000 elements, got S7"),
        (lambda: word_problem("Z1001", [3]), "at most 1,000 elements, got Z1001"),
        (lambda: word_problem("S3", [3, -1]), "lengths must be 0 or more, got -1 for sequence 1"),
        (lambda: dyck([3], brackets=0), "brackets must be 1 or more, got 0"),
        (lambda: dyck([3], depth=0), "depth must be 1 or more, got 0"),
        (lambda: dyck([-3]), "lengths must be 0 or more, got -3"),
    ],
)
def test_bad_options_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

"""Tomita's languages: the automata against the languages in words, automata as such, and what is drawn."""

import random
import re
from collections import Counter
from collections.abc import Callable
from itertools import groupby, pairwise, product
from typing import Any

import pytest
from data.automaton import Automaton
from data.tomita import Tomita
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import InMemoryDataset


def odd_zeros_behind_odd_ones(text: str) -> bool:
    runs = [(symbol, len(list(run))) for symbol, run in groupby(text)]
    return any(a == "1" and n % 2 and m % 2 for (a, n), (_, m) in pairwise(runs))


IN_LANGUAGE: dict[int, Callable[[str], Any]] = {
    1: lambda text: "0" not in text,
    2: lambda text: text == "10" * (len(text) // 2),
    3: lambda text: not odd_zeros_behind_odd_ones(text),
    4: lambda text: "000" not in text,
    5: lambda text: text.count("0") % 2 == 0 and text.count("1") % 2 == 0,
    6: lambda text: (text.count("0") - text.count("1")) % 3 == 0,
    7: re.compile("0*1*0*1*").fullmatch,
}
GRAMMARS = sorted(IN_LANGUAGE)
STRINGS = ["".join(symbols) for length in range(11) for symbols in product("01", repeat=length)]
SHORT = STRINGS[: 2**7 - 1]  # of up to 6 symbols: they reach all of 6 states, and tell any two of them apart


def numbers(text: str) -> list[int]:
    return [int(symbol) for symbol in text]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_automata_accept_their_languages(grammar: int) -> None:
    automaton = Tomita(grammar, [1], 1).automaton
    for text in STRINGS:
        assert automaton.accepts(numbers(text)) == bool(IN_LANGUAGE[grammar](text)), text


def test_automata_are_minimal() -> None:
    automata = [Tomita(grammar, [1], 1).automaton for grammar in GRAMMARS]
    assert [automaton.minimal() for automaton in automata] == automata
    assert [len(automaton.step) for automaton in automata] == [2, 3, 5, 4, 4, 3, 5]


@st.composite
def automata(draw: st.DrawFn) -> Automaton:
    count = draw(st.integers(1, 6))
    state = st.integers(0, count - 1)
    rows = draw(st.lists(st.tuples(state, state), min_size=count, max_size=count))
    return Automaton(tuple(rows), draw(st.frozensets(state)))


def language(automaton: Automaton) -> list[bool]:
    return [automaton.accepts(numbers(text)) for text in SHORT]


def fewest_states(automaton: Automaton) -> int:
    """Of the states in reach, how many there are that differ in which strings they accept."""

    def after(state: int, text: str) -> int:
        for symbol in numbers(text):
            state = automaton.step[state][symbol]
        return state

    reached = {after(0, text) for text in SHORT}
    return len({tuple(after(state, text) in automaton.accepting for text in SHORT) for state in reached})


@given(automata())
def test_minimal_automata_accept_the_same_with_the_fewest_states(automaton: Automaton) -> None:
    minimal = automaton.minimal()
    assert language(minimal) == language(automaton)
    assert len(minimal.step) == fewest_states(automaton)
    assert minimal.minimal() == minimal


@given(automata(), st.randoms(use_true_random=False))
def test_numbering_does_not_change_the_minimal_automaton(automaton: Automaton, rng: random.Random) -> None:
    count = len(automaton.step)
    new = [0, *rng.sample(range(1, count), count - 1)]  # the start stays the start
    rows = {new[state]: tuple(new[after] for after in row) for state, row in enumerate(automaton.step)}
    other = Automaton(
        tuple(rows[state] for state in range(count)), frozenset(new[state] for state in automaton.accepting)
    )
    assert other.minimal() == automaton.minimal()


@given(automata(), st.integers(0, 5), st.booleans())
def test_drawn_strings_are_of_the_kind_asked_for(automaton: Automaton, length: int, accepted: bool) -> None:
    there = [numbers(text) for text in STRINGS if len(text) == length]
    kind = [string for string in there if automaton.accepts(string) == accepted]
    drawn = automaton.draw(length, accepted, 20, random.Random(0))
    assert len(drawn) == (20 if kind else 0)
    assert all(string in kind for string in drawn)


def test_all_strings_of_a_kind_are_drawn_equally_often() -> None:
    automaton = Tomita(7, [1], 1).automaton
    count = Counter(map(tuple, automaton.draw(5, True, 20_000, random.Random(0))))
    kind = [text for text in STRINGS if len(text) == 5 and IN_LANGUAGE[7](text)]
    assert len(count) == len(kind)
    expected = 20_000 / len(kind)
    assert all(abs(n - expected) < 5 * expected**0.5 for n in count.values())


@pytest.mark.parametrize(
    ("step", "accepting", "message"),
    [
        ((), {0}, "a row per state"),
        (((0, 0), (1,)), {0}, "a state per symbol"),
        (((0, 2),), set(), "0 to 0, as step has rows, got 2"),
        (((0, 0),), {-1}, "got -1"),
    ],
)
def test_automata_with_missing_states_are_refused(step: Any, accepting: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Automaton(step, frozenset(accepting))


def texts(dataset: Tomita) -> list[str]:
    """The samples as strings, without the node before the first symbol."""
    assert all(sample.token[0] == 0 for sample in dataset)
    return ["".join(dataset.vocabulary[token] for token in sample.token.tolist()) for sample in dataset]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_each_node_says_whether_the_string_up_to_it_is_in_the_language(grammar: int) -> None:
    dataset = Tomita(grammar, (3, 8, 14), 10, seed=3)
    for text, sample in zip(texts(dataset), dataset, strict=True):
        assert sample.y.tolist() == [bool(IN_LANGUAGE[grammar](text[:n])) for n in range(len(text) + 1)]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_half_are_in_the_language_and_some_are_near_it(grammar: int) -> None:
    drawn = texts(Tomita(grammar, [16], 40))
    assert {len(text) for text in drawn} == {16}
    outside = [text for text in drawn if not IN_LANGUAGE[grammar](text)]
    assert len(drawn) == 40
    assert len(outside) == 20
    near = [text for text in outside if any(IN_LANGUAGE[grammar](other) for other in neighbours(text))]
    assert len(near) >= 10


def neighbours(text: str) -> list[str]:
    return [text[:i] + "10"[int(text[i])] + text[i + 1 :] for i in range(len(text))]


def test_lengths_with_strings_of_one_kind_only() -> None:
    assert texts(Tomita(5, [0], 3)) == [""] * 3
    odd = texts(Tomita(5, [5], 6))
    assert len(odd) == 6
    assert not any(IN_LANGUAGE[5](text) for text in odd)


def test_the_same_seed_draws_the_same_strings() -> None:
    assert texts(Tomita(4, (6, 9), 8, seed=1)) == texts(Tomita(4, (6, 9), 8, seed=1))
    assert texts(Tomita(4, (6, 9), 8, seed=1)) != texts(Tomita(4, (6, 9), 8, seed=2))


def test_samples_are_chains(check_levels: Callable[[InMemoryDataset], None]) -> None:
    dataset = Tomita(6, (0, 1, 4), 3)
    check_levels(dataset)
    assert dataset[8].edge_index.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
    assert dataset[0].num_nodes == 1
    assert dataset.classes == ["rejected", "accepted"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8,), "grammar must be 1 to 7, got 8"),
        ((1, []), r"one or more numbers of symbols, 0 or more, got \[\]"),
        ((1, [3, -1]), r"got \[3, -1\]"),
        ((1, [3], 0), "per_length must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tomita(*arguments)

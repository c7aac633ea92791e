"""The example on Tomita's languages: automata in states made by hand, and the whole of it on two languages."""

from itertools import product

import pytest
import torch
from data.automaton import Automaton
from data.tomita import Tomita
from torch import Tensor


@pytest.fixture
def automata(example):
    return example.automata


def strings(length: int, symbols: int) -> list[tuple[int, ...]]:
    """All strings, short ones first, in alphabetical order."""
    return [string for n in range(length + 1) for string in product(range(symbols), repeat=n)]


@pytest.mark.parametrize("symbols", [1, 2, 3])
def test_the_tree_has_a_node_for_each_string(automata, symbols):
    structure, symbol = automata.prefix_tree(4, symbols)
    spelt: list[tuple[int, ...]] = [()]
    for (before, _), last in zip(structure.edge_index.t().tolist(), symbol.tolist(), strict=True):
        spelt.append((*spelt[before], last))
    assert structure.target.tolist() == list(range(1, len(spelt)))
    assert spelt == strings(4, symbols)


@pytest.mark.parametrize("kind", ["SRN", "LSTM", "GRU", "second order"])
def test_a_string_is_in_the_same_state_in_the_tree_and_alone(example, automata, kind):
    torch.manual_seed(0)
    network = example.Recogniser(kind, 5)
    structure, symbol = automata.prefix_tree(4)
    h = network.states(torch.cat([symbol.new_zeros(1), 1 + symbol]), structure)
    for node, string in enumerate(strings(4, 2)):
        token = torch.tensor([0, *(1 + symbol for symbol in string)])
        alone = network.states(token, example.gr.chain(len(token)))
        torch.testing.assert_close(h[node], alone[-1])


def states_like(automaton: Automaton, length: int) -> tuple[Tensor, Tensor]:
    """States of a network that computes the automaton by neurons in a code of their own, with some noise."""
    generator = torch.Generator().manual_seed(0)
    code = torch.rand(len(automaton.step), 3, generator=generator).round() * 0.8 + 0.1
    code = torch.cat([code, 0.8 * torch.eye(len(automaton.step)) + 0.1], dim=1)
    state = torch.tensor([automaton.path(string)[-1] for string in strings(length, 2)])
    accepted = torch.tensor([automaton.accepts(string) for string in strings(length, 2)])
    h = code[state]
    return h + 0.05 * (2 * torch.rand(h.shape, generator=generator) - 1), accepted


@pytest.mark.parametrize("grammar", range(1, 8))
def test_what_is_in_the_states_is_extracted(automata, grammar):
    true = Tomita(grammar, [1], 1).automaton
    h, accepted = states_like(true, 7)
    assert automata.extract(h, accepted, 2) == true
    # A neuron that repeats the last symbol makes two of one state, which behave alike.
    last = torch.tensor([[float(string[-1]) if string else 0.0] for string in strings(7, 2)])
    found = automata.extract(torch.cat([h, last], dim=1), accepted, 2)
    assert len(found.step) > len(true.step)
    assert found.minimal() == true


def test_without_strings_long_enough_nothing_is_extracted(automata):
    true = Tomita(7, [1], 1).automaton
    # Its last state is four symbols away from the start, and has steps of its own.
    assert automata.extract(*states_like(true, 4), 2) is None
    assert automata.extract(*states_like(true, 5), 2) == true


@pytest.mark.parametrize("grammar", range(1, 8))
def test_answers_are_those_of_the_automaton(automata, grammar):
    automaton = Tomita(grammar, [1], 1).automaton
    said = automata.answers(automaton, 6).tolist()
    assert said == [automaton.accepts(string) for string in strings(6, 2)]


@pytest.mark.slow
def test_learns_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("tomita.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    assert "the true automaton" in said[0]
    assert (tmp_path / "a" / "automata.png").stat().st_size > 10_000

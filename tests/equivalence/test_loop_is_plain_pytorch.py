"""The loop computes, with its own gathers and sums, what it computes with torch's operators alone.

Gathers and sums have a way back of their own, which scatters nothing; inside transforms plain operators take their
place. They are compared for every cell on every family of structures, for the cells of the library and for cells as
users write them, in both modes, with every form of initial state, and in the gradients of x, of all parameters, of
the edge attributes, of the initial state, and of tensors that a cell has from elsewhere.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, plain_operators, trial
from tests.zoo import (
    ACYCLIC,
    ALL_CELLS,
    CELLS,
    FAMILIES,
    by_turns,
    chains,
    cyclic,
    dag,
    dressed,
    mixed_batch,
    tree,
)


def assert_ways_agree(run: Trial) -> None:
    actual = run.outcome()
    with plain_operators():
        expected = run.outcome()
    assert_all_close(actual, expected)


@pytest.mark.parametrize(
    ("case", "structure", "initial"), by_turns(ALL_CELLS, ACYCLIC, [None, "per graph"], share=2)
)
def test_async(case, structure, initial):
    assert_ways_agree(trial(case.make, structure, initial))


@pytest.mark.parametrize(
    ("case", "structure", "initial"), by_turns(ALL_CELLS, [tree, mixed_batch], ["per node", "for all"])
)
def test_async_with_other_forms_of_initial_state(case, structure, initial):
    assert_ways_agree(trial(case.make, structure, initial))


@pytest.mark.parametrize(
    ("case", "structure", "initial"),
    by_turns(ALL_CELLS, [chains, tree, dag, mixed_batch], [None, "per graph"], share=2),
)
def test_without_gradients_states_are_read_from_rows(case, structure, initial):
    run = trial(case.make, structure, initial)
    expected = run.run()
    with torch.no_grad():
        found = run.run()
    assert_all_close(found._asdict(), {name: value.detach() for name, value in expected._asdict().items()})


@pytest.mark.parametrize(
    ("case", "structure", "initial"),
    by_turns(ALL_CELLS, [chains, dag, mixed_batch, cyclic], [None, "per node"], share=2),
)
def test_sync(case, structure, initial):
    assert_ways_agree(trial(case.make, structure, initial, mode="sync", rounds=3))


@pytest.mark.parametrize(
    ("case", "structure", "initial"), by_turns(CELLS, FAMILIES, ["per graph", "for all"], share=2)
)
def test_one_round(case, structure, initial):
    assert_ways_agree(trial(case.make, structure, initial, mode="sync", rounds=1))


@pytest.mark.parametrize("case", ALL_CELLS, ids=lambda case: case.name)
@settings(max_examples=3)
@given(data=st.data(), inputs=strategies.sizes, hidden=strategies.sizes)
def test_random_structures(case, data, inputs, hidden):
    structure = dressed(data.draw(strategies.acyclic(case.arity)))
    assert_ways_agree(trial(case.make, structure, inputs=inputs, hidden=hidden))

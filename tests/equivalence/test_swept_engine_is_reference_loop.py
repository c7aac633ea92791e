"""The swept engine computes what the reference loop computes, in values and in all gradients.

The reference loop is plain PyTorch and says what a schedule means; the swept engine is the fast way to the
same numbers. They are compared for every cell on every family of structures, for the cells of the library and
for cells as users write them, in both modes, with every form of initial state, and in the gradients of x, of
all parameters, of the edge attributes, of the initial state, and of tensors that a cell has from elsewhere.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, trial
from tests.zoo import (
    ACYCLIC,
    ALL_CELLS,
    CELLS,
    FAMILIES,
    cases,
    chains,
    cyclic,
    dag,
    dressed,
    mixed_batch,
    tree,
)


def assert_engines_agree(run: Trial) -> None:
    swept = run.outcome()
    with gr.reference_loop():
        expected = run.outcome()
    assert_all_close(swept, expected)


@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, ACYCLIC))
def test_async(case, structure, initial):
    assert_engines_agree(trial(case.make, structure, initial))


@pytest.mark.parametrize("initial", ["per node", "for all"])
@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, [tree, mixed_batch]))
def test_async_with_other_forms_of_initial_state(case, structure, initial):
    assert_engines_agree(trial(case.make, structure, initial))


@pytest.mark.parametrize("initial", [None, "per node"])
@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, [chains, dag, mixed_batch, cyclic]))
def test_sync(case, structure, initial):
    assert_engines_agree(trial(case.make, structure, initial, mode="sync", rounds=3))


@pytest.mark.parametrize("initial", ["per graph", "for all"])
@pytest.mark.parametrize(("case", "structure"), cases(CELLS, FAMILIES))
def test_one_round(case, structure, initial):
    assert_engines_agree(trial(case.make, structure, initial, mode="sync", rounds=1))


@pytest.mark.parametrize("case", ALL_CELLS, ids=lambda case: case.name)
@settings(max_examples=10)
@given(data=st.data(), inputs=strategies.sizes, hidden=strategies.sizes)
def test_random_structures(case, data, inputs, hidden):
    structure = dressed(data.draw(strategies.acyclic(case.arity)))
    assert_engines_agree(trial(case.make, structure, inputs=inputs, hidden=hidden))

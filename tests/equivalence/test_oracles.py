"""Every cell computes its paper's equations, and autograd's gradients of them.

The oracles are the equations, applied to one node after the other by recursion; see `tests/oracles/`.
Values and all gradients are compared in float64 on every family of structures, with and without an initial
state, and on random trees and DAGs in which every node has an input of its own and slots may be empty.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import strategies
from tests.trials import assert_agrees_with_oracle, trial
from tests.zoo import ACYCLIC, CELLS, FAMILIES, by_turns


@pytest.mark.parametrize(
    ("case", "structure", "initial"),
    by_turns(CELLS, ACYCLIC, [None, "per node", "per graph", "for all"], share=2),
)
def test_async_sweep_agrees_with_the_papers_equations(case, structure, initial):
    assert_agrees_with_oracle(trial(case.make, structure, initial), case.oracle)


@pytest.mark.parametrize(
    ("case", "structure", "initial"), by_turns(CELLS, FAMILIES, [None, "per node"], share=2)
)
def test_sync_rounds_agree_with_the_papers_equations(case, structure, initial):
    assert_agrees_with_oracle(trial(case.make, structure, initial, mode="sync", rounds=3), case.oracle)


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
@settings(max_examples=5)
@given(data=st.data(), inputs=strategies.sizes, hidden=strategies.sizes)
def test_random_structures_agree_with_the_papers_equations(case, data, inputs, hidden):
    structure = data.draw(strategies.acyclic(case.arity))
    assert_agrees_with_oracle(trial(case.make, structure, inputs=inputs, hidden=hidden), case.oracle)

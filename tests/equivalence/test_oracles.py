"""Every cell computes its paper's equations, and autograd's gradients of them.

The oracles are the equations, applied to one node after the other by recursion; see `tests/oracles.py`.
Values and all gradients are compared in float64 on every family of structures, with and without an initial
state, and on random trees and DAGs in which every node has an input of its own and slots may be empty.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracles, strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, trial
from tests.zoo import ACYCLIC, CELLS, FAMILIES, cases


def edges_of(structure):
    return list(zip(*structure.edge_index.tolist(), structure.slot.tolist(), strict=True))


def assert_agrees_with_oracle(run: Trial, oracle: oracles.Equations) -> None:
    initial = None
    if run.initial is not None or run.mode == "sync":
        initial = states_of_nodes(run)
    if run.mode == "async":
        expected = oracles.evaluate(oracle, run.cell, run.x, edges_of(run.structure), initial)
    else:
        expected = oracles.evaluate_rounds(
            oracle, run.cell, run.x, edges_of(run.structure), run.rounds, initial
        )
    assert_all_close(run.outcome(), run.outcome(lambda: run.cell.State(*expected)))


def states_of_nodes(run: Trial) -> list[oracles.State]:
    """The initial state of each node, whichever way it was given."""
    if run.initial is None:
        return [tuple(run.x.new_zeros(*shape) for shape in run.cell.shapes())] * run.structure.num_nodes
    rows = len(run.initial[0])
    if rows == run.structure.num_nodes:
        row = range(rows)
    elif rows == run.structure.num_graphs:
        row = run.structure.graph.tolist()
    else:
        row = [0] * run.structure.num_nodes
    return [tuple(field[r] for field in run.initial) for r in row]


@pytest.mark.parametrize(("case", "structure"), cases(CELLS, ACYCLIC))
@pytest.mark.parametrize("initial", [None, "per node", "per graph", "for all"])
def test_async_sweep_agrees_with_the_papers_equations(case, structure, initial):
    assert_agrees_with_oracle(trial(case.make, structure, initial), case.oracle)


@pytest.mark.parametrize(("case", "structure"), cases(CELLS, FAMILIES))
@pytest.mark.parametrize("initial", [None, "per node"])
def test_sync_rounds_agree_with_the_papers_equations(case, structure, initial):
    assert_agrees_with_oracle(trial(case.make, structure, initial, mode="sync", rounds=3), case.oracle)


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
@given(data=st.data(), inputs=strategies.sizes, hidden=strategies.sizes)
def test_random_structures_agree_with_the_papers_equations(case, data, inputs, hidden):
    structure = data.draw(strategies.acyclic(case.arity))
    assert_agrees_with_oracle(trial(case.make, structure, inputs=inputs, hidden=hidden), case.oracle)

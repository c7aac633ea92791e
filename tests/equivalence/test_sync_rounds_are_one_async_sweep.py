"""As many sync rounds as there are levels compute what one async sweep computes.

After round k the nodes below level k have their final states, for they read only nodes of lower levels; a round
more changes nothing. This holds for cells that do not read `own`, and on structures without cycles.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, trial
from tests.zoo import ALL_CELLS, GRAPH_CELLS, dressed

READ_OWN = {"GatedGraph", "InPlaceOnAllItIsGiven", *(case.name for case in GRAPH_CELLS)}
CELLS_WITHOUT_OWN = [case for case in ALL_CELLS if case.name not in READ_OWN]


@pytest.mark.parametrize("case", CELLS_WITHOUT_OWN, ids=lambda case: case.name)
@settings(max_examples=2)
@given(data=st.data(), more=st.integers(0, 1))
def test_depth_many_rounds(case, data, more):
    structure = dressed(data.draw(strategies.acyclic(case.arity)))
    run = trial(case.make, structure)
    depth = int(gr.levels(structure).max()) + 1
    rounds = Trial(run.cell, run.structure, run.x, mode="sync", rounds=depth + more)
    assert_all_close(rounds.outcome(), run.outcome())


@given(structure=strategies.chains(max_length=4).filter(lambda s: s.num_edges > 0))
def test_one_round_less_is_not_enough(structure):
    run = trial(gr.SRNCell, structure)
    depth = int(gr.levels(structure).max()) + 1
    rounds = Trial(run.cell, structure, run.x, mode="sync", rounds=depth - 1)
    assert (rounds.run().h - run.run().h).abs().max() > 0

"""Other numbers for the nodes permute the states, and the gradients of x, and change nothing else.

Neither does the order in which edges are listed, where their slots stay as they are.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, trial
from tests.zoo import ALL_CELLS, dressed


def renumbered(structure, number):
    """The structure with node v called `number[v]`."""
    return gr.dag(
        number[structure.edge_index],
        structure.num_nodes,
        slot=structure.slot,
        relation=structure.relation,
        edge_attr=structure.edge_attr,
    )


def with_edges_listed(structure, order):
    return gr.dag(
        structure.edge_index[:, order],
        structure.num_nodes,
        slot=structure.slot[order],
        relation=structure.relation[order],
        edge_attr=structure.edge_attr[order],
    )


@pytest.mark.parametrize("case", ALL_CELLS, ids=lambda case: case.name)
@settings(max_examples=3)
@given(data=st.data(), mode=st.sampled_from(["async", "sync"]))
def test_other_numbers_and_another_order_of_edges(case, data, mode):
    rounds = 2 if mode == "sync" else None
    of = strategies.dags(case.arity) if mode == "async" else strategies.graphs(case.arity)
    structure = dressed(data.draw(of))
    run = trial(case.make, structure, mode=mode, rounds=rounds)
    number = torch.tensor(data.draw(st.permutations(range(structure.num_nodes))))
    order = torch.tensor(data.draw(st.permutations(range(structure.num_edges))), dtype=torch.long)

    # x and the edge attributes are put in the new order inside, so that both runs share their inputs.
    other = with_edges_listed(renumbered(run.structure, number), order)
    x = run.x[torch.argsort(number)]

    def run_other():
        state = Trial(run.cell, other, x, mode=mode, rounds=rounds).run()
        return run.cell.State(*(field[number] for field in state))

    assert_all_close(run.outcome(run_other), run.outcome())

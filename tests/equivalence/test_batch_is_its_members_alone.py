"""A batch computes what its members compute when they are run alone.

The nodes of a batch stand side by side and no edge joins two members, so states cannot depend on the company
that a structure is in; neither can gradients, where those of the weights add up.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, outcome, trial
from tests.zoo import ALL_CELLS, dressed


def inputs_of(runs):
    """The inputs of several runs of one cell, by name."""
    inputs = dict(runs[0].inputs)
    for i, run in enumerate(runs):
        inputs |= {f"{name} of member {i}": run.inputs[name] for name in ("x", "edge_attr")}
    return inputs


@pytest.mark.parametrize("case", ALL_CELLS, ids=lambda case: case.name)
@settings(max_examples=3)
@given(data=st.data(), mode=st.sampled_from(["async", "sync"]))
def test_states_and_gradients(case, data, mode):
    rounds = 2 if mode == "sync" else None
    of = strategies.acyclic(case.arity) if mode == "async" else strategies.graphs(case.arity)
    members, _ = data.draw(strategies.batches(of.map(dressed)))
    alone = [trial(case.make, member, mode=mode, rounds=rounds) for member in members]
    cell = alone[0].cell
    for run in alone:
        run.cell = cell
    structure = gr.batch([run.structure for run in alone])
    together = Trial(cell, structure, torch.cat([run.x for run in alone]), mode=mode, rounds=rounds)

    inputs = inputs_of(alone)
    separately = cell.State(*(torch.cat(field) for field in zip(*(run.run() for run in alone), strict=True)))
    assert_all_close(outcome(together.run(), inputs), outcome(separately, inputs))

"""All entrances to the engine lead to the same states.

`run` and `steps`, with autograd's recording and without, a cell and the model made of it, and a model given
a Structure, PyG's Data or Batch, or a bare edge_index: one cell over one set of edges is one computation.
"""

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

import graphrec as gr
from tests.tolerances import assert_all_close, assert_close
from tests.trials import Trial, trial
from tests.zoo import (
    ACYCLIC,
    ALL_CELLS,
    CELLS,
    by_turns,
    chain,
    cyclic,
    dag,
    family,
    isolated_nodes,
    mixed_batch,
    one_node,
    tree,
)

MODES = {"async": None, "sync": 3}  # and the rounds


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(("case", "structure", "mode"), by_turns(ALL_CELLS, [mixed_batch], list(MODES)))
def test_without_grad(case, structure, mode, without):
    run = trial(case.make, structure, "per graph", mode, MODES[mode])
    expected = run.run()
    with without():
        actual = run.run()
    assert not any(field.requires_grad for field in actual)
    assert_all_close(actual._asdict(), expected._asdict())


@pytest.mark.parametrize(
    ("case", "structure", "form"),
    by_turns(
        ALL_CELLS, [tree, mixed_batch], [(mode, initial) for initial in (None, "per graph") for mode in MODES]
    ),
)
def test_steps(case, structure, form):
    mode, initial = form
    run = trial(case.make, structure, initial, mode, MODES[mode])

    def step_by_step():
        fields = [torch.zeros_like(field) for field in run.run()]
        for visit in gr.steps(run.cell, run.plan, run.x, run.given):
            fields = [f.index_copy(0, visit.nodes, new) for f, new in zip(fields, visit.state, strict=True)]
        return run.cell.State(*fields)

    assert_all_close(run.outcome(step_by_step), run.outcome())


def test_steps_show_the_loop_from_outside():
    s = gr.tree(parents=[2, 2, 4, 4, -1])
    run = trial(gr.ChildSumTreeLSTMCell, s)
    visits = list(gr.steps(run.cell, run.plan, run.x))
    assert [visit.number for visit in visits] == [0, 1, 2]
    assert [visit.nodes.tolist() for visit in visits] == [[0, 1, 3], [2], [4]]
    assert [visit.inbox.num_edges for visit in visits] == [0, 2, 2]
    before = torch.cat([visits[1].state.h, visits[0].state.h[2:]])
    assert_close(visits[2].inbox.h, before)


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
def test_every_field_of_the_state_comes_back(case):
    run = trial(case.make, family(tree, case.arity))
    state = run.run()
    assert type(state) is run.cell.State
    assert [field.shape for field in state] == [
        (run.structure.num_nodes, *shape) for shape in run.cell.shapes()
    ]


MODELS = {
    "SRN": (lambda: gr.SRN(3, 2), gr.SRNCell, 1),
    "RecNN": (lambda: gr.RecNN(3, 2), gr.RecNNCell, 2),
    "RNTN": (lambda: gr.RNTN(3, 2), gr.RNTNCell, 2),
    "TreeLSTM": (lambda: gr.TreeLSTM(3, 2), gr.ChildSumTreeLSTMCell, None),
    "TreeLSTM with an arity": (
        lambda: gr.TreeLSTM(3, 2, arity=3),
        lambda d, h: gr.NaryTreeLSTMCell(d, h, 3),
        3,
    ),
    "TreeGRU": (lambda: gr.TreeGRU(3, 2), gr.TreeGRUCell, None),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("initial", [None, "per graph"])
def test_a_model_is_its_cell_over_the_structure(name, initial):
    model, make, arity = MODELS[name]
    run = trial(make, family(mixed_batch, arity), initial)
    model = model().double()
    model.cell.load_state_dict(run.cell.state_dict())
    expected = run.run()
    assert_close(model(run.x, run.structure, initial=run.initial), expected.h)
    assert_all_close(model.state(run.x, run.structure, run.initial)._asdict(), expected._asdict())


def test_a_model_of_rounds():
    run = trial(gr.TreeGRUCell, family(cyclic, None), mode="sync", rounds=4)
    model = gr.Recursive(run.cell, mode="sync", rounds=4)
    assert_close(model(run.x, run.structure), run.run().h)


@pytest.mark.parametrize("build", ACYCLIC)
def test_a_model_takes_a_structure_data_or_edge_index(build):
    structure = build(None)
    model = gr.TreeLSTM(3, 2).double()
    x = torch.randn(structure.num_nodes, 3, dtype=torch.float64)
    expected = model(x, structure)
    assert_close(model(x, gr.to_pyg(structure)), expected)
    assert_close(model(x, structure.edge_index), expected)


@pytest.mark.parametrize("arity", [2, None])
def test_a_model_takes_a_batch_collated_by_pyg(arity):
    members = [family(build, arity) for build in (one_node, isolated_nodes, tree, chain, dag)]
    model = gr.TreeLSTM(3, 2, arity).double()
    x = torch.randn(sum(member.num_nodes for member in members), 3, dtype=torch.float64)
    expected = model(x, gr.batch(members))
    data = [gr.to_pyg(member) for member in members]
    assert_close(model(x, Batch.from_data_list(data)), expected)
    (collated,) = DataLoader(data, batch_size=len(data))
    assert_close(model(x, collated), expected)


MERGES = {
    "cat": lambda a, b: torch.cat([a, b], dim=1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
}


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("build", ACYCLIC)
def test_bidirectional_is_two_runs(build, merge):
    s = family(build, None)
    up, down = trial(gr.TreeGRUCell, s), trial(gr.ChildSumTreeLSTMCell, s)
    model = gr.Bidirectional(gr.Recursive(up.cell), gr.Recursive(down.cell), merge)
    backwards = gr.dag(s.edge_index.flip(0), s.num_nodes, slot=s.slot)
    expected = MERGES[merge](up.run().h, Trial(down.cell, backwards, up.x).run().h)
    assert_close(model(up.x, s), expected)
    assert_close(gr.Reversed(gr.Recursive(down.cell))(up.x, s), Trial(down.cell, backwards, up.x).run().h)


def test_bidirectional_takes_a_module_to_merge_by():
    class Difference(torch.nn.Module):
        def forward(self, along, against):
            return along - against

    s = family(tree, None)
    run = trial(gr.TreeGRUCell, s)
    model = gr.Bidirectional(gr.Recursive(run.cell), gr.TreeGRU(3, 2).double(), Difference())
    assert_close(model(run.x, s), model.along(run.x, s) - model.against(run.x, s))

"""A readout in the schedule: one more node per graph, to which the cell is applied one step further."""

import pytest
import torch

import graphrec as gr
from tests.tolerances import assert_close
from tests.trials import Trial, trial

BATCHES = {
    "chains": gr.chains([3, 1, 4]),
    "trees": gr.batch([gr.tree(parents=[2, 2, -1]), gr.tree(parents=[-1])]),
    "graphs without nodes": gr.chains([0, 2, 0]),
}


@pytest.mark.parametrize("s", BATCHES.values(), ids=BATCHES)
def test_which_nodes_and_edges_there_are(s):
    r = gr.readout.with_readout(s)
    assert (r.num_nodes, r.num_edges) == (s.num_nodes + s.num_graphs, s.num_edges + s.num_nodes)
    assert torch.equal(r.edge_index[:, : s.num_edges], s.edge_index)
    assert r.source[s.num_edges :].tolist() == list(range(s.num_nodes))
    assert torch.equal(r.target[s.num_edges :], s.num_nodes + s.graph)
    assert torch.equal(r.graph, torch.cat([s.graph, torch.arange(s.num_graphs)]))
    assert r.kind.tolist() == [0] * s.num_nodes + [1] * s.num_graphs
    assert gr.schedule(r).distinct_slots


def test_what_is_carried():
    s = gr.tree("(X a b)").replace(
        relation=torch.tensor([1, 2]),
        edge_attr=torch.ones(2, 3),
        edge_weight=torch.tensor([3.0, 5.0]),
        kind=torch.tensor([4, 0, 0]),
    )
    r = gr.readout.with_readout(s)
    assert r.relation.tolist() == [1, 2, 3, 3, 3]
    assert r.edge_attr.tolist() == [[1, 1, 1]] * 2 + [[0, 0, 0]] * 3
    assert r.edge_weight.tolist() == [3, 5, 1, 1, 1]
    assert r.kind.tolist() == [4, 0, 0, 5]
    assert r.tokens == ("a", "b", None, None)
    assert r.labels == (None, None, "X", None)
    assert r.relation_names is r.kind_names is None


def test_names_are_carried_and_tell_the_new_numbers():
    names = ["a", "b", "c", "d"]
    s = gr.chain(2).replace(relation=torch.tensor([1]), relation_names=names)
    r = gr.readout.with_readout(s.replace(kind=torch.tensor([0, 2]), kind_names=names))
    assert r.relation.tolist() == [1, 4, 4]
    assert r.kind.tolist() == [0, 2, 4]
    assert r.relation_names == r.kind_names == (*names, "readout")


@pytest.mark.parametrize("make", [gr.ChildSumTreeLSTMCell, gr.TreeGRUCell])
@pytest.mark.parametrize("s", BATCHES.values(), ids=BATCHES)
def test_it_is_the_cell_one_step_further(make, s):
    r = gr.readout.with_readout(s)
    run = trial(make, r)
    state = run.run()

    # The nodes themselves do not see the readout.
    alone = Trial(run.cell, s, run.x[: s.num_nodes]).run()
    assert_close(state.h[: s.num_nodes], alone.h)

    # Each graph's readout is the root of a tree of depth one, whose leaves have the states of the nodes.
    for graph in range(s.num_graphs):
        nodes = (s.graph == graph).nonzero().flatten()
        star = gr.dag(
            torch.stack([torch.arange(len(nodes)), torch.full_like(nodes, len(nodes))]), len(nodes) + 1
        )
        leaves_given = given_states(run.cell, [field[nodes] for field in alone])
        x = torch.cat([run.x[nodes], run.x[s.num_nodes + graph][None]])
        expected = gr.run(leaves_given, gr.schedule(star), x)
        assert_close(state.h[s.num_nodes + graph], expected.h[-1])


def given_states(cell, fields):
    """The cell, but for leaves, whose states are given."""

    class Given(gr.Cell):
        State = cell.State
        hidden = cell.hidden

        def project(self, x):
            return cell.project(x)

        def forward(self, x, inbox, own):
            if inbox.num_edges or not len(fields[0]):
                return cell(x, inbox, own)
            return cell.State(*fields)

    return Given()


def test_gradients_flow_through_the_readout_to_all_nodes():
    s = gr.chains([3, 2])
    run = trial(gr.ChildSumTreeLSTMCell, gr.readout.with_readout(s))
    read = run.run().h[s.num_nodes :]
    (grad,) = torch.autograd.grad(read.sum(), run.x)
    assert (grad != 0).any(1).all()

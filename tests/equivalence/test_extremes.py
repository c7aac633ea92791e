"""Many children, many levels, many graphs: sizes at which a shortcut would show.

(One node, no edges, isolated nodes, duplicate edges, empty slots, inputs at inner nodes, and mixed depths are
among the families of `tests/zoo.py`, and so in every general test.)
"""

import pytest
import torch
from torch import nn

import graphrec as gr
from tests import oracles, user_cells
from tests.tolerances import assert_close
from tests.trials import assert_agrees_with_oracle, assert_is_plain, outcome, plain_operators, trial
from tests.zoo import CELLS, GRAPH_CELLS, chain, family, tree


def star(children):
    leaves = torch.arange(1, children + 1)
    return gr.dag(torch.stack([leaves, torch.zeros_like(leaves)]))


@pytest.mark.parametrize(
    ("make", "oracle"),
    [(gr.ChildSumTreeLSTMCell, oracles.child_sum_tree_lstm), (gr.TreeGRUCell, oracles.tree_gru)],
)
def test_a_thousand_children(make, oracle):
    assert_agrees_with_oracle(trial(make, star(1000)), oracle)


@pytest.mark.parametrize("make", [user_cells.Mean, user_cells.Max, user_cells.Attention])
def test_a_thousand_messages_gathered_otherwise(make):
    assert_is_plain(trial(make, star(1000)).outcome)


def test_a_thousand_targets():
    assert_agrees_with_oracle(
        trial(gr.SRNCell, star(1000).reverse().replace(slot=torch.zeros(1000).long())), oracles.srn
    )


def test_a_thousand_graphs():
    s = gr.chains([1, 3] * 500)
    assert_agrees_with_oracle(trial(gr.ChildSumTreeLSTMCell, s, "per graph"), oracles.child_sum_tree_lstm)


def assert_chain_is_torch_rnn(length):
    """A sequence through `SRN` and through `torch.nn.RNN` with the same weights: h and the gradients of x and U."""
    torch.manual_seed(0)
    net = nn.RNN(2, 3, batch_first=True).double()
    model = gr.SRN(2, 3).double()
    with torch.no_grad():
        model.cell.input.weight.copy_(net.weight_ih_l0)
        model.cell.input.bias.copy_(net.bias_ih_l0 + net.bias_hh_l0)
        model.cell.recurrent.weight.copy_(net.weight_hh_l0)
    x = torch.randn(length, 2, dtype=torch.float64, requires_grad=True)
    ours, theirs = model(x, gr.chain(length)), net(x[None])[0][0]
    assert_close(ours, theirs)
    weights = [model.cell.recurrent.weight], [net.weight_hh_l0]
    grads = torch.autograd.grad(ours.sum(), [x, *weights[0]])
    expected = torch.autograd.grad(theirs.sum(), [x, *weights[1]])
    for grad, other in zip(grads, expected, strict=True):
        assert_close(grad, other)


def test_a_chain_longer_than_python_recurses():
    assert_chain_is_torch_rnn(3_000)


@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand():
    assert_chain_is_torch_rnn(100_000)


@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand_through_the_loop():
    with plain_operators():
        assert_chain_is_torch_rnn(100_000)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # torch's own word for such a layer
@pytest.mark.parametrize("case", CELLS + GRAPH_CELLS, ids=lambda case: case.name)
@pytest.mark.parametrize("mode", ["async", "sync"])
def test_inputs_of_no_width(case, mode):
    """As torch's layers take them: the states are those of the biases."""
    changes_the_width = case in GRAPH_CELLS and case.name not in ("GGNN", "MPNN")
    if case.name == "AR" or (mode == "async" and changes_the_width):
        return  # its inputs are its outputs
    torch.manual_seed(0)
    s = family(chain if case.arity == 1 else tree, case.arity)
    cell = no_inputs(case)
    x = torch.zeros(s.num_nodes, cell.inputs or 0, dtype=torch.float64, requires_grad=True)
    plan = gr.schedule(s, mode, 1 if mode == "sync" else None)
    assert_is_plain(lambda: outcome(gr.run(cell, plan, x), {"x": x, **dict(cell.named_parameters())}))


def no_inputs(case):
    made = {"GGNN": gr.GGNNCell, "GIN": gr.GINCell, "GCN": gr.GCNCell, "SAGE": gr.SAGECell, "GAT": gr.GATCell}
    if case in CELLS:
        return case.make(0, 2).double()
    if case.name == "MPNN":
        return gr.MPNNCell(0, 2, edges=user_cells.EDGE_FEATURES).double()
    return made.get(case.name, gr.GATv2Cell)(0, 2).double()

"""A recursive network on a chain is the simple recurrent network.

h_v = f(W x_v + sum_k U_k h_{child k} + b) on a tree whose nodes have one child each is
h_t = f(W x_t + U h_{t-1} + b) on a sequence: the child is the step before. So a sequence and every way to
write a tree that is a chain compile to one schedule, and the two cells with the same weights have the same
outputs and the same gradients of x, of all weights, and of the initial state. (The proof in symbols is in
`test_chain_recnn_is_srn_in_symbols.py`.)
"""

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, trial


def path(length):
    nodes = torch.arange(length)
    return torch.stack([nodes[:-1], nodes[1:]])


def brackets(length):
    """`(0 (0 (0 w)))`"""
    return "(0 " * length + "w" + ")" * length


def nested_list(length):
    """`[["w"]]`; a leaf alone is its token."""
    node = "w"
    for _ in range(length - 1):
        node = [node]
    return node


CHAINS = {
    "parents, leaf first": lambda t: gr.tree(parents=[*range(1, t), -1]),
    "parents, root first": lambda t: gr.tree(parents=[-1, *range(t - 1)]),
    "brackets": lambda t: gr.tree(brackets(t)),
    "nested list": lambda t: gr.tree(nested_list(t)),
    "edges of a tree": lambda t: gr.tree(path(t)),
    "dag": lambda t: gr.dag(path(t), t),
    "dag, edges listed backwards": lambda t: gr.dag(path(t).flip(1), t),
    "networkx": lambda t: gr.from_networkx(nx.path_graph(t, create_using=nx.DiGraph)),
    "PyG": lambda t: gr.from_pyg(gr.to_pyg(gr.chain(t))),
    "grid of one layer": lambda t: gr.grid([t], layers=1),
    "reverse of a chain that runs backwards": lambda t: gr.dag(path(t).flip(0), t).reverse(),
    "batch of one": lambda t: gr.batch([gr.chain(t)]),
}


@pytest.mark.parametrize("form", CHAINS)
@pytest.mark.parametrize("length", [1, 2, 7])
def test_every_form_of_a_chain_has_one_schedule(form, length):
    chain = CHAINS[form](length)
    assert chain.num_nodes == length
    assert gr.schedule(chain) == gr.schedule(gr.chain(length))
    if form != "parents, root first":  # a round visits nodes as they are numbered, here from the end
        assert gr.schedule(chain, "sync", 3) == gr.schedule(gr.chain(length), "sync", 3)


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), data=st.data())
def test_batches_of_chains_in_any_form_have_one_schedule(lengths, data):
    forms = [data.draw(st.sampled_from(sorted(CHAINS.keys() - {"grid of one layer"}))) for _ in lengths]
    members = [CHAINS[form](length) for form, length in zip(forms, lengths, strict=True)]
    bare = [gr.dag(member.edge_index, member.num_nodes, slot=member.slot) for member in members]
    assert gr.schedule(gr.batch(bare)) == gr.schedule(gr.chains(lengths))


def srn_and_recnn(structure, arity, inputs, hidden, initial, activation):
    """Two trials on the same input; of the second cell's weights, those of slot 0 are the first's."""
    srn = trial(lambda d, h: gr.SRNCell(d, h, activation), structure, initial, inputs=inputs, hidden=hidden)
    cell = gr.RecNNCell(inputs, hidden, arity, activation).double()
    with torch.no_grad():
        cell.input.weight.copy_(srn.cell.input.weight)
        cell.input.bias.copy_(srn.cell.input.bias)
        cell.recurrent.weight[:, :hidden] = srn.cell.recurrent.weight
    return srn, Trial(cell, structure, srn.x, srn.initial)


@given(
    structure=strategies.chains(),
    arity=st.integers(1, 3),
    inputs=strategies.sizes,
    hidden=strategies.sizes,
    initial=st.sampled_from([None, "per graph", "per node", "for all"]),
    activation=st.sampled_from(["tanh", "logistic", "relu"]),
)
def test_recnn_with_the_srns_weights_has_its_outputs_and_gradients(
    structure, arity, inputs, hidden, initial, activation
):
    srn, recnn = srn_and_recnn(structure, arity, inputs, hidden, initial, activation)
    expected, actual = srn.outcome(), recnn.outcome()
    of_slots = actual["gradient of recurrent.weight"]
    if of_slots is not None:
        actual["gradient of recurrent.weight"] = of_slots[:, :hidden]
        assert not of_slots[:, hidden:].any(), "the weights of slots that a chain leaves empty got a gradient"
    assert_all_close(actual, expected)


@pytest.mark.parametrize("form", CHAINS)
def test_recnn_on_a_tree_that_is_a_chain_is_the_srn_on_the_sequence(form):
    length = 5
    srn, _ = srn_and_recnn(gr.chain(length), 1, inputs=3, hidden=2, initial=None, activation="tanh")
    tree = CHAINS[form](length)
    position = gr.levels(tree)  # in time, of each node
    recnn = gr.RecNNCell(3, 2, arity=1).double()
    recnn.load_state_dict(srn.cell.state_dict())
    h = gr.run(recnn, gr.schedule(tree), srn.x[position]).h
    expected = srn.outcome()
    actual = srn.outcome(lambda: srn.cell.State(h[torch.argsort(position)]))
    names = ["value of h", "gradient of x"]
    assert_all_close({name: actual[name] for name in names}, {name: expected[name] for name in names})

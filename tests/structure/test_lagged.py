"""Lag edges: a node sees several earlier ones, and an initial state stands for what lies before the beginning."""

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.schedule import with_initial
from tests import oracles, strategies
from tests.assertions import assert_edges
from tests.tolerances import assert_close
from tests.trials import assert_agrees_with_oracle, trial

lengths_of_sequences = st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any)
lists_of_lags = st.lists(st.integers(1, 7), min_size=1, max_size=3, unique=True)


def edges_by_definition(lengths, lags):
    """From node t - lags[j] to node t, in slot j."""
    first, edges = 0, []
    for length in lengths:
        edges += [
            (first + t - lag, first + t, slot)
            for t in range(length)
            for slot, lag in enumerate(lags)
            if t >= lag
        ]
        first += length
    return edges


def test_edges():
    s = gr.lagged([4, 2], [1, 3])
    assert_edges(s, [(0, 1, 0), (1, 2, 0), (2, 3, 0), (0, 3, 1), (4, 5, 0)])
    assert s.graph.tolist() == [0, 0, 0, 0, 1, 1]
    assert s.past.tolist() == [2] * 6
    assert s.num_graphs == 2


def test_slots_follow_the_order_in_which_lags_are_listed():
    assert_edges(gr.lagged([4], [3, 1]), [(0, 3, 0), (0, 1, 1), (1, 2, 1), (2, 3, 1)])


@given(lengths=lengths_of_sequences, lags=lists_of_lags)
def test_edges_by_definition(lengths, lags):
    s = gr.lagged(lengths, lags)
    assert_edges(s, edges_by_definition(lengths, lags))
    assert s.graph.tolist() == gr.chains(lengths).graph.tolist()
    assert s.num_graphs == len(lengths)


@pytest.mark.parametrize(
    "lags", [3, torch.tensor(3), [1, 2, 3], (1, 2, 3), torch.tensor([1, 2, 3]), range(1, 4)]
)
def test_a_number_of_lags_is_that_many(lags):
    assert gr.lagged([5, 2], lags) == gr.lagged([5, 2], [1, 2, 3])


def test_one_lag_of_one_is_a_chain_that_knows_its_past():
    s = gr.lagged([3, 1], 1)
    assert s.replace(past=None) == gr.chains([3, 1])
    assert gr.schedule(s) == gr.schedule(gr.chains([3, 1]))
    assert with_initial(gr.schedule(s)) == with_initial(gr.schedule(gr.chains([3, 1])))


def test_a_lag_that_is_longer_than_the_sequence_leaves_its_slot_empty():
    s = gr.lagged([3, 2], [1, 50])
    assert_edges(s, [(0, 1, 0), (1, 2, 0), (3, 4, 0)])
    assert s.past.tolist() == [2] * 5
    assert gr.lagged([3, 2], 3).num_edges == 2 + 1 + 1
    assert gr.lagged([1, 1], [1]).num_edges == 0


@given(lengths=lengths_of_sequences, lags=lists_of_lags)
def test_from_chains_is_from_their_lengths(lengths, lags):
    assert gr.lagged(gr.chains(lengths), lags) == gr.lagged(lengths, lags)


@given(lengths=lengths_of_sequences, lags=lists_of_lags)
def test_lags_of_reversed_chains_look_ahead(lengths, lags):
    s = gr.lagged(gr.chains(lengths).reverse(), lags)
    assert_edges(s, [(target, source, slot) for source, target, slot in edges_by_definition(lengths, lags)])
    assert_edges(
        gr.lagged(lengths, lags).reverse(), zip(*s.edge_index.tolist(), s.slot.tolist(), strict=True)
    )
    assert with_initial(gr.schedule(s)) == with_initial(gr.schedule(gr.lagged(lengths, lags).reverse()))


def test_lags_go_on_from_whatever_a_structure_carries():
    s = gr.chain(4).replace(
        tokens=("a", "b", None, "d"),
        kind=torch.tensor([0, 1, 0, 1]),
        labels=("p", "q", "r", "s"),
        relation=torch.tensor([1, 1, 1]),
        edge_attr=torch.ones(3, 2),
    )
    t = gr.lagged(s, 2)
    assert_edges(t, [(0, 1, 0), (1, 2, 0), (2, 3, 0), (0, 2, 1), (1, 3, 1)])
    assert t.tokens == s.tokens
    assert t.labels == s.labels
    assert t.kind.tolist() == s.kind.tolist()
    assert t.relation is t.edge_attr is None


def test_a_tree_from_the_root_down_has_one_predecessor_each():
    """A node's lags are its parent, its parent's parent, … ."""
    s = gr.lagged(gr.tree(parents=[-1, 0, 0, 1, 3]).reverse(), [2, 1])
    assert_edges(s, [(0, 1, 1), (0, 2, 1), (1, 3, 1), (3, 4, 1), (0, 3, 0), (1, 4, 0)])


def test_lags_go_round_in_a_circle():
    s = gr.lagged(gr.dag([[0, 1, 2], [1, 2, 0]]), [1, 4])
    assert_edges(s, [(0, 1, 0), (1, 2, 0), (2, 0, 0), (0, 1, 1), (1, 2, 1), (2, 0, 1)])


def top_down(structure):
    """A tree from the root down; its levels are known one way, and the other way."""
    return gr.transforms.AddLevels()(gr.to_pyg(structure.reverse()))


@given(
    of=strategies.chains()
    | strategies.chains().map(lambda s: s.reverse())
    | strategies.trees().map(lambda s: gr.from_pyg(top_down(s))),
    lags=lists_of_lags,
)
def test_known_levels_are_those_that_are_computed(of, lags):
    s = gr.lagged(of, lags)
    bare = gr.dag(s.edge_index, s.num_nodes)
    assert s.known_level is not None
    assert s.known_level_reversed is not None
    assert torch.equal(s.known_level, gr.levels(bare))
    assert torch.equal(s.known_level_reversed, gr.levels(bare.reverse()))


@given(lengths=lengths_of_sequences, lags=lists_of_lags)
def test_a_batch_is_its_members(lengths, lags):
    batch = gr.batch([gr.lagged([length], lags) for length in lengths])
    s = gr.lagged(lengths, lags)
    assert_edges(batch, zip(*s.edge_index.tolist(), s.slot.tolist(), strict=True))
    for name in ("past", "graph"):
        assert torch.equal(getattr(batch, name), getattr(s, name))
    assert batch.num_graphs == s.num_graphs
    assert with_initial(gr.schedule(batch)) == with_initial(gr.schedule(s))


STRUCTURES = {
    "lags": gr.lagged([4, 0, 2], [1, 3]),
    "grids": gr.grid([2, 3], 2),
    "mixed": gr.dag([[0, 1, 1], [1, 2, 3]]).replace(past=torch.tensor([0, 3, 1, 2])),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_past_survives_every_way_there_and_back(name):
    s = STRUCTURES[name]
    assert s.past is not None
    assert torch.equal(gr.from_pyg(gr.to_pyg(s)).past, s.past)
    assert torch.equal(gr.from_networkx(gr.to_networkx(s)).past, s.past)
    assert torch.equal(s.reverse().past, s.past)
    assert torch.equal(gr.batch([s, s]).past, s.past.repeat(2))
    assert torch.equal(s.replace(tokens=("w",) * s.num_nodes).past, s.past)
    assert nx.get_node_attributes(gr.to_networkx(s), "past") == dict(enumerate(s.past.tolist()))
    assert s != s.replace(past=None)


def test_the_past_survives_a_data_loader():
    members = [gr.lagged([4], [1, 3]), gr.lagged([2], 2), STRUCTURES["mixed"]]
    expected = gr.batch(members)
    data = [gr.to_pyg(member) for member in members]
    (collated,) = DataLoader(data, batch_size=len(data))
    assert gr.from_pyg(collated) == expected
    assert [gr.from_pyg(one) for one in Batch.from_data_list(data).to_data_list()] == members


def test_a_member_without_a_past_cannot_be_batched_with_one_that_has_it():
    with pytest.raises(ValueError, match="member 1 of the batch has no past"):
        gr.batch([gr.lagged([2], 1), gr.chain(2)])


PASTS = {
    "lags": lambda: gr.lagged([5, 1, 2], [2, 1, 4]),
    "lags to come": lambda: gr.lagged([5, 1, 2], [1, 3]).reverse(),
    "a grid": lambda: gr.grid([3, 1], 2),
    "another past at each node": lambda: gr.dag([[0, 1, 1], [1, 2, 3]], slot=torch.tensor([1, 0, 2])).replace(
        past=torch.tensor([0, 3, 1, 2])
    ),
    "no past anywhere": lambda: gr.dag([[0, 1], [1, 2]]).replace(past=torch.zeros(3, dtype=torch.long)),
    "none of it missing": lambda: gr.dag([[0], [1]]).replace(past=torch.tensor([0, 1])),
}
CELLS = {
    "sums": (gr.ChildSumTreeLSTMCell, oracles.child_sum_tree_lstm),
    "slots": (lambda d, h: gr.NaryTreeLSTMCell(d, h, 3), oracles.nary_tree_lstm),
}


@pytest.mark.parametrize("initial", ["per node", "per graph", "for all"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", PASTS)
def test_an_initial_state_stands_for_every_slot_of_the_past_that_is_missing(name, cell, initial):
    make, oracle = CELLS[cell]
    assert_agrees_with_oracle(trial(make, PASTS[name](), initial), oracle)


def test_what_stands_for_the_past_by_hand():
    """A cell that adds up its slots with weights 1, 10 and 100."""

    class Adds(gr.Cell):
        State = gr.SRNCell.State

        def forward(self, x, inbox, own):
            return self.State(x + (inbox.slots(3) * torch.tensor([1.0, 10.0, 100.0])[:, None]).sum(1))

    cell, x, h0 = Adds(hidden=1), torch.zeros(4, 1), torch.tensor([[1.0]])
    s = gr.lagged([3, 1], [1, 2, 7])
    assert_close(gr.run(cell, gr.schedule(s), x, h0).h.flatten(), torch.tensor([111.0, 221.0, 1431.0, 111.0]))
    assert_close(gr.run(cell, gr.schedule(s.replace(past=None)), x, h0).h[0], torch.tensor([1.0]))
    per_node = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    expected = torch.tensor([111.0, 111 + 220.0, 331 + 1110 + 300.0, 444.0])
    assert_close(gr.run(cell, gr.schedule(s), x, per_node).h.flatten(), expected)
    # In rounds, the initial state is round 0, and nothing stands for what is missing.
    assert_close(gr.run(cell, gr.schedule(s, "sync", 1), x, h0).h.flatten(), torch.tensor([0, 1.0, 11.0, 0]))

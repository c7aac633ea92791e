"""Chains, grids and DAGs: which nodes and edges there are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.assertions import assert_edges


def assert_graphs(structure, graphs):
    assert structure.graph.tolist() == graphs


def test_chain():
    s = gr.chain(3)
    assert (s.num_nodes, s.num_edges, s.num_graphs) == (3, 2, 1)
    assert_edges(s, [(0, 1, 0), (1, 2, 0)])
    assert_graphs(s, [0, 0, 0])


def test_a_chain_of_one_node_has_no_edges():
    assert gr.chain(1).num_edges == 0


@pytest.mark.parametrize("form", [list, tuple, torch.tensor, lambda n: torch.tensor(n, dtype=torch.int32)])
def test_chains(form):
    s = gr.chains(form([2, 0, 3, 1]))
    assert (s.num_nodes, s.num_graphs) == (6, 4)
    assert_edges(s, [(0, 1, 0), (2, 3, 0), (3, 4, 0)])
    assert_graphs(s, [0, 0, 2, 2, 2, 3])


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_chains_are_a_batch_of_chains(lengths):
    assert gr.chains(lengths) == gr.batch([gr.chain(length) for length in lengths])


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_chains_step_by_step_are_the_rows_of_torchs_containers(lengths):
    s = gr.chains(lengths, batch_first=False)
    assert s == gr.Structure(
        s.num_nodes,
        s.edge_index,
        slot=torch.zeros(s.num_edges, dtype=torch.long),
        graph=s.graph,
        num_graphs=len(lengths),
    )
    # What each node is, by its number sequence after sequence.
    original = torch.argsort(
        torch.cat([torch.arange(n) * len(lengths) for n in lengths]) + gr.chains(lengths).graph
    )
    assert_graphs(s, gr.chains(lengths).graph[original].tolist())
    edges = {(a, b) for a, b in original[s.edge_index].t().tolist()}
    assert edges == {(a, b) for a, b in gr.chains(lengths).edge_index.t().tolist()}
    long = sorted((n for n in lengths if n), reverse=True)
    if long:
        rows = gr.chains(long)
        packed = gr.to_packed(torch.arange(rows.num_nodes), rows)
        assert (gr.chains(long, batch_first=False).graph == rows.graph[packed.data]).all()


def test_grid():
    s = gr.grid([3], layers=2)
    #  3 → 4 → 5   layer 1
    #  ↑   ↑   ↑
    #  0 → 1 → 2   layer 0
    assert_edges(s, [(0, 1, 0), (1, 2, 0), (3, 4, 0), (4, 5, 0), (0, 3, 1), (1, 4, 1), (2, 5, 1)])
    assert s.kind.tolist() == [0, 0, 0, 1, 1, 1]


def test_grids_of_several_lengths():
    s = gr.grid([1, 0, 2], layers=2)
    assert_edges(s, [(0, 1, 1), (2, 3, 0), (4, 5, 0), (2, 4, 1), (3, 5, 1)])
    assert_graphs(s, [0, 0, 2, 2, 2, 2])
    assert s.kind.tolist() == [0, 1, 0, 0, 1, 1]


@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3), layers=st.integers(1, 3))
def test_grids_are_a_batch_of_grids(lengths, layers):
    batch = gr.batch([gr.grid([length], layers) for length in lengths])
    grid = gr.grid(lengths, layers)
    assert_edges(grid, zip(*batch.edge_index.tolist(), batch.slot.tolist(), strict=True))
    assert_graphs(grid, batch.graph.tolist())
    assert grid.kind.tolist() == batch.kind.tolist()


@given(
    structure=strategies.chains()
    | st.builds(gr.grid, st.lists(st.integers(1, 4), min_size=1), st.integers(1, 3))
)
def test_levels_that_builders_know_are_those_that_are_computed(structure):
    bare = gr.dag(structure.edge_index, structure.num_nodes)
    assert torch.equal(gr.levels(structure), gr.levels(bare))
    assert torch.equal(gr.levels(structure.reverse()), gr.levels(bare.reverse()))


@pytest.mark.parametrize("form", [list, torch.tensor, lambda e: torch.tensor(e, dtype=torch.int32)])
def test_dag(form):
    s = gr.dag(form([[0, 1, 0, 3], [2, 2, 1, 2]]))
    assert s.num_nodes == 4
    # Edges into a node fill its slots in the order in which they are listed.
    assert list(zip(*s.edge_index.tolist(), s.slot.tolist(), strict=True)) == [
        (0, 2, 0),
        (1, 2, 1),
        (0, 1, 0),
        (3, 2, 2),
    ]


def test_dag_with_isolated_nodes_and_without_edges():
    assert gr.dag([[0], [1]], num_nodes=5).num_nodes == 5
    for empty in ([[], []], torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.long)):
        s = gr.dag(empty, num_nodes=3)
        assert (s.num_nodes, s.num_edges) == (3, 0)


def test_dag_carries_what_it_is_given():
    carried = {
        "slot": torch.tensor([1, 0]),
        "relation": torch.tensor([5, 7]),
        "edge_attr": torch.randn(2, 3),
        "edge_weight": torch.rand(2),
        "kind": torch.tensor([0, 1, 0]),
    }
    s = gr.dag([[0, 1], [2, 2]], **carried)
    for name, value in carried.items():
        assert getattr(s, name) is value


@given(structure=strategies.graphs())
def test_default_slots_count_the_edges_into_each_node(structure):
    seen = {}
    for target, slot in zip(structure.target.tolist(), structure.slot.tolist(), strict=True):
        assert slot == seen.get(target, 0)
        seen[target] = slot + 1


def test_duplicate_edges_stay_two_edges():
    s = gr.dag([[0, 0], [1, 1]])
    assert_edges(s, [(0, 1, 0), (0, 1, 1)])


@pytest.mark.parametrize("number", [np.int64(3), torch.tensor(3)])
def test_whole_numbers_of_other_libraries(number):
    s = gr.dag([[0], [1]], number)
    assert type(s.num_nodes) is int
    assert s == gr.dag([[0], [1]], 3)
    assert gr.chain(number) == gr.chain(3)
    assert gr.grid([2], number) == gr.grid([2], 3)

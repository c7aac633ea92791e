"""What must hold for every schedule: each node once, its sources before it, at the level of its longest path."""

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from graphrec.schedule import with_initial
from tests import strategies

acyclic = (
    strategies.chains()
    | strategies.trees()
    | strategies.trees().map(gr.Structure.reverse)
    | strategies.dags()
)
any_structure = acyclic | strategies.graphs()


def longest_paths(structure):
    """To each node, by dynamic programming over networkx's order."""
    graph = nx.MultiDiGraph(gr.to_networkx(structure))
    longest = {}
    for node in nx.topological_sort(graph):
        longest[node] = max((longest[source] + 1 for source, _ in graph.in_edges(node)), default=0)
    return [longest[node] for node in range(structure.num_nodes)]


@given(structure=acyclic)
def test_the_level_of_a_node_is_the_length_of_the_longest_path_to_it(structure):
    assert gr.levels(structure).tolist() == longest_paths(structure)


@given(structure=acyclic)
def test_async_visits_every_node_once_and_after_its_sources(structure):
    plan = gr.schedule(structure)
    visited = [plan.nodes(step).tolist() for step in plan.steps]
    assert sorted(node for nodes in visited for node in nodes) == list(range(structure.num_nodes))
    step_of = {node: number for number, nodes in enumerate(visited) for node in nodes}
    for source, target in structure.edge_index.t().tolist():
        assert step_of[source] < step_of[target]
    assert step_of == dict(enumerate(longest_paths(structure)))


@given(structure=any_structure, rounds=st.integers(1, 3))
def test_sync_visits_every_node_in_every_round(structure, rounds):
    plan = gr.schedule(structure, "sync", rounds)
    assert len(plan.steps) == rounds
    for step in plan.steps:
        assert plan.nodes(step).tolist() == list(range(structure.num_nodes))


def inboxes(plan, rows_of_round):
    """Per step, what each node receives: a list of `(source, slot, edge)`, read off the compiled plan."""
    for step in plan.steps:
        received = {node: [] for node in plan.nodes(step).tolist()}
        for e in range(step.edges.start, step.edges.stop):
            target = int(plan.perm[step.nodes.start + int(plan.target[e])])
            received[target].append(
                (rows_of_round(step, int(plan.source[e])), int(plan.slot[e]), int(plan.edge[e]))
            )
        yield step, received


def expected_inboxes(structure):
    received = {node: [] for node in range(structure.num_nodes)}
    for edge, (source, target) in enumerate(structure.edge_index.t().tolist()):
        received[target].append((source, int(structure.slot[edge]), edge))
    return {node: sorted(inbox, key=lambda message: message[1]) for node, inbox in received.items()}


@given(structure=acyclic | strategies.dags(arity=3) | strategies.trees(arity=3))
def test_async_inboxes_hold_the_edges_in_the_order_of_their_slots(structure):
    plan = gr.schedule(structure)
    found = {}
    for _, received in inboxes(plan, lambda step, row: int(plan.perm[row])):
        found |= received
    assert found == expected_inboxes(structure)


@given(structure=strategies.graphs())
def test_sync_inboxes_are_the_same_in_every_round(structure):
    plan = gr.schedule(structure, "sync", 2)
    expected = expected_inboxes(structure)
    for _, received in inboxes(plan, lambda step, row: int(plan.perm[row])):
        assert received == expected


@given(structure=acyclic)
def test_an_initial_state_is_a_predecessor_of_each_node_that_has_none(structure):
    plan = with_initial(gr.schedule(structure))
    first = [node for node in range(structure.num_nodes) if node not in structure.target.tolist()]
    assert sorted(plan.boundary.tolist()) == first
    for step, received in inboxes(plan, lambda step, row: row):
        if step.number == 0:
            for node, ((row, slot, edge),) in received.items():
                assert (int(plan.boundary[row]), slot, edge) == (node, 0, -1)


@pytest.mark.parametrize("structure", [gr.dag(torch.zeros(2, 0), 3), gr.chain(1)])
def test_without_edges_all_is_one_step(structure):
    plan = gr.schedule(structure)
    assert len(plan.steps) == 1
    assert plan.nodes(plan.steps[0]).tolist() == list(range(structure.num_nodes))


def test_mixed_depths_share_their_first_levels():
    s = gr.batch([gr.chain(4), gr.tree(parents=[2, 2, -1]), gr.chain(1)])
    assert gr.levels(s).tolist() == [0, 1, 2, 3, 0, 0, 1, 0]
    assert [len(gr.schedule(s).nodes(step)) for step in gr.schedule(s).steps] == [4, 2, 1, 1]

"""Orders for graphs that have none: by rank, by colour, by distance."""

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close, assert_close
from tests.trials import assert_is_plain, gradients


def undirected(graph):
    return gr.from_networkx(graph)


KARATE = undirected(nx.karate_club_graph())


@given(s=strategies.graphs(max_nodes=12), seed=st.integers(0, 3))
def test_no_edge_joins_two_of_a_colour(s, seed):
    colour = gr.colouring(s, seed)
    joins = s.source != s.target
    assert not bool((colour[s.source] == colour[s.target])[joins].any())
    neighbours = [
        len({*s.source[s.target == v].tolist(), *s.target[s.source == v].tolist()} - {v})
        for v in range(s.num_nodes)
    ]
    assert bool((colour <= torch.tensor(neighbours)).all())  # the first that is free
    assert sorted(set(colour.tolist())) == list(range(int(colour.max()) + 1))
    assert torch.equal(colour, gr.colouring(s, seed))


def test_a_ring_of_even_length_may_have_three_colours_and_a_star_has_two():
    assert int(gr.colouring(undirected(nx.star_graph(20))).max()) == 1
    assert int(gr.colouring(undirected(nx.cycle_graph(20))).max()) <= 2


@given(s=strategies.graphs(max_nodes=12), data=st.data())
def test_distances_are_those_of_networkx(s, data):
    roots = data.draw(st.lists(st.integers(0, s.num_nodes - 1), min_size=1, max_size=3))
    graph = nx.DiGraph(s.edge_index.t().tolist())
    graph.add_nodes_from(range(s.num_nodes))
    expected = nx.multi_source_dijkstra_path_length(graph, set(roots), weight=None)
    if len(expected) < s.num_nodes:
        with pytest.raises(ValueError, match="no root reaches node"):
            gr.breadth_first(s, roots)
    else:
        assert gr.breadth_first(s, roots).tolist() == [expected[v] for v in range(s.num_nodes)]


def gauss_seidel(cell, x, s, rank, sweeps):
    """One rank after the other, each node reading what stands there at the time."""
    h = list(x.new_zeros(s.num_nodes, cell.hidden))
    for _ in range(sweeps):
        for value in sorted(set(rank.tolist())):
            new = {}
            for v in (rank == value).nonzero().flatten().tolist():
                total = sum((h[u] for u in s.source[s.target == v].tolist()), x.new_zeros(cell.hidden))
                new[v] = torch.relu(cell.input(x[v]) + cell.recurrent.weight @ total)
            for v, state in new.items():
                h[v] = state
    return torch.stack(h)


ORDERS = {
    "rank": lambda s: torch.arange(s.num_nodes).flip(0),
    "ranks that tie": lambda s: torch.arange(s.num_nodes) // 5,
    "colours": gr.colouring,
    "distance": lambda s: gr.breadth_first(s, [0, 33]),
}


@pytest.mark.parametrize("sweeps", [None, 1, 3])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_sweeps_are_gauss_seidel(order, sweeps):
    torch.manual_seed(0)
    cell = gr.DAGRNNCell(3, 2).double()
    with torch.no_grad():
        cell.recurrent.weight *= 0.2
    x = torch.randn(34, 3, dtype=torch.float64, requires_grad=True)
    model = gr.Recursive(cell, rounds=sweeps, order=order)
    h = model(x, KARATE)
    expected = gauss_seidel(cell, x, KARATE, order(KARATE), sweeps or 1)
    assert_close(h, expected)
    inputs = {"x": x, **dict(cell.named_parameters())}
    assert_all_close(gradients((h,), inputs), gradients((expected,), inputs))
    assert_is_plain(lambda: {"h": model(x, KARATE)})


def test_one_step_per_colour():
    plan = gr.schedule(KARATE, order=gr.colouring)
    assert len(plan.steps) == int(gr.colouring(KARATE).max()) + 1
    assert "in a given order, sweeps=1" in repr(plan)


def test_initial_states_are_what_the_first_sweep_reads():
    torch.manual_seed(0)
    cell = gr.DAGRNNCell(3, 2).double()
    x = torch.randn(34, 3, dtype=torch.float64)
    plan = gr.schedule(KARATE, order=gr.colouring)
    half = gr.run(cell, plan, x)
    assert_close(
        gr.run(cell, plan, x, half).h, gr.run(cell, gr.schedule(KARATE, order=gr.colouring, rounds=2), x).h
    )


def test_an_order_along_the_edges_of_a_dag_is_the_dependency_order():
    torch.manual_seed(0)
    s = gr.dag(torch.tensor([[0, 0, 1, 2], [1, 2, 3, 3]]), 4)
    x = torch.randn(4, 3)
    cell = gr.ChildSumTreeLSTMCell(3, 2)
    found = gr.run(cell, gr.schedule(s, order=gr.levels(s)), x)
    assert_close(found.h, gr.run(cell, gr.schedule(s), x).h)


def test_one_graph_per_node_has_a_state_per_node():
    """As many graphs as nodes: what is before a sweep is one row per node, not per graph."""
    s = gr.batch([gr.dag([[0], [0]], 1)] * 3).replace(graph=torch.tensor([2, 0, 1]))
    cell = gr.DAGRNNCell(1, 1).double()
    x = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    plan = gr.schedule(s, order=torch.zeros(3, dtype=torch.long), rounds=4)
    assert_close(gr.run(cell, plan, x).h, gauss_seidel(cell, x, s, torch.zeros(3), 4))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (
            torch.zeros(33, dtype=torch.long),
            r"a rank for each node, a long tensor of shape \[34\], got torch.int64 \(33,\)",
        ),
        (torch.zeros(34), r"got torch.float32 \(34,\)"),
        (lambda s: [0] * 34, "got list"),
    ],
)
def test_orders_that_are_none(order, message):
    with pytest.raises(ValueError, match=message):
        gr.schedule(KARATE, order=order)


@pytest.mark.parametrize("roots", [[], [34], [-1]])
def test_roots_that_are_none(roots):
    with pytest.raises(ValueError, match="roots must be nodes, 0 to 33"):
        gr.breadth_first(KARATE, roots)


def test_sync_mode_has_no_order():
    with pytest.raises(ValueError, match="are for async mode"):
        gr.schedule(KARATE, "sync", 2, order=gr.colouring)

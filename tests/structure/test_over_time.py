"""Graphs over time: which edges there are, what they carry, and that a run is a plain loop over snapshots."""

from collections import namedtuple
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.structure import in_stages
from tests import strategies
from tests.tolerances import assert_close

D, H, F = 2, 3, 2


class Sensor(gr.Cell):
    """h = tanh(W x + sum_e w_e (A_r h + B f_e)), each relation having a matrix of its own."""

    State = namedtuple("State", "h")

    def __init__(self, relations=2):
        super().__init__(D, H)
        self.relations, self.edges = relations, F
        self.input = torch.nn.Linear(D, H)
        self.matrix = torch.nn.Parameter(torch.rand(relations, H, H) - 0.5)
        self.features = torch.nn.Linear(F, H, bias=False)

    def forward(self, x, inbox, own):
        messages = torch.einsum("eh,ehk->ek", inbox.h, self.matrix[inbox.relation])
        messages = inbox.edge_weight.unsqueeze(1) * (messages + self.features(inbox.edge_attr))
        return self.State(torch.tanh(self.input(x) + inbox.sum(messages)))


def loop(cell, snapshots, x, h):
    """The same, snapshot after snapshot, edge by edge; h: `[N, H]` before the first, or None: there is no past."""
    found = []
    size = snapshots[0].num_nodes
    for t, s in enumerate(snapshots):
        z = list(cell.input(x[t * size : (t + 1) * size]))
        if h is not None:
            for v in range(size):
                z[v] = z[v] + h[v] @ cell.matrix[0]
            relation = [0] * s.num_edges if s.relation is None else s.relation.tolist()
            for e, (u, v) in enumerate(s.edge_index.t().tolist()):
                message = h[u] @ cell.matrix[1 + relation[e]] + cell.features.weight @ s.edge_attr[e]
                z[v] = z[v] + s.edge_weight[e] * message
        h = torch.tanh(torch.stack(z))
        found.append(h)
    return torch.cat(found)


def snapshot(edges, size=4, seed=0, relations=None):
    draw = torch.Generator().manual_seed(seed)
    edges = torch.tensor(edges, dtype=torch.long).view(-1, 2).t()
    count = edges.shape[1]
    return gr.dag(
        edges,
        size,
        edge_weight=torch.rand(count, generator=draw, dtype=torch.double).requires_grad_(),
        edge_attr=torch.rand(count, F, generator=draw, dtype=torch.double).requires_grad_(),
        relation=None if relations is None else torch.arange(count) % relations,
    )


def changing(relations=None):
    """Three snapshots: with circles, a loop and an edge that is there twice; without edges; another one."""
    edges = [[(0, 1), (1, 0), (2, 2), (3, 0), (3, 0)], [], [(1, 2), (0, 3), (2, 1)]]
    return [snapshot(e, seed=i, relations=relations) for i, e in enumerate(edges)]


def gradients(y, cell, snapshots, *more):
    carried = [c for s in snapshots for c in (s.edge_weight, s.edge_attr) if c.numel()]
    return torch.autograd.grad(y.sin().sum(), [*cell.parameters(), *more, *carried], allow_unused=True)


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        zero = torch.zeros(()) if a is None and b is None else torch.zeros_like(a if b is None else b)
        assert_close(zero if a is None else a, zero if b is None else b)


@settings(max_examples=30)
@given(strategies.graphs(), st.integers(0, 4), st.booleans())
def test_edges_are_those_of_each_snapshot(graph, steps, carried):
    size = graph.num_nodes
    s = gr.over_time(graph.replace(slot=None), steps, carried)
    wanted = []
    for t in range(steps):
        past = (t - 1) % steps
        if t or carried:
            wanted += [(past * size + v, t * size + v, 0) for v in range(size)]
            wanted += [(past * size + u, t * size + v, 1) for u, v in graph.edge_index.t().tolist()]
    assert sorted(zip(*s.edge_index.tolist(), s.relation.tolist(), strict=True)) == sorted(wanted)
    assert s.num_nodes == steps * size
    assert (s.slot[s.relation == 0] == 0).all()
    if not carried:
        time = torch.arange(steps).repeat_interleave(size)
        assert torch.equal(s.level, time)
        computed = s.replace(level=None, level_reversed=None)
        assert torch.equal(gr.levels(computed), time)
        assert torch.equal(gr.levels(computed.reverse()), s.level_reversed)
    assert torch.equal(gr.by_time(s), torch.arange(steps).repeat_interleave(size))
    same = gr.Structure(**{field.name: getattr(s, field.name) for field in fields(s) if field.init})
    assert same == s  # what was not checked when it was made would have been found right
    distinct = s.target * (int(s.slot.max()) + 1 if len(s.slot) else 1) + s.slot
    assert len(distinct.unique()) == len(distinct)


@pytest.mark.parametrize("relations", [None, 2])
def test_a_run_is_a_loop_over_snapshots(relations):
    torch.manual_seed(0)
    cell, snapshots = Sensor(1 + (relations or 1)).double(), changing(relations)
    x = torch.randn(12, D, dtype=torch.double, requires_grad=True)
    h = gr.Recursive(cell)(x, gr.over_time(snapshots))
    expected = loop(cell, snapshots, x, None)
    assert_close(h, expected)
    assert_same(gradients(h, cell, snapshots, x), gradients(expected, cell, snapshots, x))


def test_an_initial_state_reaches_neighbours_where_it_is_carried():
    torch.manual_seed(0)
    cell, snapshots = Sensor().double(), changing()
    x = torch.randn(12, D, dtype=torch.double, requires_grad=True)
    before = torch.randn(4, H, dtype=torch.double, requires_grad=True)
    model = gr.Recursive(cell, order=gr.by_time)
    rows = torch.cat([before.new_full((8, H), torch.nan), before])  # only those of the last step count
    h = model(x, gr.over_time(snapshots, carried=True), initial=gr.per_node(rows))
    expected = loop(cell, snapshots, x, before)
    assert_close(h, expected)
    assert_same(gradients(h, cell, snapshots, x, before), gradients(expected, cell, snapshots, x, before))


def test_windows_continue_each_other():
    torch.manual_seed(0)
    cell, snapshots = Sensor().double(), changing()
    snapshots.append(snapshots[0])
    x = torch.randn(16, D, dtype=torch.double)
    model = gr.Recursive(cell, order=gr.by_time)
    whole = model(x, gr.over_time(snapshots, carried=True))
    first = model(x[:8], gr.over_time(snapshots[:2], carried=True))
    second = model(x[8:], gr.over_time(snapshots[2:], carried=True), initial=gr.per_node(first))
    assert_close(torch.cat([first, second]), whole)


def test_without_a_carried_state_an_initial_one_is_each_nodes_own():
    torch.manual_seed(0)
    cell = gr.ChildSumTreeLSTMCell(D, H).double()
    s = gr.over_time(gr.dag([[0], [1]], 2), 2)
    x = torch.randn(4, D, dtype=torch.double)
    given = cell.State(*torch.randn(2, 4, H, dtype=torch.double))
    state = gr.run(cell, gr.schedule(s), x, gr.per_node(given))
    own = gr.run(cell, gr.schedule(gr.chains([1, 1])), x[:2], cell.State(*(field[:2] for field in given)))
    assert_close(state.h[:2], own.h)


def test_a_batch_of_graphs_is_a_batch_of_series():
    torch.manual_seed(0)
    cell = Sensor().double()
    graphs = [snapshot([(0, 1), (1, 2)], 3, 1), snapshot([], 2, 2), snapshot([(1, 0), (0, 1), (1, 1)], 2, 3)]
    xs = [torch.randn(4, g.num_nodes, D, dtype=torch.double) for g in graphs]
    alone = [gr.Recursive(cell)(x.flatten(0, 1), gr.over_time(g, 4)) for x, g in zip(xs, graphs, strict=True)]
    together = gr.over_time(gr.batch(graphs), 4)
    assert together.num_graphs == 3
    assert together.graph.tolist() == [0, 0, 0, 1, 1, 2, 2] * 4
    h = gr.Recursive(cell)(torch.cat(xs, dim=1).flatten(0, 1), together)
    side_by_side = torch.cat([a.view(4, -1, H) for a in alone], dim=1).flatten(0, 1)
    assert_close(h, side_by_side)
    of_series = gr.batch([gr.over_time(g, t) for g, t in zip(graphs, (4, 4, 4), strict=True)])
    assert of_series.num_graphs == 3
    assert_close(gr.Recursive(cell)(torch.cat([x.flatten(0, 1) for x in xs]), of_series), torch.cat(alone))
    circles = [gr.over_time(g, t, carried=True) for g, t in zip(graphs, (1, 3, 0), strict=True)]
    assert gr.by_time(gr.batch(circles)).tolist() == [0] * 3 + [0, 0, 1, 1, 2, 2]


def test_through_pygs_loader():
    torch.manual_seed(0)
    cell = Sensor().double()
    graphs = [snapshot([(0, 1), (1, 2), (2, 0)], 3, n) for n in range(3)]
    graphs = [g.replace(edge_weight=g.edge_weight.detach(), edge_attr=g.edge_attr.detach()) for g in graphs]
    data = [gr.to_pyg(gr.over_time(g, 3)) for g in graphs]
    for sample in data:
        sample.x = torch.randn(9, D, dtype=torch.double)
    model = gr.Recursive(cell)
    alone = torch.cat([model(d.x, gr.over_time(g, 3)) for d, g in zip(data, graphs, strict=True)])
    for batch in DataLoader(data, batch_size=3):
        assert_close(model(batch.x, batch), alone)
    of_batch = gr.from_pyg(Batch.from_data_list([gr.to_pyg(g) for g in graphs]))
    assert gr.over_time(of_batch, 3) == gr.over_time(gr.batch(graphs), 3)


def test_everything_travels_along():
    graph = gr.Structure(
        2,
        torch.tensor([[0, 1], [1, 0]]),
        relation=torch.tensor([1, 0]),
        relation_names=("road", "rail"),
        edge_attr=[torch.ones(1, 2), torch.ones(1, 5)],
        edge_weight=torch.tensor([0.5, 2.0]),
        kind=torch.tensor([1, 0]),
        kind_names=("a", "b"),
        tokens=("x", "y"),
        labels=("p", None),
    )
    s = gr.over_time(graph, 3)
    assert s.relation_names == ("own past", "road", "rail")
    assert s.kind.tolist() == [1, 0] * 3
    assert (s.kind_names, s.tokens, s.labels) == (("a", "b"), ("x", "y") * 3, ("p", None) * 3)
    assert s.edge_weight.tolist() == [1.0] * 4 + [0.5, 2.0] * 2
    assert s.edge_attr.of(0) is None
    assert s.edge_attr.of(1).rows.shape == (2, 2)
    assert s.edge_attr.of(2).rows.shape == (2, 5)
    assert torch.equal(s.edge_attr.of(2).edges, (s.relation == 2).nonzero().flatten())
    plain = gr.over_time(gr.dag([[0], [1]], 2, edge_attr=torch.ones(1, F)), 2)
    assert plain.relation_names == ("own past", "neighbours' past")
    assert plain.edge_attr.tolist() == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    assert gr.over_time(graph.replace(relation_names=None, edge_attr=None), 2).relation_names is None


def test_stages_of_the_same_names_that_read_otherwise():
    s = gr.over_time(gr.dag([[0], [1]], 2), 3, carried=True)
    edges = [in_stages(s, {"a": [("a", of_all)]}).structure.num_edges for of_all in (True, False)]
    assert edges == [9, 6]


def test_nothing_at_all():
    nothing = [
        gr.over_time(gr.batch([snapshot([(0, 1)], 2), snapshot([], 1)]), 0),
        gr.over_time(snapshot([], 0), 3),
        gr.over_time([]),
        gr.over_time(snapshot([(0, 1)], 2), 0, carried=True),
    ]
    assert [s.num_graphs for s in nothing] == [2, 1, 0, 1]
    for s in nothing:
        h = gr.Recursive(gr.DAGRNNCell(D, H), order=gr.by_time)(torch.zeros(0, D), s)
        assert h.shape == (0, H)


def test_a_million_nodes():
    """Built without an interpreted step for each node."""
    graph = gr.dag(torch.randint(5000, (2, 5000)), 5000)
    assert gr.over_time(graph, 200).num_nodes == 1_000_000


REFUSED = {
    "no steps": (lambda: gr.over_time(gr.chain(2)), ValueError, "needs steps"),
    "steps below zero": (lambda: gr.over_time(gr.chain(2), -1), ValueError, "0 or more, got -1"),
    "half a step": (lambda: gr.over_time(gr.chain(2), 1.5), TypeError, "whole number"),
    "an edge_index": (lambda: gr.over_time(torch.zeros(2, 0), 3), TypeError, "graphrec.dag"),
    "PyG's data": (lambda: gr.over_time(gr.to_pyg(gr.chain(2)), 7), TypeError, r"graphrec\.from_pyg"),
    "a list of them": (lambda: gr.over_time([torch.zeros(2, 0)]), TypeError, "number 0"),
    "other steps": (lambda: gr.over_time([gr.chain(2)] * 2, 3), ValueError, "2 snapshots for 3 steps"),
    "other sizes": (
        lambda: gr.over_time([gr.chain(2), gr.chain(3)]),
        ValueError,
        "snapshot 0 has 2 and snapshot 1 has 3",
    ),
    "other graphs": (
        lambda: gr.over_time([gr.chains([2, 1]), gr.chains([1, 2])]),
        ValueError,
        "snapshots 0 and 1 differ",
    ),
    "weights in some": (
        lambda: gr.over_time([gr.chain(2), gr.chain(2).replace(edge_weight=torch.ones(1))]),
        ValueError,
        "member 0 of the batch has no edge_weight",
    ),
    "weights of the wrong size": (
        lambda: gr.over_time(gr.chain(2).replace(edge_weight=torch.ones(3)), 2),
        ValueError,
        "expected 1, got 3",
    ),
    "a past": (lambda: gr.over_time(gr.lagged([3], 2), 2), ValueError, "past"),
    "an order without relations": (lambda: gr.by_time(gr.chain(3)), ValueError, "no relations"),
    "an order of another structure": (
        lambda: gr.by_time(gr.dag([[0, 0], [1, 2]], 3, relation=torch.zeros(2, dtype=torch.long))),
        ValueError,
        "some node has several",
    ),
    "backwards": (lambda: gr.by_time(gr.over_time(gr.chain(2), 3).reverse()), ValueError, "forwards in time"),
    "a circle backwards": (
        lambda: gr.by_time(gr.over_time(gr.chain(2), 3, carried=True).reverse()),
        ValueError,
        "forwards in time",
    ),
    "a circle in async mode": (
        lambda: gr.schedule(gr.over_time(gr.chain(2), 2, carried=True)),
        gr.CycleError,
        r"there is a cycle.*graphrec\.by_time",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()

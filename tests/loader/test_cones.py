"""Cones hold the ancestors that networkx finds, and results at their targets are those of the whole graph."""

from __future__ import annotations

import pickle
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch, Data, HeteroData

import graphrec as gr
from graphrec.structure.features import EdgeFeatures
from tests.tolerances import assert_close


def random_edges(draw: torch.Generator, nodes: int, count: int, acyclic: bool = True) -> torch.Tensor:
    edges = torch.randint(max(nodes, 1), (2, count if nodes else 0), generator=draw)
    return torch.stack([edges.amin(0), edges.amax(0)])[:, edges[0] != edges[1]] if acyclic else edges


def whole(seed: int, nodes: int = 40, count: int = 70, **more: object) -> gr.Structure:
    draw = torch.Generator().manual_seed(seed)
    edge_index = random_edges(draw, nodes, count)
    edges = edge_index.shape[1]
    return gr.Structure(
        nodes,
        edge_index,
        relation=torch.randint(3, (edges,), generator=draw),
        edge_attr=torch.randn(edges, 2, generator=draw, dtype=torch.float64),
        edge_weight=torch.rand(edges, generator=draw, dtype=torch.float64),
        kind=torch.randint(2, (nodes,), generator=draw),
        tokens=tuple(str(i) for i in range(nodes)),
        relation_names=("a", "b", "c"),
        **more,  # type: ignore[arg-type]
    )


@given(
    seed=st.integers(0, 1000),
    nodes=st.integers(0, 15),
    count=st.integers(0, 30),
    depth=st.one_of(st.none(), st.integers(0, 5)),
    acyclic=st.booleans(),
)
def test_nodes_edges_and_distances_are_those_of_networkx(seed, nodes, count, depth, acyclic):
    draw = torch.Generator().manual_seed(seed)
    edge_index = random_edges(draw, nodes, count, acyclic)
    s = gr.Structure(nodes, edge_index)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(edge_index.T.tolist())
    targets = torch.randint(max(nodes, 1), (min(nodes, 3),), generator=draw)
    cone = gr.loader.Cones(s, targets, depth)[range(len(targets))]

    back = graph.reverse()
    distance: dict[int, int] = {}
    for target in set(targets.tolist()):
        for node, hops in nx.single_source_shortest_path_length(back, target, cutoff=depth).items():
            distance[node] = min(hops, distance.get(node, hops))
    assert cone.node.tolist() == sorted(distance)
    assert dict(zip(cone.node.tolist(), cone.distance.tolist(), strict=True)) == distance
    enters = [depth is None or distance.get(t, depth) < depth for t in edge_index[1].tolist()]
    expected = [
        e
        for e, (is_near, t) in enumerate(zip(enters, edge_index[1].tolist(), strict=True))
        if is_near and t in distance
    ]
    assert cone.edge.tolist() == expected
    assert torch.equal(cone.node[cone.structure.edge_index], edge_index[:, cone.edge])
    assert torch.equal(cone.node[cone.target], targets)
    cut = [depth is not None and distance[v] == depth and graph.in_degree(v) > 0 for v in cone.node.tolist()]
    assert cone.is_cut.tolist() == cut
    if depth is None and acyclic and len(targets):
        assert set(cone.node.tolist()) == set(targets.tolist()).union(
            *(nx.ancestors(graph, t) for t in targets.tolist())
        )


def run_at(model, s, x, at, initial=None):
    """Rows at some nodes, and the gradients by weights and x of a sum of them."""
    x = x.clone().requires_grad_()
    rows = model(x, s) if initial is None else model(x, s, initial=initial)
    rows = rows[at]
    found = torch.autograd.grad(
        rows.sin().sum(), [x, *model.parameters()], allow_unused=True, materialize_grads=True
    )
    return rows, found


MODELS = {
    "sum": lambda: gr.TreeLSTM(3, 4),
    "gated": lambda: gr.Recursive(gr.DVAECell(3, 4)),
    "attention": lambda: gr.Recursive(gr.DAGNNCell(3, 4)),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("batched", [False, True])
def test_all_ancestors_give_the_same_values_and_gradients(model, batched):
    s = whole(1).replace(edge_attr=None, relation=None, edge_weight=None, kind=None)
    if batched:
        s = gr.batch([s, s])
    torch.manual_seed(3)
    net = MODELS[model]().double()
    x = torch.randn(s.num_nodes, 3, dtype=torch.float64)
    targets = torch.tensor([17, 39, 8, 39])
    longest = int(gr.levels(s)[targets].max())
    expected, by_all = run_at(net, s, x, targets)
    for depth in (longest, None):
        cone = gr.loader.Cones(s, targets, depth)[range(4)]
        assert not cone.is_cut.any()
        rows, (by_x, *by_weights) = run_at(net, cone.structure, x[cone.node], cone.target)
        assert_close(rows, expected)
        assert_close(torch.zeros_like(x).index_add(0, cone.node, by_x), by_all[0])
        for got, want in zip(by_weights, by_all[1:], strict=True):
            assert_close(got, want)
    shallow = gr.loader.Cones(s, targets, 1)[range(4)]
    rows, _ = run_at(net, shallow.structure, x[shallow.node], shallow.target)
    assert not torch.allclose(rows, expected)


class Telling(gr.Cell):
    """Reads all that an edge and a node may carry."""

    State = gr.GRUCell.State
    reads_edges = ("edge_attr", "edge_weight")

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.edges, self.relations = 2, 3
        self.by_relation, self.by_edge = nn.Linear(4, 12), nn.Linear(2, 4)
        self.input = nn.Linear(3, 4)

    def project(self, x: torch.Tensor) -> torch.Tensor:
        return self.input(x)

    def forward(self, x: torch.Tensor, inbox: Any, own: Any) -> Any:
        sent = self.by_relation(inbox.h).unflatten(-1, (3, 4))[
            torch.arange(len(inbox.relation)), inbox.relation
        ]
        told = sent * self.by_edge(inbox.edge_attr) * inbox.edge_weight[:, None]
        return self.State(torch.tanh(x + own.h + inbox.sum(told)))


@pytest.mark.parametrize("per", ["node", "graph", None])
@pytest.mark.parametrize("turn", [False, True], ids=["forward", "reversed"])
def test_kinds_relations_features_and_initial_states_count_the_same(turn, per):
    s = whole(11, graph=torch.arange(40) // 20, num_graphs=2)
    twice = torch.cat(
        [torch.arange(s.num_edges), torch.arange(0, s.num_edges, 3)]
    )  # some edges are there twice
    s = gr.Structure(
        40,
        s.edge_index[:, twice],
        kind=s.kind,
        graph=s.graph,
        num_graphs=2,
        **{name: getattr(s, name)[twice] for name in ("relation", "edge_attr", "edge_weight")},
    )
    s = s.reverse() if turn else s
    torch.manual_seed(1)
    cell = gr.PerKind([Telling(), Telling()]).double()
    x = torch.randn(40, 3, dtype=torch.float64)
    rows = {"node": 40, "graph": 2, None: 0}[per]
    first = torch.randn(rows, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 39, 7, 20, 7])

    def found(part: gr.Structure, node: torch.Tensor, at: torch.Tensor) -> list[torch.Tensor]:
        begun = {
            "node": lambda: gr.per_node(cell.State(first[node])),
            "graph": lambda: gr.per_graph(cell.State(first)),
            None: lambda: None,
        }[per]()
        given = x.clone().requires_grad_()
        h = gr.run(cell, gr.schedule(part), given[node], begun).h[at]
        grads = torch.autograd.grad(h.sin().sum(), [given, first, *cell.parameters()], materialize_grads=True)
        return [h, *grads]

    expected = found(s, torch.arange(40), targets)
    cone = gr.loader.Cones(s, targets)[range(5)]
    assert 0 < cone.structure.num_nodes < 40
    for got, want in zip(found(cone.structure, cone.node, cone.target), expected, strict=True):
        assert_close(got, want)


@pytest.mark.parametrize(
    ("cell", "extra"),
    [
        (lambda: gr.SAGECell(3, 3), 0),
        (lambda: gr.GINCell(3, 3), 0),
        (lambda: gr.GATCell(3, 3), 0),
        (lambda: gr.GCNCell(3, 3), 1),
    ],
    ids=["SAGE", "GIN", "GAT", "GCN"],
)
def test_k_edges_are_exact_in_k_rounds_and_one_more_where_degrees_of_sources_count(cell, extra):
    torch.manual_seed(2)
    edge_index = random_edges(torch.Generator().manual_seed(5), 30, 60, acyclic=False)
    s = gr.Structure(30, edge_index)
    net = gr.GNN([cell(), cell()]).double()
    x, targets = torch.randn(30, 3, dtype=torch.float64), torch.tensor([4, 20])
    expected, by_all = run_at(net, s, x, targets)

    def differs(depth):
        cone = gr.loader.Cones(s, targets, depth)[range(2)]
        rows, (by_x, *by_weights) = run_at(net, cone.structure, x[cone.node], cone.target)
        grads = [torch.zeros_like(x).index_add(0, cone.node, by_x), *by_weights]
        pairs = [(rows, expected), *zip(grads, by_all, strict=True)]
        return max(float((a - b).detach().abs().max()) for a, b in pairs)

    assert differs(2 + extra) < 1e-12
    assert differs(1 + extra) > 1e-6


def test_cut_nodes_can_read_stored_states():
    """One edge deeper, in a given order in which the edges of the farthest nodes lead from what is given."""
    torch.manual_seed(0)
    s = whole(6, nodes=60, count=90).replace(edge_attr=None, relation=None, edge_weight=None, kind=None)
    net = gr.Recursive(gr.ChildSumTreeLSTMCell(3, 4)).double()
    x = torch.randn(60, 3, dtype=torch.float64)
    stored = gr.run(net.cell, gr.schedule(s), x)
    level = gr.levels(s)
    targets = (level == level.max()).nonzero().flatten()
    assert int(level.max()) > 3
    depth = 2
    cone = gr.loader.Cones(s, targets, depth + 1)[range(len(targets))]
    is_given = cone.distance == depth + 1
    ranks = torch.where(is_given, cone.structure.num_nodes, gr.levels(cone.structure))
    initial = type(stored)(*(torch.where(is_given[:, None], rows[cone.node], 0.0) for rows in stored))
    plan = gr.schedule(cone.structure, order=ranks)
    found = gr.run(net.cell, plan, x[cone.node], gr.per_node(initial))
    assert_close(found.h[cone.target], stored.h[targets])


def test_a_cone_carries_all_that_the_whole_does():
    s = whole(4, past=torch.arange(40) % 2, graph=torch.arange(40) // 20, num_graphs=3)
    cone = gr.loader.Cones(s, [11, 30], 2)[[0, 1]]
    part, node, edge = cone.structure, cone.node, cone.edge
    for name in ("slot", "relation", "edge_attr", "edge_weight"):
        assert torch.equal(getattr(part, name), getattr(s, name)[edge]), name
    for name in ("kind", "past", "graph"):
        assert torch.equal(getattr(part, name), getattr(s, name)[node]), name
    assert part.tokens == tuple(str(i) for i in node.tolist())
    assert (part.num_graphs, part.relation_names) == (3, ("a", "b", "c"))

    by_relation = s.replace(
        edge_attr=[
            torch.randn(int((s.relation == 0).sum()), 2),
            None,
            torch.randn(int((s.relation == 2).sum()), 5),
        ]
    )
    found = gr.loader.Cones(by_relation, [11, 30], 2)[[0, 1]].structure.edge_attr
    assert isinstance(found, EdgeFeatures)
    assert found == by_relation.edge_attr.select(edge)


def sample() -> Data:
    data = gr.to_pyg(whole(7))
    return data.update(
        {"x": torch.randn(40, 3), "y": torch.arange(40), "name": "whole", "total": torch.tensor([3.0])}
    )


def test_cones_of_data_are_those_of_its_structure():
    data = sample()
    part = gr.loader.Cones(data, [11, 30], 2)[[1, 0]]
    cone = gr.loader.Cones(gr.from_pyg(data), [11, 30], 2)[[1, 0]]
    assert gr.from_pyg(part) == cone.structure
    assert torch.equal(part.x, data.x[cone.node])
    assert torch.equal(part.y[part.target_index], torch.tensor([30, 11]))
    assert (part.name, part.total.tolist()) == ("whole", [3.0])
    for name, value in (
        ("n_id", cone.node),
        ("e_id", cone.edge),
        ("distance", cone.distance),
        ("is_cut", cone.is_cut),
    ):
        assert torch.equal(part[name], value)


def test_as_many_edges_as_nodes_are_still_edges():
    data = gr.to_pyg(gr.dag([[0, 0, 1], [1, 2, 2]], 3).replace(edge_weight=torch.rand(3)))
    part = gr.loader.Cones(data, [1])[0]
    assert part.slot.tolist() == [0]
    assert torch.equal(part.edge_weight, data.edge_weight[:1])


def test_batches_of_cones_share_nodes_or_stand_alone():
    data = sample()
    cones = gr.loader.Cones(data, [38, 39, 38], 3)
    shared = cones[[0, 1, 2]]
    assert shared.n_id.unique().numel() == shared.num_nodes
    (alone,) = gr.DataLoader(cones, batch_size=3)
    assert alone.num_nodes == sum(cones[i].num_nodes for i in range(3))
    assert torch.equal(alone.n_id[alone.target_index], torch.tensor([38, 39, 38]))
    members = Batch.from_data_list([cones[i] for i in range(3)])
    assert torch.equal(alone.edge_index, members.edge_index)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_visits_each_target_once(workers):
    cones = gr.loader.Cones(sample(), torch.arange(40) % 3 == 0, 2)
    seen = [batch.n_id[batch.target_index] for batch in cones.loader(5, seed=1, num_workers=workers)]
    assert [len(part) for part in seen] == [5, 5, 4]
    assert sorted(torch.cat(seen).tolist()) == list(range(0, 40, 3))
    in_order = cones.loader(5, shuffle=False)
    assert torch.cat([b.n_id[b.target_index] for b in in_order]).tolist() == list(range(0, 40, 3))


def test_pickled_and_in_threads_they_are_the_same():
    cones = gr.loader.Cones(whole(3), None, 2)
    again = pickle.loads(pickle.dumps(cones))
    assert again[[5, 6]].structure == cones[[5, 6]].structure


def test_a_cone_costs_what_it_holds():
    """The second cone of a large graph makes no tensor as long as the graph."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Longest(TorchDispatchMode):
        rows = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            is_made = isinstance(out, torch.Tensor) and not any(out is given for given in args)
            if is_made and not out._is_view():
                self.rows = max(self.rows, out.numel())
            return out

    s = gr.chain(100_000)
    cones = gr.loader.Cones(s, [50_000, 99_999], 20)
    first = cones[0]
    with Longest() as longest:
        second = cones[1]
    assert first.structure.num_nodes == second.structure.num_nodes == 21
    assert longest.rows < 200


@pytest.mark.parametrize(
    ("source", "targets", "error", "said"),
    [
        (HeteroData(), None, TypeError, "from_pyg"),
        (3, None, TypeError, "a structure or of PyG's Data, got int"),
        (Data(num_nodes=3), None, ValueError, "with an edge_index"),
        (gr.chain(3), [3], ValueError, "target 3 is no node: they are 0 to 2"),
        (gr.chain(3), [-1], ValueError, "target -1 is no node"),
        (gr.chain(3), torch.tensor([True]), ValueError, r"a mask of targets has shape \[3\], got \(1,\)"),
        (gr.chain(3), torch.tensor([0.5]), TypeError, "targets must be numbers of nodes"),
    ],
)
def test_refusals(source, targets, error, said):
    with pytest.raises(error, match=said):
        gr.loader.Cones(source, targets)


def test_nothing_at_all():
    empty = gr.loader.Cones(gr.Structure(0, torch.empty(2, 0, dtype=torch.long)), None, 3)
    assert len(empty) == 0
    assert empty[[]].structure.num_nodes == 0
    assert list(empty.loader(4)) == []

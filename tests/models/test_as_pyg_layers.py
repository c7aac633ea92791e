"""graphrec's models where PyG's layers stand: called as they are, with what PyG's users have in hand."""

import gc
import weakref

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader, NeighborLoader
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
from torch_geometric.utils import k_hop_subgraph

import graphrec as gr
from graphrec.io import as_structure
from tests.tolerances import assert_close

EDGES = torch.tensor([[0, 1, 2, 0, 3, 3], [1, 2, 3, 3, 4, 0]])


def graph(size=5, seed=0, **more):
    generator = torch.Generator().manual_seed(seed)
    return Data(torch.randn(size, 3, generator=generator), EDGES, num_nodes=size, **more)


def test_inside_pygs_sequential():
    torch.manual_seed(0)
    model = pyg.Sequential(
        "x, edge_index, edge_attr",
        [
            (gr.GNN([gr.GCNCell(3, 4)]), "x, edge_index -> x"),
            nn.ReLU(),
            (pyg.GCNConv(4, 4), "x, edge_index -> x"),
            (gr.GNN([gr.MPNNCell(4, 4, edges=2)]), "x, edge_index, edge_attr -> x"),
        ],
    )
    data, edge_attr = graph(), torch.randn(6, 2)
    h = model(data.x, data.edge_index, edge_attr)
    first, _, middle, last = (getattr(model, f"module_{i}") for i in range(4))
    expected = middle(torch.relu(first(data.x, data)), EDGES)
    data.edge_attr = edge_attr
    assert_close(h, last(expected, data))
    h.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_batches_are_their_members_alone():
    model = gr.GNN([gr.SAGECell(3, 4), gr.GATCell(4, 4)])
    members = [graph(seed=seed) for seed in range(3)]
    batch = next(iter(DataLoader(members, batch_size=3)))
    assert_close(model(batch.x, batch), torch.cat([model(m.x, m) for m in members]))


def hetero(**more):
    generator = torch.Generator().manual_seed(0)
    data = HeteroData()
    data["paper"].x = torch.randn(3, 4, generator=generator)
    data["author"].x = torch.randn(2, 4, generator=generator)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1, 1], [0, 0, 2]])
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1], [1, 2]])
    return data


def test_hetero_data_has_kinds_and_relations():
    s = gr.from_pyg(hetero())
    assert s.kind.tolist() == [0, 0, 0, 1, 1]
    assert s.edge_index.tolist() == [[3, 4, 4, 0, 1], [0, 0, 2, 1, 2]]
    assert s.relation.tolist() == [0, 0, 0, 1, 1]
    homogeneous = hetero().to_homogeneous()
    assert torch.equal(homogeneous.edge_index, s.edge_index)
    assert torch.equal(homogeneous.node_type, s.kind)
    assert torch.equal(homogeneous.edge_type, s.relation)


@pytest.mark.parametrize("edges", [False, True])
def test_hetero_data_in_a_batch(edges):
    def member():
        data = hetero()
        for number, edge_type in enumerate(data.edge_types):
            if edges:
                data[edge_type].edge_attr = torch.full((data[edge_type].num_edges, 1), float(number))
        return data

    s = gr.from_pyg(Batch.from_data_list([member(), member()]))
    assert s.num_graphs == 2
    assert s.kind.tolist() == [0] * 6 + [1] * 4
    assert s.graph.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    assert (s.edge_attr is not None) == edges
    model = gr.Recursive(gr.GGNNCell(4, 5, relations=2), mode="sync", rounds=2)
    alone = model(torch.cat([member()["paper"].x, member()["author"].x]), member())
    rows = torch.cat([member()["paper"].x] * 2 + [member()["author"].x] * 2)
    both = model(rows, s)
    assert_close(both[[0, 1, 2, 6, 7]], alone)
    assert_close(both[[3, 4, 5, 8, 9]], alone)


def test_hetero_data_by_dictionary():
    torch.manual_seed(0)
    data = hetero()
    cell = gr.PerKind([gr.DAGRNNCell(4, 5), gr.DAGNNCell(4, 5)])
    model = gr.Recursive(cell)
    rows = model(data.x_dict, data)
    assert list(rows) == ["paper", "author"]
    assert [part.shape for part in rows.values()] == [(3, 5), (2, 5)]
    assert_close(torch.cat(list(rows.values())), model(torch.cat(list(data.x_dict.values())), data))
    reversed_keys = dict(reversed(data.x_dict.items()))
    assert_close(model(reversed_keys, data)["paper"], rows["paper"])


@pytest.mark.parametrize(
    ("x", "s", "message"),
    [
        ({"paper": torch.zeros(3, 4)}, hetero(), "rows for the node types paper, author, got paper"),
        (
            {"paper": torch.zeros(3, 4), "author": torch.zeros(2, 3)},
            hetero(),
            r"one width for all node types, got \(2, 3\).*HeteroDictLinear",
        ),
        (
            {"paper": torch.zeros(3, 4), "author": torch.zeros(1, 4)},
            hetero(),
            r"expected 2 .* got shape \(1, 4\)",
        ),
    ],
)
def test_dictionaries_that_do_not_fit(x, s, message):
    with pytest.raises(ValueError, match=message):
        gr.Recursive(gr.DAGRNNCell(4, 5))(x, s)


def test_a_dictionary_needs_hetero_data():
    with pytest.raises(TypeError, match="goes with PyG's HeteroData, got Data"):
        gr.Recursive(gr.DAGRNNCell(4, 5))({"a": torch.zeros(1, 4)}, graph())


def without(data, *path):
    del data[path[0]][path[1]]
    return data


def with_(data, kind, **values):
    for name, value in values.items():
        data[kind][name] = value
    return data


WRITES, CITES = ("author", "writes", "paper"), ("paper", "cites", "paper")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: with_(hetero(), CITES, slot=torch.tensor([0, 0])),
            ValueError,
            r"\('author', 'writes', 'paper'\) has no slot, while other types",
        ),
        (
            lambda: with_(hetero(), WRITES, edge_index=torch.tensor([[0, 2], [0, 0]])),
            ValueError,
            "names node 2 of type 'author', which has the nodes 0 to 1",
        ),
        (
            lambda: with_(hetero(), WRITES, edge_index=torch.tensor([0, 1])),
            ValueError,
            r"edge_index of edge type \('author', 'writes', 'paper'\) .* shape \[2, E\] .*, got shape \(2,\)",
        ),
        (
            lambda: with_(hetero(), WRITES, edge_index=torch.zeros(3, 2).long()),
            ValueError,
            r"'writes'.*got shape \(3, 2\)",
        ),
        (lambda: with_(hetero(), WRITES, edge_index=[[0], [0]]), ValueError, "'writes'.*got list"),
        (
            lambda: with_(hetero(), WRITES, edge_index=torch.zeros(2, 3)),
            TypeError,
            "'writes'.*torch.long, got torch.float32: convert",
        ),
        (lambda: without(hetero(), WRITES, "edge_index"), ValueError, "'writes'.*has no edge_index"),
        (
            lambda: with_(hetero(), CITES, edge_attr=torch.zeros(5, 2)),
            ValueError,
            r"edge_attr of edge type \('paper', 'cites', 'paper'\) must have a row for each of 2 edges, got \(5, 2\)",
        ),
        (
            lambda: without(hetero(), "author", "x"),
            ValueError,
            "node type 'author' does not say how many nodes it has",
        ),
    ],
)
def test_hetero_data_that_is_not_whole(make, error, message):
    with pytest.raises(error, match=message):
        gr.from_pyg(make())


def test_hetero_data_of_little():
    """No nodes of a type, no edges of any: a graph all the same."""
    data = HeteroData()
    data["paper"].x = torch.randn(2, 4, requires_grad=True)
    data["author"].num_nodes = 0
    s = gr.from_pyg(data)
    assert (s.num_nodes, s.num_edges, s.kind.tolist(), s.device) == (2, 0, [0, 0], torch.device("cpu"))
    model = gr.Recursive(gr.PerKind([gr.DAGRNNCell(4, 5), gr.LSTMCell(4, 5)][:1] * 2))
    rows = model({"paper": data["paper"].x, "author": torch.zeros(0, 4)}, data)
    assert rows["author"].shape == (0, 5)
    assert torch.autograd.grad(rows["paper"].sum(), data["paper"].x)[0].abs().sum() > 0
    both = gr.from_pyg(Batch.from_data_list([data, data]))
    assert (both.num_nodes, both.num_graphs) == (4, 2)


def test_subgraphs_of_neighbours():
    """As NeighborLoader makes them: rows by `n_id`. Rounds over whole neighbourhoods are exact there."""
    torch.manual_seed(0)
    size = 30
    edges = torch.randint(0, size, (2, 60))
    x = torch.randn(size, 3)
    model = gr.GNN([gr.SAGECell(3, 4), gr.SAGECell(4, 4)])
    whole = model(x, edges)
    for seeds in torch.arange(size).split(7):
        nodes, edge_index, place, _ = k_hop_subgraph(seeds, 2, edges, relabel_nodes=True, num_nodes=size)
        data = Data(x[nodes], edge_index, n_id=nodes, input_id=seeds, batch_size=len(seeds))
        assert_close(model(data.x, data)[place], whole[seeds])


@pytest.mark.skipif(
    not (WITH_PYG_LIB or WITH_TORCH_SPARSE),
    reason="NeighborLoader needs pyg-lib or torch-sparse, and neither is there",
)
def test_neighbor_loader():
    torch.manual_seed(0)
    data = Data(torch.randn(30, 3), torch.randint(0, 30, (2, 60)))
    model = gr.GNN([gr.SAGECell(3, 4), gr.SAGECell(4, 4)])
    whole = model(data.x, data)
    for part in NeighborLoader(data, [-1, -1], batch_size=7):
        assert_close(model(part.x, part)[: part.batch_size], whole[part.input_id])


class TestStructuresAreRemembered:
    """Finding the order of a large graph takes longer than a layer: the same edges are the same structure."""

    x = torch.zeros(5, 3)

    def test_same_edges(self):
        edges = EDGES.clone()
        assert as_structure(edges, self.x) is as_structure(edges, self.x)

    def test_same_data(self):
        data = graph(edge_attr=torch.randn(6, 2))
        first = as_structure(data, self.x)
        assert as_structure(data, self.x) is first
        assert torch.equal(first.edge_attr, data.edge_attr)

    def test_edges_that_are_written_into(self):
        edges = EDGES.clone()
        first = as_structure(edges, self.x)
        edges[1, 0] = 2
        second = as_structure(edges, self.x)
        assert second is not first
        assert second.target.tolist() == [2, 2, 3, 3, 4, 0]

    def test_attributes_that_are_replaced_or_written_into(self):
        data = graph(edge_attr=torch.zeros(6, 2))
        first = as_structure(data, self.x)
        data.edge_attr += 1
        assert bool((as_structure(data, self.x).edge_attr == 1).all())
        data.edge_attr = torch.full((6, 2), 2.0)
        assert bool((as_structure(data, self.x).edge_attr == 2).all())
        data.edge_type = torch.zeros(6, dtype=torch.long)
        assert as_structure(data, self.x).relation is not None
        assert first.relation is None

    def test_more_nodes(self):
        edges = EDGES.clone()
        as_structure(edges, self.x)
        assert as_structure(edges, torch.zeros(9, 3)).num_nodes == 9

    def test_features_that_are_learned_are_part_of_the_graph(self):
        edges, edge_attr = EDGES.clone(), torch.randn(6, 1, requires_grad=True)
        model = gr.GNN([gr.GCNCell(3, 4, weighted=True)])
        for _ in range(2):
            model(torch.randn(5, 3), edges, edge_attr.exp()).sum().backward()
        assert edge_attr.grad is not None

    def test_nothing_is_kept_alive(self):
        edges = EDGES.clone()
        structure = weakref.ref(as_structure(edges, self.x))
        gr.schedule(structure(), "sync", 1)
        del edges
        gc.collect()
        assert structure() is None

    def test_what_is_first_seen_in_inference_mode_can_be_trained_with(self):
        edges = EDGES.clone()
        model = gr.GNN([gr.GATCell(3, 4)])
        with torch.inference_mode():
            model(torch.randn(5, 3), edges)
        x, weights = torch.randn(5, 3), list(model.parameters())
        found = torch.autograd.grad(model(x, edges).pow(2).sum(), weights)
        expected = torch.autograd.grad(model(x, edges.clone()).pow(2).sum(), weights)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)


@pytest.mark.parametrize("s", [gr.chain(5), graph()])
def test_edge_attr_goes_with_an_edge_index(s):
    with pytest.raises(
        TypeError, match=r"edge_attr, the third argument, goes with an edge_index; a .* carries its own"
    ):
        gr.GNN([gr.SAGECell(3, 4)])(torch.zeros(5, 3), s, torch.zeros(6, 1))


def test_edge_attr_of_the_wrong_length():
    model = gr.GNN([gr.MPNNCell(3, 4, edges=2)])
    with pytest.raises(ValueError, match="edge_attr must have one row per edge: expected 6, got 5"):
        model(torch.zeros(5, 3), EDGES, torch.zeros(5, 2))
    with pytest.raises(ValueError, match=r"edge_attr must have shape \[6, 2\] for this cell, got \(6, 3\)"):
        model(torch.zeros(5, 3), EDGES, torch.zeros(6, 3))
    with pytest.raises(ValueError, match="reads edge attributes of width 2, but the structure has none"):
        model(torch.zeros(5, 3), EDGES)


@pytest.mark.filterwarnings("ignore:Sparse :UserWarning", "ignore:Converting sparse tensor:UserWarning")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0, 3.0])])
def test_a_sparse_adjacency_matrix_is_read(layout, weights):
    """A row for each target, as PyG has it; its numbers are weights."""
    edges, x = torch.tensor([[0, 1, 2, 3], [3, 3, 0, 1]]), torch.randn(4, 3)
    values = torch.ones(4) if weights is None else weights
    matrix = torch.sparse_coo_tensor(edges.flip(0), values, (4, 4))
    matrix = matrix if layout == torch.sparse_coo else matrix.to_sparse_csr()
    conv, cell = pyg.GCNConv(3, 4), gr.GCNCell(3, 4)
    cell.load_state_dict(conv.state_dict())
    model = gr.GNN([cell])
    assert_close(model(x, matrix), conv(x, matrix))
    assert_close(model(x, matrix), model(x, edges, edge_weight=weights))
    data = ToSparseTensor()(Data(x=x, edge_index=edges, edge_weight=weights))
    assert_close(model(x, data), conv(x, data.adj_t))
    assert_close(gr.readout.mean(x, data), x.mean(0, keepdim=True))
    assert gr.from_pyg(data) == gr.from_pyg(data)
    if weights is not None:
        with pytest.raises(ValueError, match="does not read edge_weight"):
            gr.GNN([gr.GINCell(3, 4)])(x, matrix)
        with pytest.raises(TypeError, match="carries its own weights"):
            model(x, matrix, edge_weight=weights)


def test_the_structure_of_a_sparse_matrix_is_remembered_until_it_changes():
    edges, x = torch.tensor([[0, 1, 2], [3, 3, 0]]), torch.randn(4, 3)
    matrix = torch.sparse_coo_tensor(edges.flip(0), torch.ones(3), (4, 4))
    assert as_structure(matrix, x) is as_structure(matrix, x)
    other = torch.sparse_coo_tensor(edges, torch.ones(3), (4, 4))
    assert as_structure(other, x).edge_index.tolist() != as_structure(matrix, x).edge_index.tolist()


@pytest.mark.parametrize("shape", [(4, 5), (5, 5)])
def test_a_sparse_matrix_of_another_size_is_refused(shape):
    matrix = torch.sparse_coo_tensor(torch.tensor([[0], [1]]), torch.ones(1), shape)
    with pytest.raises(ValueError, match=r"expected shape \[4, 4\], got \[\d, 5\]"):
        gr.GNN([gr.GCNCell(3, 4)])(torch.randn(4, 3), matrix)

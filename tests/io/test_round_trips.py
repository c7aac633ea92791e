"""To PyG, to networkx, through a DataLoader, and back: nothing is lost and no node changes its number."""

import networkx as nx
import pytest
import torch
from hypothesis import given
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.utils import to_networkx as pyg_to_networkx

import graphrec as gr
from tests import strategies

structures = strategies.chains() | strategies.trees() | strategies.dags() | strategies.graphs()
carrying_all = strategies.carrying_all(structures)
one_graph = strategies.carrying_all(strategies.trees() | strategies.dags() | strategies.graphs())


def test_graphs_whose_nodes_do_not_stand_side_by_side():
    s = gr.chains([3, 1, 2], batch_first=False)
    data = gr.to_pyg(s)
    assert "ptr" not in data
    assert gr.from_pyg(data) == s
    with pytest.raises(ValueError, match="batch_first=True"):
        gr.to_pyg(gr.chains([3, 1, 0], batch_first=False))


def with_edges_sorted(s):
    """networkx lists edges by their sources."""
    order = sorted(range(s.num_edges), key=lambda e: (*s.edge_index[:, e].tolist(), int(s.slot[e])))
    order = torch.tensor(order, dtype=torch.long)
    return gr.Structure(
        s.num_nodes,
        s.edge_index[:, order],
        s.slot[order],
        s.relation[order],
        s.edge_attr[order],
        s.kind,
        s.graph,
        s.num_graphs,
        s.tokens,
        s.labels,
        past=s.past,
        edge_weight=s.edge_weight[order],
    )


@given(structure=carrying_all.filter(lambda s: s.num_edges > 0))
def test_networkx(structure):
    back = gr.from_networkx(gr.to_networkx(structure))
    assert with_edges_sorted(back) == with_edges_sorted(structure)


def test_networkx_nodes_are_numbered_in_the_order_of_the_graph():
    graph = nx.DiGraph()
    graph.add_node("b", token="B")
    graph.add_node("a")
    graph.add_edge("a", "b", slot=3)
    s = gr.from_networkx(graph)
    assert s.edge_index.tolist() == [[1], [0]]
    assert s.slot.tolist() == [3]
    assert s.tokens == ("B", None)


def test_networkx_undirected_edges_go_both_ways():
    s = gr.from_networkx(nx.path_graph(3))
    assert sorted(map(tuple, s.edge_index.t().tolist())) == [(0, 1), (1, 0), (1, 2), (2, 1)]


def test_networkx_parallel_edges():
    s = gr.dag([[0, 0], [1, 1]], relation=torch.tensor([4, 5]))
    graph = gr.to_networkx(s)
    assert isinstance(graph, nx.MultiDiGraph)
    assert gr.from_networkx(graph) == s
    assert isinstance(gr.to_networkx(gr.chain(2)), nx.DiGraph)


def test_networkx_sees_the_graph_that_pyg_sees():
    s = gr.dag([[0, 2, 1], [1, 1, 3]])
    assert nx.utils.graphs_equal(
        nx.DiGraph(gr.to_networkx(s).edges), nx.DiGraph(pyg_to_networkx(gr.to_pyg(s)).edges)
    )


@given(structure=carrying_all)
def test_pyg(structure):
    assert gr.from_pyg(gr.to_pyg(structure)) == structure


def test_pyg_names():
    data = gr.to_pyg(gr.tree("(X a b)").replace(relation=torch.tensor([1, 2]), kind=torch.tensor([0, 0, 1])))
    assert data.num_nodes == 3
    assert data.edge_type.tolist() == [1, 2]
    assert data.node_type.tolist() == [0, 0, 1]
    assert data.tokens == ["a", "b", None]
    assert data.is_directed()


def test_names_of_relations_and_kinds_go_to_pyg_and_come_back():
    s = gr.dag([[0, 1], [1, 2]], relation=torch.tensor([1, 0]), kind=torch.tensor([0, 1, 1]))
    s = s.replace(relation_names=["reads", "writes"], kind_names=["proc", "pipe"])
    assert gr.from_pyg(gr.to_pyg(s)).relation_names == ("reads", "writes")
    # PyG takes a list of N or of E values for values of nodes or of edges, and would take it apart.
    assert gr.from_pyg(gr.to_pyg(s).subgraph(torch.tensor([0, 1]))).kind_names == ("proc", "pipe")
    (batch,) = DataLoader([gr.to_pyg(s), gr.to_pyg(s)], batch_size=2)
    assert gr.from_pyg(batch) == gr.batch([s, s])
    other = s.replace(kind_names=["pipe", "proc"])
    (batch,) = DataLoader([gr.to_pyg(s), gr.to_pyg(other)], batch_size=2)
    with pytest.raises(ValueError, match="kind_names must be the same in all samples"):
        gr.from_pyg(batch)


def test_plain_pyg_data_gets_default_slots():
    s = gr.from_pyg(Data(edge_index=torch.tensor([[0, 1], [2, 2]]), num_nodes=4))
    assert (s.num_nodes, s.num_graphs) == (4, 1)
    assert s.slot.tolist() == [0, 1]
    assert s.relation is s.edge_attr is s.edge_weight is s.kind is s.tokens is s.labels is None


@given(members_and_batch=strategies.batches(one_graph))
def test_data_loader(members_and_batch):
    members, batch = members_and_batch
    data = [gr.to_pyg(member) for member in members]
    (collated,) = DataLoader(data, batch_size=len(data))
    assert gr.from_pyg(collated) == batch
    assert gr.from_pyg(Batch.from_data_list(data)) == batch


@given(members_and_batch=strategies.batches(one_graph))
def test_a_batch_from_pyg_can_be_taken_apart_by_pyg(members_and_batch):
    members, _ = members_and_batch
    collated = Batch.from_data_list([gr.to_pyg(member) for member in members])
    assert [gr.from_pyg(data) for data in collated.to_data_list()] == members


def test_data_loader_of_chains_and_trees():
    members = [gr.chain(3), gr.dag([[0], [1]]), gr.tree(parents=[2, 2, -1])]
    (collated,) = DataLoader([gr.to_pyg(member) for member in members], batch_size=3)
    assert gr.from_pyg(collated) == gr.batch(members)


@pytest.mark.parametrize("convert", [gr.to_pyg, gr.to_networkx])
def test_conversion_does_not_change_the_structure(convert):
    s = gr.tree("(X a (Y b c))")
    before = gr.tree("(X a (Y b c))")
    convert(s)
    assert s == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.long])
def test_networkx_keeps_the_dtype_of_edge_attributes(dtype):
    s = gr.chain(3).replace(edge_attr=torch.arange(2).to(dtype))
    graph = gr.to_networkx(s)
    assert gr.from_networkx(graph) == s
    assert nx.utils.graphs_equal(graph, gr.to_networkx(s))
    assert list(nx.generate_graphml(graph))
    graph.edges[0, 1]["edge_attr"] = 0.7
    assert gr.from_networkx(graph).edge_attr[0] == pytest.approx(0.7, rel=1e-3)


def test_networkx_weights_are_the_edges_weights():
    graph = nx.DiGraph()
    graph.add_edge("a", "b", weight=3)
    graph.add_edge("b", "c", weight=0.25)
    assert gr.from_networkx(graph).edge_weight.tolist() == [3, 0.25]
    graph.add_edge("b", "a")  # networkx counts it as 1
    assert gr.from_networkx(graph).edge_weight.tolist() == [3, 0.25, 1]
    friends = gr.from_networkx(nx.karate_club_graph())
    assert friends.edge_attr is None
    assert friends.edge_weight.sum() == 462


@pytest.mark.parametrize("labels", [5, torch.tensor([1, 0]), [1, 2]])
def test_labels_of_another_kind_are_left_alone(labels):
    data = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2, labels=labels)
    assert gr.from_pyg(data).labels is None
    assert gr.from_pyg(Batch.from_data_list([data, data])).labels is None


@pytest.mark.parametrize("text", ["null", "5", '{"a": 1}', '["a", 1]', "[" * 9999, ""])
def test_names_that_are_none_are_refused(text):
    data = gr.to_pyg(gr.chain(2))
    data.node_type, data.kind_names = torch.zeros(2, dtype=torch.long), text
    with pytest.raises(
        ValueError, match=r"^the data's kind_names must be a list of names as json.dumps writes it, got"
    ):
        gr.from_pyg(data)

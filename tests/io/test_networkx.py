"""networkx graphs: names, kinds and relations by name, weights; what is given is read or refused."""

import networkx as nx
import numpy as np
import pytest
import torch

import graphrec as gr


def calls() -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_node("main", kind="proc")
    graph.add_node("log", kind="pipe")
    graph.add_node("disk", kind="file")
    graph.add_edge("main", "log", relation="writes")
    graph.add_edge("log", "disk", relation="writes")
    graph.add_edge("disk", "main", relation="feeds")
    return graph


def test_names_of_nodes_become_tokens():
    assert gr.from_networkx(calls()).tokens == ("main", "log", "disk")
    assert gr.from_networkx(nx.DiGraph([(7, 8), (8, 5)])).tokens == ("7", "8", "5")
    assert gr.from_networkx(nx.DiGraph([(1, 0)])).tokens == ("1", "0")
    assert gr.from_networkx(nx.grid_2d_graph(1, 2)).tokens == ("(0, 0)", "(0, 1)")


def test_names_and_tokens_of_any_length():
    graph = nx.DiGraph([("a", 10**5000)])
    assert gr.from_networkx(graph).tokens == ("a", hex(10**5000))
    graph.nodes["a"]["token"] = 10**5000
    assert gr.from_networkx(graph).tokens == (hex(10**5000), None)


def test_names_that_are_numbers_in_order_say_nothing():
    assert gr.from_networkx(nx.path_graph(3)).tokens is None


def test_tokens_go_before_names():
    graph = calls()
    graph.nodes["log"]["token"] = 7
    assert gr.from_networkx(graph).tokens == (None, "7", None)


def test_kinds_and_relations_by_name_are_numbered_in_the_order_of_the_alphabet():
    s = gr.from_networkx(calls())
    assert s.kind.tolist() == [2, 1, 0]
    assert s.kind_names == ("file", "pipe", "proc")
    assert s.relation.tolist() == [1, 1, 0]
    assert s.relation_names == ("feeds", "writes")


def test_the_caller_may_give_one_numbering_for_many_graphs():
    kinds, relations = ["proc", "pipe", "file", "net"], ["writes", "feeds", "owns"]
    s = gr.from_networkx(calls(), kinds=kinds, relations=relations)
    assert s.kind.tolist() == [0, 1, 2]
    assert s.relation.tolist() == [0, 0, 1]
    other = nx.DiGraph([(0, 1, {"relation": "owns"})])
    nx.set_node_attributes(other, "net", "kind")
    both = gr.batch([s, gr.from_networkx(other, kinds=kinds, relations=relations)])
    assert both.kind.tolist() == [0, 1, 2, 3, 3]
    assert both.relation.tolist() == [0, 0, 1, 2]
    assert both.kind_names == tuple(kinds)
    with pytest.raises(ValueError, match="kind_names must be the same"):
        gr.batch([s, gr.from_networkx(other, relations=relations)])


def test_numbers_may_have_names_too():
    graph = nx.DiGraph([(0, 1, {"relation": 1})])
    assert gr.from_networkx(graph, relations=["reads", "writes"]).relation_names == ("reads", "writes")
    with pytest.raises(ValueError, match="relation must hold numbers 0 to 0"):
        gr.from_networkx(graph, relations=["reads"])


def test_names_come_back():
    s = gr.from_networkx(calls(), kinds=["proc", "pipe", "file", "net"])
    graph = gr.to_networkx(s)
    assert [graph.nodes[node]["kind"] for node in graph] == ["proc", "pipe", "file"]
    assert [graph.nodes[node]["token"] for node in graph] == ["main", "log", "disk"]
    assert list(nx.generate_graphml(graph))
    assert gr.from_networkx(graph) == s


def test_undirected_weights_go_both_ways_and_beside_attributes():
    graph = nx.Graph(
        [("a", "b", {"weight": 3, "edge_attr": [1.0, 2.0]}), ("b", "c", {"edge_attr": [3.0, 4.0]})]
    )
    s = gr.from_networkx(graph)
    weight = {
        tuple(edge): w for edge, w in zip(s.edge_index.t().tolist(), s.edge_weight.tolist(), strict=True)
    }
    assert weight == {(0, 1): 3.0, (1, 0): 3.0, (1, 2): 1.0, (2, 1): 1.0}
    assert s.edge_attr.shape == (4, 2)


def test_edge_attributes_may_be_arrays_or_tensors():
    for form in (np.array, torch.tensor, list):
        graph = nx.DiGraph([(0, 1, {"edge_attr": form([1.0, 2.0])}), (1, 2, {"edge_attr": form([3.0, 4.0])})])
        assert gr.from_networkx(graph).edge_attr.tolist() == [[1, 2], [3, 4]]


def test_doubles_are_not_rounded_on_their_way():
    s = gr.chain(2).replace(edge_attr=torch.tensor([0.1], dtype=torch.double))
    assert gr.from_networkx(gr.to_networkx(s)) == s


def test_a_graph_without_nodes():
    for graph in (nx.Graph(), nx.MultiDiGraph()):
        s = gr.from_networkx(graph)
        assert (s.num_nodes, s.num_edges, s.num_graphs) == (0, 0, 1)
        assert s.tokens is None
    named = gr.from_networkx(nx.DiGraph(), kinds=["a"], relations=["b"])
    assert gr.batch([named, gr.from_networkx(nx.DiGraph())]).num_nodes == 0
    assert gr.from_networkx(gr.to_networkx(gr.batch([]))) == gr.batch([])

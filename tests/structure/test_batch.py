"""Batches: structures side by side, with all that they carry."""

import ast

import torch
from hypothesis import given
from torch.utils.data import DataLoader, default_collate

import graphrec as gr
from tests import strategies

structures = strategies.chains() | strategies.trees() | strategies.dags() | strategies.graphs()
carrying_all = strategies.carrying_all(structures)


def members_of(batch, like):
    """A batch taken apart again, given structures of the members' sizes."""
    nodes = edges = graphs = 0
    for member in like:
        node, edge = slice(nodes, nodes + member.num_nodes), slice(edges, edges + member.num_edges)
        yield gr.Structure(
            member.num_nodes,
            batch.edge_index[:, edge] - nodes,
            slot=batch.slot[edge],
            relation=batch.relation[edge],
            edge_attr=batch.edge_attr[edge],
            edge_weight=batch.edge_weight[edge],
            kind=batch.kind[node],
            graph=batch.graph[node] - graphs,
            num_graphs=member.num_graphs,
            tokens=batch.tokens[node],
            labels=batch.labels[node],
            past=batch.past[node],
            relation_names=batch.relation_names,
        )
        nodes, edges, graphs = node.stop, edge.stop, graphs + member.num_graphs


@given(members_and_batch=strategies.batches(carrying_all))
def test_a_batch_has_all_that_its_members_have(members_and_batch):
    members, batch = members_and_batch
    assert batch.num_nodes == sum(member.num_nodes for member in members)
    assert batch.num_graphs == sum(member.num_graphs for member in members)
    assert list(members_of(batch, members)) == members


@given(members_and_batch=strategies.batches(carrying_all))
def test_batches_of_batches(members_and_batch):
    members, batch = members_and_batch
    assert gr.batch([gr.batch(members[:1]), batch]) == gr.batch([members[0], *members])


@given(members_and_batch=strategies.batches(strategies.chains() | strategies.dags()))
def test_levels_of_a_batch_are_its_members_levels(members_and_batch):
    members, batch = members_and_batch
    assert torch.equal(gr.levels(batch), torch.cat([gr.levels(member) for member in members]))


def test_the_edges_of_a_batch():
    s = gr.batch([gr.tree("(X a b)"), gr.chain(2)])
    assert s.edge_index.tolist() == [[0, 1, 3], [2, 2, 4]]
    assert s.graph.tolist() == [0, 0, 0, 1, 1]
    assert s.tokens == ("a", "b", None, None, None)  # a member without tokens has none


def test_a_member_without_edges_need_not_say_what_they_would_carry():
    plain = gr.dag([[0], [1]], relation=torch.tensor([2]), edge_attr=torch.ones(1, 3))
    s = gr.batch([gr.chain(1), plain])
    assert s.relation.tolist() == [2]
    assert s.edge_attr.tolist() == [[1, 1, 1]]


def test_graphs_without_nodes_keep_their_place():
    s = gr.batch([gr.chains([0, 2]), gr.chains([0]), gr.chain(1)])
    assert s.num_graphs == 4
    assert s.graph.tolist() == [1, 1, 3]


def test_members_keep_the_names_of_their_numbers():
    named = gr.dag([[0], [1]], relation=torch.tensor([1])).replace(relation_names=["reads", "writes"])
    assert gr.batch([named, named]).relation_names == ("reads", "writes")
    assert gr.batch([named, gr.chain(1), named]).relation_names == ("reads", "writes")
    assert gr.batch([gr.chain(2), gr.chain(1)]).relation_names is None


def test_torchs_own_loader_joins_structures():
    members = [(gr.tree("(S (N a) b)"), 1.0), (gr.tree("(S c)"), 2.0)]
    ((joined, y),) = DataLoader(members, batch_size=2)
    assert joined == gr.batch([s for s, _ in members])
    assert y.tolist() == [1.0, 2.0]
    assert default_collate([gr.chain(2), gr.chain(3)]) == gr.batch([gr.chain(2), gr.chain(3)])


def test_names_of_numbers_that_no_edge_has_are_no_obstacle():
    alone = gr.tree(ast.Load())
    assert gr.batch([gr.chain(1), alone, gr.chain(1)]).relation_names is None
    assert gr.batch([alone, gr.chain(1)]).relation_names == gr.SYNTAX_FIELDS

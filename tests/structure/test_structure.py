"""A structure itself: it cannot be changed, it can be compared, copied with changes, and printed."""

import dataclasses

import pytest
import torch

import graphrec as gr

SENTENCE = "(3 (2 It) (4 (2 's) (4 good)))"


@pytest.mark.parametrize("name", ["num_nodes", "edge_index", "slot", "relation", "tokens", "num_graphs"])
def test_fields_cannot_be_assigned(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(gr.chain(2), name, None)


def test_replace_makes_a_copy():
    s = gr.chain(3)
    gr.schedule(s)
    other = s.replace(relation=torch.tensor([1, 2]))
    assert s.relation is None
    assert other.relation.tolist() == [1, 2]
    assert other != s
    assert gr.schedule(other).relation.tolist() == [1, 2]  # not the schedule that s has kept


@pytest.mark.parametrize("change", [{"num_nodes": 5}, {"edge_index": torch.zeros(2, 0, dtype=torch.long)}])
def test_the_wiring_cannot_be_replaced(change):
    with pytest.raises(ValueError, match=r"build a new structure, e\.g\. with graphrec\.dag"):
        gr.chain(3).replace(**change)


def test_dag_copies_the_edges_that_it_is_given():
    edges = torch.tensor([[0, 1], [1, 2]])
    s = gr.dag(edges)
    edges.zero_()
    assert s.edge_index.tolist() == [[0, 1], [1, 2]]


DIFFERENT = [
    gr.chain(3),
    gr.chain(4),
    gr.chains([2, 1]),
    gr.chain(3).reverse(),
    gr.chain(3).replace(slot=torch.tensor([0, 1])),
    gr.chain(3).replace(relation=torch.tensor([0, 0])),
    gr.chain(3).replace(relation=torch.tensor([0, 1])),
    gr.chain(3).replace(edge_attr=torch.zeros(2, 1)),
    gr.chain(3).replace(edge_attr=torch.zeros(2, 1, dtype=torch.float64)),
    gr.chain(3).replace(edge_weight=torch.zeros(2)),
    gr.chain(3).replace(edge_weight=torch.zeros(2, dtype=torch.float64)),
    gr.chain(3).replace(kind=torch.tensor([0, 0, 1])),
    gr.chain(3).replace(past=torch.tensor([1, 1, 1])),
    gr.chain(3).replace(past=torch.tensor([1, 1, 2])),
    gr.chain(3).replace(tokens=("a", "b", "c")),
    gr.chain(3).replace(labels=("a", "b", "c")),
    gr.chain(3).replace(labels=("a", "b", None)),
]


def test_structures_are_equal_where_all_that_they_carry_is():
    for i, one in enumerate(DIFFERENT):
        for j, other in enumerate(DIFFERENT):
            assert (one == other) == (i == j)
    assert gr.tree(SENTENCE) == gr.tree(SENTENCE)
    assert gr.chain(3) == gr.dag([[0, 1], [1, 2]])
    assert gr.chain(3) != "a chain"


def test_structures_are_not_hashable():
    with pytest.raises(TypeError, match="unhashable"):
        hash(gr.chain(2))


def test_a_structure_that_is_there_already_need_not_move():
    s = gr.chain(3)
    assert s.to("cpu") is s
    assert s.device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_to_another_device_takes_all_tensors_along():
    s = gr.chain(3).replace(edge_attr=torch.ones(2, 1), edge_weight=torch.ones(2)).to("cuda")
    assert s.device.type == "cuda"
    assert all(
        getattr(s, name).is_cuda
        for name in ("edge_index", "slot", "edge_attr", "edge_weight", "graph", "level")
    )
    assert s.to("cpu") == gr.chain(3).replace(edge_attr=torch.ones(2, 1), edge_weight=torch.ones(2))


@pytest.mark.parametrize(
    ("structure", "text"),
    [
        (gr.chain(3), "Structure(nodes=3, edges=2)"),
        (gr.chains([3, 1]), "Structure(nodes=4, edges=2, graphs=2)"),
        (gr.tree(SENTENCE), "Structure(nodes=5, edges=4, with tokens, labels)"),
        (gr.grid([2], 2), "Structure(nodes=4, edges=4, with kind)"),
        (gr.dag([[0], [1]], edge_weight=torch.ones(1)), "Structure(nodes=2, edges=1, with edge_weight)"),
    ],
)
def test_printing(structure, text):
    assert repr(structure) == text


@pytest.mark.parametrize("relations", [None, [0, 2, 0]])
def test_both_ways_tell_the_directions(relations):
    relation = None if relations is None else torch.tensor(relations)
    attr, weight = torch.randn(3, 2), torch.rand(3)
    s = gr.dag(
        [[0, 1, 1], [1, 2, 1]],
        4,
        relation=relation,
        edge_attr=attr,
        edge_weight=weight,
        kind=torch.tensor([0, 1, 1, 0]),
    )
    both = s.both_ways()
    assert both.edge_index.tolist() == [[0, 1, 1, 1, 2, 1], [1, 2, 1, 0, 1, 1]]
    there = [0, 0, 0] if relations is None else relations
    assert both.relation.tolist() == there + [max(there) + 1 + r for r in there]
    assert torch.equal(both.edge_attr, torch.cat([attr, attr]))
    assert torch.equal(both.edge_weight, torch.cat([weight, weight]))
    assert both.slot.tolist() == [0, 0, 1, 0, 2, 3]
    assert both.kind.tolist() == s.kind.tolist()
    assert gr.dag(torch.zeros(2, 0, dtype=torch.long), 2).both_ways().num_edges == 0

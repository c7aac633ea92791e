"""Where nodes are placed: what makes a drawing tidy, on any tree, and that depth costs nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from graphrec import viz


@st.composite
def forests(draw):
    """Parents of up to 40 nodes, numbered in any order."""
    count = draw(st.integers(1, 40))
    parents = [draw(st.integers(-1, node - 1)) for node in range(count)]
    number = draw(st.permutations(range(count)))
    renumbered = [0] * count
    for node, parent in enumerate(parents):
        renumbered[number[node]] = -1 if parent < 0 else number[parent]
    return renumbered


def structure_of(parents):
    child = [node for node, parent in enumerate(parents) if parent >= 0]
    edges = torch.tensor([child, [parents[c] for c in child]], dtype=torch.long)
    return gr.dag(edges, len(parents))


@given(forests())
def test_tidy_on_any_forest(parents):
    at = viz.tidy(structure_of(parents))
    children = {node: [c for c, p in enumerate(parents) if p == node] for node in range(len(parents))}
    for node, below in children.items():
        for child in below:
            assert at[child, 1] == at[node, 1] - 1
        if below:
            places = at[below, 0]
            assert (places.diff() >= 1 - 1e-4).all()  # in the order of their slots
            assert at[node, 0] == pytest.approx(float(places[0] + places[-1]) / 2, abs=1e-4)
    for level in at[:, 1].unique():
        assert (at[at[:, 1] == level, 0].sort().values.diff() >= 1 - 1e-4).all()
    assert at[:, 0].min() == 0


def test_subtrees_are_as_close_as_their_outlines_allow():
    # A deep first child and a flat second one: the second is 1 from the first, not from what is below it.
    s = gr.tree("(a (b (c (d 1) (d 2) (d 3) (d 4) (d 5))) (e 6))", labels=True)
    at = viz.tidy(s)
    root = s.num_nodes - 1
    b, e = (int(s.source[(s.target == root) & (s.slot == slot)]) for slot in (0, 1))
    assert at[e, 0] - at[b, 0] == 1


def test_mirrored_slots_mirror_the_drawing():
    s = gr.tree("(a (b (c 1) (c 2) (c 3)) (d (e 4)))")
    mirrored = s.replace(slot=10 - s.slot)
    a, b = viz.tidy(s), viz.tidy(mirrored)
    assert torch.equal(a[:, 1], b[:, 1])
    torch.testing.assert_close(a[:, 0] + b[:, 0], (a[0, 0] + b[0, 0]).expand(s.num_nodes))


@pytest.mark.parametrize("parent", [lambda i: i - 1, lambda i: 0, lambda i: max(0, i - 2 + i % 2)])
def test_deep_and_wide_trees(parent):
    count = 20_000
    s = gr.tree(parents=[-1, *(parent(i) for i in range(1, count))])
    at = viz.place(s)
    assert at.shape == (count, 2)
    assert at.isfinite().all()


def test_no_nodes_and_one_node():
    none = torch.zeros(2, 0, dtype=torch.long)
    assert viz.place(gr.dag(none, 0)).shape == (0, 2)
    assert viz.place(gr.dag(none, 1)).tolist() == [[0, 0]]


def test_dags_stand_by_level():
    s = gr.dag(torch.tensor([[0, 0, 1, 2, 0], [1, 2, 3, 3, 3]]), 4)
    at = viz.place(s)
    assert at[:, 1].tolist() == [0, 1, 1, 2]
    assert len({tuple(row) for row in at.tolist()}) == 4


def test_neighbours_are_moved_close():
    # Two ladders with their nodes numbered crosswise: untangled, each column is one ladder.
    s = gr.dag(torch.tensor([[0, 1, 3, 2, 0, 1], [3, 2, 4, 5, 4, 5]]), 6)
    at = viz.layered(s)
    # (An edge that passes a level bends there, and so stands between the ladders.)
    assert (at[[0, 3, 4], 0] < at[[1, 2, 5], 0]).all() or (at[[0, 3, 4], 0] > at[[1, 2, 5], 0]).all()


def test_refusals():
    with pytest.raises(gr.CycleError, match="there is a cycle"):
        viz.layered(gr.dag(torch.tensor([[0, 1], [1, 0]]), 2))
    with pytest.raises(ValueError, match="node 0 has 2: use layered"):
        viz.tidy(gr.dag(torch.tensor([[0, 0], [1, 2]]), 3))

"""What is in a picture: a mark per node, a line per edge, the labels; and what is refused."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

import graphrec as gr
from graphrec import viz

SENTENCE = gr.tree("(3 (2 It) (4 (2 's) (4 good)))")
DIAMOND = gr.dag(torch.tensor([[0, 0, 1, 2], [1, 2, 3, 3]]), 4)
RING = gr.dag(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)


@pytest.fixture
def ax():
    return Figure().add_subplot()


def lines(ax):
    """The lines of a tree."""
    (found,) = (c for c in ax.collections if isinstance(c, LineCollection))
    return found.get_segments()


def arrows(ax):
    """From where to where each arrow leads, in steps and heights."""
    found = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    return [(*arrow._posA_posB[0], *arrow._posA_posB[1]) for arrow in found]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_tree_with_values(ax):
    values = torch.arange(5) / 4
    nodes = viz.draw_tree(SENTENCE, values, ax=ax)
    assert nodes.get_array().tolist() == values.tolist()
    assert nodes.get_offsets().tolist() == viz.place(SENTENCE).tolist()
    assert len(lines(ax)) == 4
    assert texts(ax) == ["It", "'s", "good", "4", "3"]  # tokens, and where there are none, labels
    ax.figure.colorbar(nodes)
    ax.figure.canvas.draw()


def test_lines_join_sources_and_targets(ax):
    viz.draw_tree(SENTENCE, ax=ax, sideways=True)
    x, y = viz.place(SENTENCE).unbind(1)
    for line, (source, target) in zip(lines(ax), SENTENCE.edge_index.t().tolist(), strict=True):
        assert line[0].tolist() == pytest.approx([float(-y[source]), float(-x[source])])
        assert line[-1].tolist() == pytest.approx([float(-y[target]), float(-x[target])])


def test_labels_sizes_and_limits(ax):
    labels = ["a", None, "", "d", "e"]
    nodes = viz.draw_tree(SENTENCE, [1, 2, 3, 4, 5], labels, ax, sizes=[10, 20, 30, 40, 50], limits=(0, 10))
    assert texts(ax) == ["a", "d", "e"]
    assert nodes.get_sizes().tolist() == [10, 20, 30, 40, 50]
    assert nodes.get_clim() == (0, 10)


@pytest.mark.parametrize("structure", [gr.dag(torch.zeros(2, 0, dtype=torch.long), 1), gr.chains([3, 1])])
def test_other_forests(ax, structure):
    viz.draw_tree(structure, ax=ax)
    assert len(lines(ax)) == structure.num_edges
    ax.figure.canvas.draw()


@pytest.mark.parametrize("structure", [DIAMOND, RING, gr.dag([[0, 0, 1], [0, 1, 0]], 2)])
def test_other_graphs_have_arrows(ax, structure):
    nodes = viz.draw_tree(structure, ax=ax)
    at = nodes.get_offsets()
    assert len({tuple(place) for place in at.tolist()}) == structure.num_nodes
    expected = [(*at[u], *at[v]) for u, v in structure.edge_index.T.tolist()]
    for arrow, ends, (u, v) in zip(arrows(ax), expected, structure.edge_index.T.tolist(), strict=True):
        assert u == v or arrow == pytest.approx(ends)
    ax.figure.canvas.draw()


def test_large_structures_have_labels_where_they_are_asked_for(ax):
    s = gr.chain(61).replace(tokens=tuple(map(str, range(61))))
    viz.draw_tree(s, ax=ax)
    viz.draw_schedule(gr.schedule(s), ax=ax)
    assert texts(ax) == []
    viz.draw_schedule(gr.schedule(s), labels=s.tokens, ax=ax)
    assert texts(ax) == list(s.tokens)


def test_a_schedule_has_a_column_per_level(ax):
    nodes = viz.draw_schedule(gr.schedule(DIAMOND), [0, 1, 2, 3], ax=ax)
    assert nodes.get_offsets()[:, 0].tolist() == [0, 1, 1, 2]
    assert [(a[0], a[2]) for a in arrows(ax)] == [(0, 1), (0, 1), (1, 2), (1, 2)]
    assert texts(ax) == ["0", "1", "2", "3"]
    assert ax.get_xlabel() == "level"


def test_rounds_lead_from_one_to_the_next(ax):
    nodes = viz.draw_schedule(gr.schedule(RING, mode="sync", rounds=4), ax=ax)
    assert len(nodes.get_offsets()) == 3 * 5
    assert len(arrows(ax)) == 3 * 4
    assert all(arrow[2] - arrow[0] == 1 for arrow in arrows(ax))
    assert texts(ax) == ["0", "1", "2"]
    assert ax.get_xlabel() == "round"


def test_iterated_steps_say_so(ax):
    s = gr.dag([[0, 1, 2, 2], [1, 2, 1, 3]], 4)
    nodes = viz.draw_schedule(gr.schedule(s, cycles="iterate", rounds=2), ax=ax)
    assert nodes.get_offsets()[:, 0].tolist() == [0, 1, 1, 2]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1, iterated", "2"]
    assert sorted(arrow[2] - arrow[0] for arrow in arrows(ax)) == [0, 0, 1, 1]


def test_in_a_given_order_edges_may_lead_back(ax):
    viz.draw_schedule(gr.schedule(RING, order=torch.arange(3)), ax=ax)
    assert sorted(arrow[2] - arrow[0] for arrow in arrows(ax)) == [-2, 1, 1]


def test_nodes_of_a_renumbered_schedule_keep_their_values(ax):
    s = gr.chain(4).reverse()
    nodes = viz.draw_schedule(gr.schedule(s), [0.0, 1.0, 2.0, 3.0], ax=ax)
    assert nodes.get_array().tolist() == [0, 1, 2, 3]  # in the order of their numbers
    assert nodes.get_offsets()[:, 0].tolist() == [3, 2, 1, 0]
    assert texts(ax) == ["0", "1", "2", "3"]
    assert all(arrow[2] - arrow[0] == 1 for arrow in arrows(ax))


def test_numbers_of_arrays_and_tensors(ax):
    values = np.array([1, 2, 3, 4, 5], dtype=np.float32)
    for limits in ((values.min(), values.max()), np.array([1.0, 5.0]), torch.tensor([1.0, 5.0])):
        nodes = viz.draw_tree(SENTENCE, values, ax=ax, sizes=np.float32(20), limits=limits)
        assert nodes.get_clim() == (1, 5)
        assert set(nodes.get_sizes().tolist()) == {20}


def test_refusals(ax):
    with pytest.raises(ValueError, match="values must be one number per node: expected 5, got shape"):
        viz.draw_tree(SENTENCE, torch.zeros(4), ax=ax)
    with pytest.raises(ValueError, match="sizes must be one number per node: expected 5"):
        viz.draw_tree(SENTENCE, ax=ax, sizes=[1, 2])
    with pytest.raises(ValueError, match="labels must be one per node: expected 5, got 1"):
        viz.draw_tree(SENTENCE, labels=["a"], ax=ax)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    plan = gr.schedule(SENTENCE)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as where it is not installed
    for draw in (lambda: viz.draw_tree(SENTENCE), lambda: viz.draw_schedule(plan)):
        with pytest.raises(ImportError, match=r"drawing needs matplotlib: pip install 'graphrec\[viz\]'"):
            draw()
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert any(need.startswith("matplotlib") for need in extras["optional-dependencies"]["viz"])

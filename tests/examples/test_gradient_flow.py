"""The example on how far gradients reach: its trees, what it measures of them, and the whole of it, small."""

import networkx as nx
import pytest
import torch

from graphrec import dynamics

SMALL = {"sequences": 2, "length": 20, "long": 40, "leaves": 16, "hidden": 4}


def nested(tree, root=None):
    """A binary tree as pairs of leaves' numbers, left before right."""
    children = {}
    for (child, parent), slot in zip(tree.edge_index.t().tolist(), tree.slot.tolist(), strict=True):
        children.setdefault(parent, {})[slot] = child
    root = tree.num_nodes - 1 if root is None else root
    if root not in children:
        return root
    return nested(tree, children[root][0]), nested(tree, children[root][1])


def test_the_trees_have_the_same_leaves_in_the_same_order(example):
    assert nested(example.chain_tree(4)) == (((0, 1), 2), 3)
    assert nested(example.balanced_tree(8)) == (((0, 1), (2, 3)), ((4, 5), (6, 7)))


def test_leaves_are_as_far_as_the_table_says(example):
    trees = example.over_trees(example.Sizes(**SMALL), 0)
    assert trees["chain"].hops.tolist() == [15, *range(15, 0, -1)]
    assert trees["balanced"].hops.tolist() == [4] * 16


def test_a_leaf_has_the_norm_of_its_own_jacobian(example):
    sizes = example.Sizes(**SMALL)
    leaves = example.over_trees(sizes, 0)["chain"]
    torch.manual_seed(0)
    cell = example.gr.NaryTreeLSTMCell(example.D, 4, arity=2).double()
    x = torch.cat([example.symbols(1, 16, 0)[0][:16], torch.zeros(15, example.D, dtype=torch.float64)])
    flow = dynamics.gradient_flow(cell, x, example.chain_tree(16))
    for leaf in range(16):
        assert leaves.norm[leaf] == flow.norm[flow.source == leaf].item()


def test_all_networks_read_the_same_sequences_to_the_end(example):
    found = example.over_sequences(example.Sizes(**SMALL), 0)
    assert set(found) == set(example.CELLS)
    s = example.symbols(2, 20, 0)[1]
    last = [node for node, degree in nx.DiGraph(s.edge_index.t().tolist()).out_degree() if not degree]
    for one in found.values():
        assert one.flow.target.unique().tolist() == sorted(last)
        assert len(one.flow.norm) == s.num_nodes


def test_what_is_known_of_the_networks_shows(example):
    found = example.over_sequences(example.Sizes(**(SMALL | {"length": 50, "hidden": 16})), 0)
    rate = {name: one.flow.rate for name, one in found.items()}
    lstm = [rate[f"LSTM, forget bias {bias}"] for bias in (0, 1, 2)]
    assert rate["SRN"] < lstm[0] < lstm[1] < lstm[2] < 1 < rate["residual SRN"]


@pytest.mark.slow
def test_it_runs_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("gradient_flow.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    assert "residual SRN" in said[0]
    assert (tmp_path / "a" / "flow.png").stat().st_size > 10_000

"""A million nodes: the levels are right. (How long it takes is a matter for benchmarks/.)"""

import numpy as np
import pytest
import torch

import graphrec as gr

pytestmark = pytest.mark.slow

N = 1_000_000


def shuffled(edges, level, num_nodes):
    """The nodes in no order, and the level that each then has."""
    number = torch.randperm(num_nodes)
    expected = torch.empty(num_nodes, dtype=torch.long)
    expected[number] = level
    edges = number[edges]
    return gr.dag(edges[:, torch.randperm(edges.shape[1])], num_nodes), expected


def assert_levels(structure, expected):
    assert torch.equal(gr.levels(structure), expected)
    plan = gr.schedule(structure)
    assert len(plan.steps) == int(expected.max()) + 1
    assert torch.equal(expected[plan.perm], expected.sort().values)
    assert torch.equal(plan.perm.sort().values, torch.arange(structure.num_nodes))


def test_chain():
    nodes = torch.arange(N)
    assert_levels(gr.chain(N), nodes)
    assert_levels(*shuffled(torch.stack([nodes[:-1], nodes[1:]]), nodes, N))


def heights(parent):
    """Of each node, children before parents: here every node's parent has a lower number."""
    height = [0] * len(parent)
    for node in range(len(parent) - 1, 0, -1):
        above = parent[node]
        height[above] = max(height[above], height[node] + 1)
    return torch.tensor(height)


@pytest.mark.parametrize("reach", [N, 20], ids=["shallow", "deep"])
def test_random_tree(reach):
    """A parent is drawn among the `reach` nodes before; the tree is upside down for the reverse."""
    node = np.arange(1, N)
    back = 1 + (np.random.default_rng(0).random(N - 1) * np.minimum(node, reach)).astype(np.int64)
    parent = torch.from_numpy(np.concatenate([[-1], node - np.minimum(back, node)]))
    edges = torch.stack([torch.arange(1, N), parent[1:]])
    assert_levels(*shuffled(edges, heights(parent.tolist()), N))
    depth = [0] * N
    for v, above in enumerate(parent.tolist()):
        depth[v] = depth[above] + 1 if v else 0
    s, expected = shuffled(edges.flip(0), torch.tensor(depth), N)
    assert_levels(s, expected)
    assert torch.equal(gr.tree(parents=parent).edge_index, edges)


def test_dag_with_tens_of_thousands_of_levels():
    """Every node has a source on the level below, and two anywhere below: its level is known."""
    levels = 30_000
    level = torch.cat([torch.arange(levels), torch.randint(levels, (N - levels,))]).sort().values
    first = torch.searchsorted(level, torch.arange(levels + 1))
    above = (level > 0).nonzero().flatten()

    def drawn_from(start, stop):
        return start + (torch.rand(len(above)) * (stop - start)).long()

    below = level[above]
    sources = torch.cat(
        [
            drawn_from(first[below - 1], first[below]),
            drawn_from(torch.zeros_like(above), first[below]),
            drawn_from(torch.zeros_like(above), first[below]),
        ]
    )
    assert_levels(*shuffled(torch.stack([sources, above.repeat(3)]), level, N))


def test_many_trees_in_a_batch():
    trees = [gr.tree(parents=[2, 2, 4, 4, -1]), gr.chain(7), gr.chain(1)]
    members = [trees[i] for i in torch.randint(3, (10_000,)).tolist()]
    expected = torch.cat([gr.levels(member) for member in members])
    assert_levels(gr.batch(members), expected)

"""Line graphs: which edges go on as which, what travels along, and the multitree that is left of one."""

import itertools

import pytest
import torch

import graphrec as gr


def random_dag(nodes, edges):
    ends = torch.randint(nodes, (2, edges)).sort(0).values
    return gr.dag(ends[:, ends[0] < ends[1]], nodes)


def pairs_of(line):
    return sorted(zip(*line.edge_index.tolist(), strict=True))


def expected_pairs(s):
    edges = list(zip(*s.edge_index.tolist(), strict=True))
    numbered = itertools.product(enumerate(edges), repeat=2)
    return sorted((e, after) for (e, (_, end)), (after, (begin, _)) in numbered if end == begin)


def most_paths(line):
    """The largest number of paths between two nodes."""
    if not line.num_nodes:
        return 0
    one = torch.zeros(line.num_nodes, line.num_nodes, dtype=torch.long)
    one.index_put_(tuple(line.edge_index), torch.ones(line.num_edges, dtype=torch.long), accumulate=True)
    found = paths = torch.eye(line.num_nodes, dtype=torch.long)
    for _ in range(line.num_nodes):
        paths = paths @ one
        found = found + paths
    return int(found.max())


@pytest.mark.parametrize("seed", range(20))
def test_an_edge_goes_on_as_each_that_begins_where_it_ends(seed):
    torch.manual_seed(seed)
    s = random_dag(6, 3 * seed % 14)
    gr.levels(s), gr.levels(s.reverse())
    line = gr.line_graph(s)
    assert pairs_of(line) == expected_pairs(s)
    fresh = gr.line_graph(s.replace(level=None))  # does not know its levels
    assert fresh.level is None
    assert torch.equal(line.level, gr.levels(fresh))
    assert torch.equal(line.level_reversed, gr.levels(fresh.reverse()))
    assert most_paths(gr.line_graph(s, multitree=True)) <= 1


def test_what_an_edge_has_travels_along():
    s = gr.dag(
        [[0, 1, 1, 3], [1, 2, 3, 2]],
        relation=torch.tensor([2, 0, 1, 1]),
        edge_attr=torch.arange(8.0).view(4, 2),
        edge_weight=torch.tensor([1.0, 2, 3, 4]),
    ).replace(relation_names=("a", "b", "c"))
    line = gr.line_graph(s)
    assert line.edge_index.tolist() == [[0, 0, 2], [1, 2, 3]]
    assert line.relation.tolist() == [2, 2, 1]
    assert line.kind.tolist() == [2, 0, 1, 1]
    assert line.relation_names == line.kind_names == ("a", "b", "c")
    assert line.edge_attr.tolist() == [[0, 1], [0, 1], [4, 5]]
    assert line.edge_weight.tolist() == [1, 1, 3]


def test_features_have_gradients_and_widths_of_their_own():
    features = torch.randn(3, 2, requires_grad=True)
    s = gr.dag([[0, 1, 1], [1, 2, 2]], edge_attr=features)
    for _ in range(2):  # what is kept with s belongs to no call
        gr.line_graph(s).edge_attr.sum().backward()
    assert features.grad.tolist() == [[4, 4], [0, 0], [0, 0]]
    relation = torch.tensor([0, 1, 1])
    mixed = gr.dag([[0, 1, 2], [1, 2, 3]], relation=relation).replace(
        edge_attr=[torch.ones(1, 2), torch.arange(2.0).view(2, 1)]
    )
    line = gr.line_graph(mixed)
    assert [part.edges.tolist() for part in line.edge_attr.relations] == [[0], [1]]
    assert [part.rows.tolist() for part in line.edge_attr.relations] == [[[1, 1]], [[0]]]


def test_slots_and_the_past_are_those_of_the_node_that_an_edge_leaves():
    s = gr.grid([3], layers=2)
    line = gr.line_graph(s)
    assert torch.equal(line.past, torch.ones(7, dtype=torch.long))
    assert torch.equal(line.slot, s.slot[line.source])
    assert torch.equal(gr.line_graph(gr.chain(5)).edge_index, gr.chain(4).edge_index)


@pytest.mark.parametrize("multitree", [False, True])
def test_a_batch_is_its_members(multitree):
    members = [gr.chain(3), gr.grid([3], 3), random_dag(6, 12), gr.chains([0, 2]), gr.dag([[], []], 2)]
    members = [m.replace(kind=None, past=None) for m in members]
    whole = gr.line_graph(gr.batch(members), multitree)
    assert gr.line_graph(gr.chain(1)).num_nodes == gr.line_graph(gr.chains([])).num_nodes == 0
    assert whole == gr.batch([gr.line_graph(m, multitree) for m in members])


def test_what_is_left_of_trees_and_grids():
    tree = gr.tree(parents=[4, 4, 4, 5, 5, -1])
    for s in (tree, tree.reverse(), gr.chain(4)):
        assert pairs_of(gr.line_graph(s, multitree=True)) == expected_pairs(s)
    for s in (gr.grid([4, 2], 3), gr.grid([4, 2], 3).reverse()):  # no turns from columns into rows
        slot = s.slot.tolist()
        kept = [(e, after) for e, after in expected_pairs(s) if (slot[e], slot[after]) != (1, 0)]
        assert pairs_of(gr.line_graph(s, multitree=True)) == kept
    # A row 0 → 1 → 2 and a column 1 → 3 → 2 → 4 that cross twice are no grid, whatever their slots.
    twice = gr.dag([[0, 1, 1, 3, 2], [1, 2, 3, 2, 4]]).replace(slot=torch.tensor([0, 0, 1, 1, 1]))
    assert (most_paths(gr.line_graph(twice)), most_paths(gr.line_graph(twice, multitree=True))) == (2, 1)


def test_cost_is_linear():
    line = gr.line_graph(gr.chain(200_000))
    assert (line.num_nodes, line.num_edges) == (199_999, 199_998)
    assert gr.line_graph(gr.grid([300], 300), multitree=True).num_edges == 2 * 300 * 298 + 299 * 299
    # A hub, through which 10^10 pairs of edges go.
    ends = torch.arange(100_000)
    hub = gr.dag(torch.cat([torch.stack([ends + 1, 0 * ends]), torch.stack([0 * ends, ends + 100_001])], 1))
    assert gr.line_graph(hub, multitree=True).num_edges == 100_000


def test_something_else_is_refused():
    with pytest.raises(TypeError, match="line_graph takes a structure, got Tensor: build one with"):
        gr.line_graph(torch.zeros(2, 0))

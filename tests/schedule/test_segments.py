"""Segments are the maximal runs in which every node has one source, whose only target it is: against a definition."""

import importlib
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from graphrec import clib
from graphrec.schedule import blocks_of, chains, segments, with_initial
from graphrec.structure import native
from tests import strategies
from tests.counting import Count
from tests.fuzz.schedules import assert_same, both, no_library

blocks_module = importlib.import_module("graphrec.schedule.side_by_side")


@st.composite
def with_runs(draw, of, longest=4):
    """A structure each edge of which has become a run of nodes."""
    s = draw(of)
    pairs, count = [], s.num_nodes
    for source, target in s.edge_index.t().tolist():
        inner = range(count, count + draw(st.integers(0, longest)))
        count += len(inner)
        pairs += pairwise([source, *inner, target])
    number = torch.tensor(draw(st.permutations(range(count))))
    edges = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t()
    return gr.dag(number[edges], count)


acyclic = strategies.acyclic()
anything = (
    with_runs(strategies.trees() | strategies.dags(max_nodes=6))
    | strategies.carrying_all(acyclic)
    | strategies.batches(acyclic).map(lambda drawn: drawn[1])
)


def by_hand(plan):
    """The segments, each a list of nodes, in order; and of each its level, its head's degree and the row it reads."""
    first, bounds = plan.boundary.shape[0], plan.steps.node_bounds
    inbox: list[list[int]] = [[] for _ in range(plan.num_nodes)]
    for step in plan.steps:
        for edge in range(step.edges.start, step.edges.stop):
            inbox[bounds[step.number] + int(plan.target[edge])].append(int(plan.source[edge]) - first)
    leaving = Counter(source for sources in inbox for source in sources)
    found, of_node = [], {}
    for position, sources in enumerate(inbox):  # (sources stand before their targets)
        if len(sources) == 1 and sources[0] >= 0 and leaving[sources[0]] == 1:
            of_node[position] = of_node[sources[0]]
        else:
            above = [of_node[source][1] for source in sources if source >= 0]
            of_node[position] = ([], 1 + max(above, default=-1), sources)
            found.append(of_node[position])
        of_node[position][0].append(position)
    found.sort(key=lambda segment: (segment[1], -len(segment[0])))  # (stable)
    return [
        (plan.perm[positions].tolist(), level, len(sources), sources[0] + first if len(sources) == 1 else -1)
        for positions, level, sources in found
    ]


@given(s=anything, initial=st.booleans())
def test_they_are_those_of_the_definition(s, initial):
    plan = gr.schedule(s)
    plan = with_initial(plan) if initial else plan
    found, expected = segments(plan), by_hand(plan)
    assert found.num_segments == len(expected)
    assert found.length.tolist() == [len(nodes) for nodes, *_ in expected]
    assert found.degree.tolist() == [degree for *_, degree, _ in expected]
    assert found.row.tolist() == [source for *_, source in expected]
    for number, (nodes, *_) in enumerate(expected):
        assert found.segment[nodes].tolist() == [number] * len(nodes)
    of_level = Counter(level for _, level, *_ in expected)
    assert [last - first for first, last in pairwise(found.segment_bounds)] == [
        of_level[level] for level in range(found.num_levels)
    ]
    # Level after level, step by step, the segments side by side.
    in_order, counts, steps = [], [], [0]
    for level in range(found.num_levels):
        here = [nodes for nodes, at, *_ in expected if at == level]
        for step in range(len(here[0])):
            row = [nodes[step] for nodes in here if len(nodes) > step]
            in_order += row
            counts.append(len(row))
        steps.append(len(counts))
    assert (found.perm.tolist(), found.counts, found.step_bounds) == (in_order, counts, steps)
    assert torch.equal(found.perm[found.inv_perm], torch.arange(s.num_nodes))
    assert found.never_joins == all(degree <= 1 for *_, degree, _ in expected)
    assert found.is_identity == (in_order == list(range(s.num_nodes)))


@given(s=anything, initial=st.booleans(), padding=st.integers(0, 5))
def test_blocks_hold_each_node_once_and_each_level_by_itself(s, initial, padding):
    plan = gr.schedule(s)
    found = segments(with_initial(plan) if initial else plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "PADDING", padding)
        blocks = found.blocks
    assert blocks.node[~blocks.is_padding].tolist() == found.perm.tolist()
    assert torch.equal(blocks.node[blocks.row], torch.arange(s.num_nodes))
    row = step = 0
    for level, (first, last) in enumerate(pairwise(blocks.bounds)):
        alive = range(*found.segment_bounds[level : level + 2])
        for length, width in blocks.shapes[first:last]:
            assert width == found.counts[step]
            block = slice(row, row + length * width)
            assert int(blocks.is_padding[block].sum()) <= padding or width == found.counts[step + length - 1]
            for of_step in blocks.node[block].view(length, width).tolist():
                # In every column one segment, behind its end the last node of it.
                assert found.segment[of_step].tolist() == list(alive[:width])
            row, step = row + length * width, step + length
        assert step == found.step_bounds[level + 1]
    assert row == len(blocks.node)


@pytest.mark.skipif(clib.library() is None, reason="there is no native library")
@given(s=anything, initial=st.booleans())
def test_c_and_torch_find_the_same(s, initial):
    assert_same(*both(lambda s: segments(with_initial(gr.schedule(s)) if initial else gr.schedule(s)), s))


@pytest.mark.parametrize(
    ("source", "target", "node"),
    [([5], [1], [0, 1]), ([-1], [1], [0, 1]), ([1], [0], [0, 1]), ([0], [2], [0, 1]), ([0], [1], [0, 7])],
    ids=["no source", "before the rows", "backwards", "no target", "no node"],
)
def test_nonsense_does_not_reach_beyond_the_memory(source, target, node):
    assert native.segments(0, *map(torch.tensor, (source, target, node))) is None


@given(s=strategies.chains())
def test_chains_are_one_level_of_segments(s):
    found, expected = segments(gr.schedule(s)), chains(gr.schedule(s))
    assert found.num_levels == 1
    assert (found.counts, found.row.tolist()) == (expected.counts, [-1] * expected.num_chains)
    for name in ("perm", "inv_perm"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert torch.equal(found.segment, expected.chain)
    assert_same(found.blocks, expected.blocks)


@pytest.mark.parametrize("s", [gr.chains([]), gr.chains([0, 0]), gr.batch([])])
def test_nothing_at_all(s):
    found = segments(gr.schedule(s))
    assert (found.num_segments, found.num_levels, found.counts, found.step_bounds) == (0, 0, [], [0])
    assert (len(found.blocks.node), found.blocks.shapes, found.blocks.bounds) == (0, [], [0])


def test_what_is_updated_more_than_once_has_none():
    s = gr.dag([[0, 1], [1, 0]])
    assert segments(gr.schedule(s, "sync", 2)) is None
    assert segments(gr.schedule(s, cycles="iterate", rounds=2)) is None
    assert segments(gr.schedule(s, order=torch.tensor([0, 1]))) is None


def test_two_edges_from_one_node_are_two_sources():
    found = segments(gr.schedule(gr.dag([[0, 0, 1], [1, 1, 2]])))
    assert (found.length.tolist(), found.degree.tolist(), found.row.tolist()) == ([1, 2], [0, 2], [-1, -1])


def test_a_block_of_a_schedule_begins_at_its_boundary():
    """As recomputation cuts it: two nodes of the second block read one boundary row."""
    s = gr.dag([[0, 1, 1, 2, 3], [1, 2, 3, 4, 5]])
    first, second = (segments(block.plan) for block in blocks_of(gr.schedule(s), 2).blocks)
    assert (first.length.tolist(), first.row.tolist()) == ([2], [-1])
    assert (second.length.tolist(), second.row.tolist()) == ([2, 2], [0, 0])


def caterpillar(size):
    """A path of which every other node has one more target, down which there is a fork at every second step."""
    half = torch.arange(0, size, 2)
    return gr.dag(torch.cat([torch.stack([half[:-1], half[1:]]), torch.stack([half, half + 1])], dim=1), size)


@pytest.mark.parametrize("of", [gr.chain, caterpillar, lambda size: gr.chains([3] * (size // 3))])
def test_cost_is_linear(of):
    """But for a pass per doubling of the longest segment."""
    written = []
    for size in (1200, 2400, 4800):
        plan = gr.schedule(of(size))
        with Count() as count, no_library():
            segments(plan).blocks  # noqa: B018
        written.append(count.written / size)
    assert max(written) - min(written) <= 12, written

"""Balanced trees and scans over sequences: their shape by definition, and what each state depends on."""

from itertools import pairwise
from math import ceil, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

import graphrec as gr
from tests import oracles
from tests.assertions import assert_edges
from tests.counting import calls
from tests.tolerances import assert_close
from tests.trials import assert_agrees_with_oracle, trial

BUILDERS = [gr.balanced, gr.prefix_scan]
batches = st.lists(st.integers(0, 20), max_size=3)
arities = st.integers(2, 5)


def kinds(s):
    """The name of each node's kind."""
    return [s.kind_names[kind] for kind in s.kind.tolist()]


def sources(s):
    """For each node its sources by slot."""
    found = [{} for _ in range(s.num_nodes)]
    for source, target, slot in zip(*s.edge_index.tolist(), s.slot.tolist(), strict=True):
        assert slot not in found[target]
        found[target][slot] = source
    return found


def spans(s):
    """For each node of one graph the positions that it covers, first and behind the last; sources side by side."""
    is_position = torch.tensor([kind == "position" for kind in kinds(s)])
    covered = {node: (t, t + 1) for t, node in enumerate(is_position.nonzero().flatten().tolist())}
    for node, inbox in sorted(enumerate(sources(s)), key=lambda pair: int(s.level[pair[0]])):
        parts = [covered[inbox[slot]] for slot in sorted(inbox)]
        assert all(left[1] == right[0] for left, right in pairwise(parts))
        if parts:
            assert node not in covered
            covered[node] = parts[0][0], parts[-1][1]
    return [covered[node] for node in range(s.num_nodes)]


def tree_by_definition(length, arity):
    """Edges of a tree: neighbours are joined, row by row; one that is left over moves up as it is."""
    row, count, edges = list(range(length)), length, []
    while len(row) > 1:
        above = []
        for first in range(0, len(row), arity):
            siblings = row[first : first + arity]
            if len(siblings) == 1:
                above += siblings
                continue
            edges += [(child, count, slot) for slot, child in enumerate(siblings)]
            above.append(count)
            count += 1
        row = above
    return count, edges


@settings(max_examples=12)
@given(length=st.integers(0, 40), arity=arities)
def test_a_balanced_tree_by_definition(length, arity):
    s = gr.balanced([length], arity)
    count, edges = tree_by_definition(length, arity)
    assert s.num_nodes == count
    assert_edges(s, edges)
    assert kinds(s) == ["position"] * length + ["up"] * (count - length)
    assert all(len(inbox) != 1 for inbox in sources(s))
    depth = int(gr.levels(s).max()) if length else 0
    assert depth == (ceil(round(log(length, arity), 9)) if length else 0)
    if length:
        assert spans(s)[-1] == (0, length)


def test_a_balanced_tree_by_hand():
    s = gr.balanced([5, 0, 1])
    #        8
    #      7   \
    #    5   6  |
    #   0 1 2 3 4   9
    assert_edges(s, [(0, 5, 0), (1, 5, 1), (2, 6, 0), (3, 6, 1), (5, 7, 0), (6, 7, 1), (7, 8, 0), (4, 8, 1)])
    assert s.graph.tolist() == [0] * 9 + [2]
    assert gr.readout.root(torch.arange(10.0)[:, None], s).flatten().tolist() == [8, 0, 9]
    assert_edges(gr.balanced([4], arity=3), [(0, 4, 0), (1, 4, 1), (2, 4, 2), (4, 5, 0), (3, 5, 1)])


def test_a_scan_by_hand():
    s = gr.prefix_scan([4])
    # 4 is the block of 0 and 1, 5 what lies before 2, and 6 to 9 are the prefixes.
    assert kinds(s) == ["position"] * 4 + ["up", "down"] + ["prefix"] * 4
    assert_edges(
        s,
        [
            *((0, 4, 0), (1, 4, 1), (4, 5, 1)),
            *((0, 6, 1), (6, 7, 0), (1, 7, 1), (5, 8, 0), (2, 8, 1), (8, 9, 0), (3, 9, 1)),
        ],
    )
    assert s.past.tolist() == [0] * 5 + [1] * 5
    assert_edges(gr.prefix_scan([1]), [(0, 1, 1)])
    assert gr.prefix_scan([0]).num_nodes == 0


@given(length=st.integers(1, 70), arity=arities)
def test_a_scan_covers_the_positions_up_to_each(length, arity):
    s = gr.prefix_scan([length], arity)
    covered = spans(s)
    assert covered[-length:] == [(0, t + 1) for t in range(length)]
    assert kinds(s)[-length:] == ["prefix"] * length
    assert all(
        first == 0 for (first, _), kind in zip(covered, kinds(s), strict=True) if kind in ("down", "prefix")
    )
    # Small, shallow, and nothing in vain.
    assert s.num_nodes < 3.5 * length
    assert s.num_edges < 5 * length
    assert int(gr.levels(s).max()) <= arity * log(length, arity) + 1 + 1e-9
    ends = set(range(s.num_nodes)) - set(s.source.tolist())
    assert ends <= set(range(s.num_nodes - length, s.num_nodes))


def test_a_scan_of_one_block_is_a_chain_of_prefixes():
    s = gr.prefix_scan([5], arity=5)
    assert kinds(s) == ["position"] * 5 + ["prefix"] * 5
    assert_edges(s, [*((t, 5 + t, 1) for t in range(5)), *((4 + t, 5 + t, 0) for t in range(1, 5))])


@pytest.mark.parametrize("build", BUILDERS)
@settings(max_examples=12)
@given(lengths=batches, arity=arities)
def test_several_are_a_batch_and_pass_all_checks(build, lengths, arity):
    s = build(lengths, arity)
    fields = (*("num_nodes", "edge_index", "slot", "kind", "past", "graph", "num_graphs"), "kind_names")
    assert s == gr.Structure(**{name: getattr(s, name) for name in fields})
    if lengths:
        assert s == gr.batch([build([length], arity) for length in lengths])
    bare = gr.dag(s.edge_index, s.num_nodes)
    assert torch.equal(s.known_level, gr.levels(bare))
    if build is gr.balanced:
        assert torch.equal(s.known_level_reversed, gr.levels(bare.reverse()))


class Heisenberg(gr.Cell):
    """Products of matrices [[1, a, c], [0, 1, b], [0, 0, 1]] of whole numbers: associative, exact, and in order.

    A state holds a, b and c; zeros are the identity. A node is the product of its slots, times its input.
    """

    State = gr.SRNCell.State

    def __init__(self, arity):
        super().__init__(3, 3)
        self.arity = arity

    def forward(self, x, inbox, own):
        total = torch.zeros_like(x)
        for factor in (*inbox.slots(self.arity).unbind(1), x):
            total = times(total, factor)
        return self.State(total)


def times(p, q):
    return torch.stack(
        [p[..., 0] + q[..., 0], p[..., 1] + q[..., 1], p[..., 2] + q[..., 2] + p[..., 0] * q[..., 1]], dim=-1
    )


def products(rows, start):
    """All products from the left."""
    found = [start]
    for row in rows:
        found.append(times(found[-1], row))
    return torch.stack(found[1:]) if len(rows) else rows


@settings(max_examples=12)
@given(lengths=batches, arity=arities, seed=st.integers(0, 9))
def test_states_of_an_associative_cell_are_products_in_order(lengths, arity, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randint(-3, 4, (sum(lengths), 3), generator=draw).double()
    start = torch.randint(-3, 4, (len(lengths), 3), generator=draw).double()
    nothing = torch.zeros(3, dtype=torch.float64)
    parts = x.split(lengths) if lengths else []

    s = gr.prefix_scan(lengths, arity)
    run = gr.run(Heisenberg(arity), gr.schedule(s), gr.to_positions(x, s))
    expected = [products(part, nothing) for part in parts]
    assert torch.equal(gr.from_prefixes(run.h, s), torch.cat([x[:0], *expected]))
    run = gr.run(Heisenberg(arity), gr.schedule(s), gr.to_positions(x, s), gr.per_graph(start))
    expected = [products(part, first) for part, first in zip(parts, start, strict=True)]
    assert torch.equal(gr.from_prefixes(run.h, s), torch.cat([x[:0], *expected]))

    s = gr.balanced(lengths, arity)
    h = gr.run(Heisenberg(arity), gr.schedule(s), gr.to_positions(x, s)).h
    whole = [products(part, nothing)[-1] if len(part) else nothing for part in parts]
    assert torch.equal(gr.readout.root(h, s), torch.stack(whole) if whole else x[:0])


CELLS = {
    "Tree-LSTM": (gr.NaryTreeLSTMCell, oracles.nary_tree_lstm),
    "Tree-LSTM of three": (lambda d, h: gr.NaryTreeLSTMCell(d, h, 3), oracles.nary_tree_lstm),
    "Child-Sum Tree-LSTM": (gr.ChildSumTreeLSTMCell, oracles.child_sum_tree_lstm),
    "Tree-GRU": (gr.NaryTreeGRUCell, oracles.nary_tree_gru),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_state_depends_on_its_position_and_on_those_before_it_alone(name):
    """A NaN at position t is in the states from t on, in no other, and gradients agree with that."""
    length, cell = 21, CELLS[name][0](3, 4)

    def states(x, count):
        s = gr.prefix_scan([length] * count, cell.arity or 5)
        return gr.from_prefixes(gr.Recursive(cell)(gr.to_positions(x, s), s), s)

    x = torch.randn(length, length, 3)
    x[range(length), range(length)] = torch.nan
    with torch.no_grad():
        h = states(x.flatten(0, 1), length).view(length, length, 4)
    assert torch.equal(h.isnan().any(2), torch.ones(length, length, dtype=torch.bool).triu())

    x = torch.randn(length, 3, requires_grad=True)
    reached = [torch.autograd.grad(row.sum(), x, retain_graph=True)[0] for row in states(x, 1)]
    expected = torch.ones(length, length, dtype=torch.bool).tril()
    assert torch.equal(torch.stack(reached).abs().sum(2) > 0, expected)


def test_ways_up_and_down_have_cells_of_their_own():
    """With cells that add up 1, 10, 100 and 1000: how many nodes of each kind lie below a prefix."""

    class Counts(gr.Cell):
        State = gr.SRNCell.State
        arity = 2

        def __init__(self, number):
            super().__init__(hidden=1)
            self.number = number

        def forward(self, x, inbox, own):
            return self.State(inbox.sum(inbox.h) + self.number)

    s = gr.prefix_scan([4, 2])
    cell = gr.PerKind([Counts(number) for number in (1.0, 10.0, 100.0, 1000.0)])
    h = gr.from_prefixes(gr.run(cell, gr.schedule(s), torch.zeros(s.num_nodes, 1)).h, s)
    assert h.flatten().tolist() == [1001, 2002, 1113, 2114, 1001, 2002]
    up, down = gr.NaryTreeLSTMCell(3, 4), gr.NaryTreeLSTMCell(3, 4)
    twice = gr.PerKind([up, up, down, down])
    assert sum(p.numel() for p in twice.parameters()) == 2 * sum(p.numel() for p in up.parameters())
    same, x = gr.PerKind([up] * 4), gr.to_positions(torch.randn(6, 3), s)
    assert_close(gr.run(same, gr.schedule(s), x).h, gr.run(up, gr.schedule(s), x).h)
    assert not torch.allclose(gr.run(twice, gr.schedule(s), x).h, gr.run(up, gr.schedule(s), x).h)


@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_are_the_oracles(name, initial):
    make, oracle = CELLS[name]
    assert_agrees_with_oracle(trial(make, gr.prefix_scan([5, 0, 1]), initial), oracle)
    assert_agrees_with_oracle(trial(make, gr.balanced([3, 0, 1], arity=3 if "three" in name else 2)), oracle)


@pytest.mark.parametrize("build", BUILDERS)
def test_samples_of_pyg_become_the_batch(build):
    members = [build([length], 3) for length in (4, 1, 9)]
    s = build([4, 1, 9], 3)
    data = [gr.transforms.AddLevels()(gr.to_pyg(member)) for member in members]
    (collated,) = DataLoader(data, batch_size=3)
    assert gr.from_pyg(collated) == s
    x = torch.randn(14, 2)
    assert torch.equal(gr.to_positions(x, collated), gr.to_positions(x, s))


@pytest.mark.parametrize("build", BUILDERS)
def test_building_walks_rows_and_not_nodes(build):
    build([4])
    assert calls(lambda: build([2**14])) < 3 * calls(lambda: build([2**6]))


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([3, -2],), ValueError, "lengths must be 0 or more, got -2 for sequence 1"),
        (([3.5],), TypeError, "lengths must be whole numbers"),
        ((3,), ValueError, "lengths must be a list with a length per sequence, got 3"),
        (([3], 1), ValueError, "arity must be 2 or more, got 1"),
        (([3], 2.0), TypeError, "arity must be a whole number, got 2.0"),
    ],
)
def test_what_is_no_tree_is_refused(build, arguments, error, message):
    with pytest.raises(error, match=message):
        build(*arguments)

"""Work and memory grow with nodes and edges, never with nodes × levels.

Counted, not timed: all numbers that a forward and a backward pass write, on structures of doubling size whose
depth doubles with them. Per node and edge that count may not grow.
"""

from collections import namedtuple
from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch

import graphrec as gr
from graphrec.cells.gru import gated
from tests.counting import Count
from tests.trials import plain_operators
from tests.zoo import CELLS

SIZES = [16, 32, 64]


def chain(size):
    return gr.chain(size)


def caterpillar(size):
    """A spine with a leaf at each of its nodes."""
    spine = range(size // 2)
    return gr.tree(parents=[*(v + 1 for v in spine[:-1]), -1, *spine])


def binary_tree(size):
    return gr.tree(parents=[-1, *((v - 1) // 2 for v in range(1, size - 1))])


def random_dag(size):
    """Every node has two sources among the eight before it: about size / 4 levels, with edges across many."""
    source = torch.stack([(v - 1 - torch.randperm(min(v, 8))[:2]).sort().values for v in range(2, size)])
    target = torch.arange(2, size).repeat_interleave(2)
    return gr.dag(torch.stack([source.flatten(), target]))


def long_reach(size):
    """A chain whose first node is also a source of every other."""
    later = torch.arange(1, size)
    return gr.dag(torch.cat([torch.stack([later - 1, later]), torch.stack([later * 0, later])[:, 1:]], dim=1))


STRUCTURES = [chain, caterpillar, binary_tree, random_dag, long_reach]
ENGINES = {"as it is": nullcontext, "plain": plain_operators}


def count_of(cell, structure, initial=None):
    """What one forward and one backward pass do; the schedule exists already."""
    plan = gr.schedule(structure)
    x = torch.randn(structure.num_nodes, cell.inputs, requires_grad=True)
    gr.run(cell, plan, x, initial)  # for what a schedule computes when it is first used
    with Count() as count:
        state = gr.run(cell, plan, x, initial)
        sum(field.sum() for field in state).backward()
    return count


def assert_linear(numbers, sizes):
    per_item = [number / size for number, size in zip(numbers, sizes, strict=True)]
    for small, large in pairwise(per_item):
        assert large <= 1.05 * small, f"numbers written per node and edge: {per_item}"


def takes(cell, structure):
    return cell.arity is None or gr.schedule(structure).num_slots <= cell.arity


def on_structures(case, turn):
    """A cell on the structures that it takes; all but the first and, by turns, every other one are slow."""
    taken = [build for build in STRUCTURES if takes(case.make(1, 1), build(SIZES[0]))]
    return [
        pytest.param(
            case,
            build,
            id=f"{case.name}-{build.__name__}",
            marks=pytest.mark.slow if place and (turn + place) % 2 else (),
        )
        for place, build in enumerate(taken)
    ]


CELLS_ON_STRUCTURES = [param for turn, case in enumerate(CELLS) for param in on_structures(case, turn)]


@pytest.mark.parametrize(("case", "build"), CELLS_ON_STRUCTURES)
def test_numbers_written_grow_with_nodes_and_edges(case, build):
    structures = [build(size) for size in SIZES]
    counts = [count_of(case.make(3, 2), s).written for s in structures]
    assert_linear(counts, [s.num_nodes + s.num_edges for s in structures])


def several_kinds(size):
    s = random_dag(size)
    return s.replace(kind=torch.arange(size) % 3)


def two_lags(size):
    return gr.lagged([size], [1, size // 4])


def two_layers(size):
    return gr.grid([size // 2], 2)


SEVERAL = {
    "kinds": (lambda: gr.PerKind([gr.ChildSumTreeLSTMCell(3, 2) for _ in range(3)]), several_kinds),
    "lags": (lambda: gr.NARXCell(3, 2, 2, input_lags=1, output_lags=2), two_lags),
    "layers": (lambda: gr.GridCell([gr.GRUCell(3, 2), gr.GRUCell(2, 2)]), two_layers),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("of", SEVERAL)
def test_several_kinds_lags_and_layers_stay_linear(of, engine):
    make, build = SEVERAL[of]
    structures = [build(size) for size in SIZES]
    with ENGINES[engine]():
        counts = [count_of(make(), s).written for s in structures]
    assert_linear(counts, [s.num_nodes + s.num_edges for s in structures])


class ReadsAll(gr.Cell):
    """Reads edge attributes that require grad, its own state, and an initial state for each node."""

    State = namedtuple("State", "h")

    def __init__(self):
        super().__init__(2, 2)
        self.U = torch.nn.Linear(2, 2)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + own.h + self.U(inbox.sum(inbox.h * inbox.edge_attr))))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("build", STRUCTURES)
def test_reading_all_there_is_stays_linear(build, engine):
    structures = [build(size) for size in SIZES]
    structures = [s.replace(edge_attr=torch.randn(s.num_edges, 2, requires_grad=True)) for s in structures]
    initial = [torch.randn(s.num_nodes, 2, requires_grad=True) for s in structures]
    with ENGINES[engine]():
        counts = [count_of(ReadsAll(), s, h).written for s, h in zip(structures, initial, strict=True)]
    assert_linear(counts, [s.num_nodes + s.num_edges for s in structures])


def test_rounds_cost_the_same_each():
    s = random_dag(64)
    cell = gr.ChildSumTreeLSTMCell(3, 2)
    x = torch.randn(64, 3, requires_grad=True)
    written = []
    for rounds in (4, 8, 16):
        plan = gr.schedule(s, "sync", rounds)
        gr.run(cell, plan, x)
        with Count() as count:
            gr.run(cell, plan, x).h.sum().backward()
        written.append(count.written)
    assert_linear(written, [4, 8, 16])


def written_in(cell, plan):
    """Numbers written by a forward and a backward pass over a schedule that has been used before."""
    x = torch.randn(plan.num_nodes, cell.inputs, requires_grad=True)
    gr.run(cell, plan, x)
    with Count() as count:
        gr.run(cell, plan, x).h.sum().backward()
    return count.written


def dressed_at(build, size):
    s = build(size)
    edges = torch.arange(s.num_edges)
    return s.replace(relation=edges % 2, edge_attr=torch.randn(s.num_edges, 2))


GRAPH_CELLS_BY_NAME = {
    "GCN": lambda: gr.GCNCell(4, 4),
    "SAGE": lambda: gr.SAGECell(4, 4),
    "GIN": lambda: gr.GINCell(4, 4),
    "GAT": lambda: gr.GATCell(4, 4, heads=2),
    "GATv2": lambda: gr.GATv2Cell(4, 4, heads=2),
    "GGNN": lambda: gr.GGNNCell(4, 4, relations=2),
    "MPNN": lambda: gr.MPNNCell(4, 4, edges=2),
}


@pytest.mark.parametrize("build", STRUCTURES)
@pytest.mark.parametrize("name", GRAPH_CELLS_BY_NAME)
def test_rounds_of_cells_for_graphs(name, build):
    cell, structures = GRAPH_CELLS_BY_NAME[name](), [dressed_at(build, size) for size in SIZES]
    counts = [written_in(cell, gr.schedule(s, "sync", 2)) for s in structures]
    assert_linear(counts, [s.num_nodes + s.num_edges for s in structures])


@pytest.mark.parametrize("build", STRUCTURES)
def test_sweeps_in_an_order_read_each_edge_once(build):
    """However many steps there are: here one for each node."""
    structures = [build(size) for size in SIZES]
    counts = [
        written_in(gr.DAGRNNCell(3, 2), gr.schedule(s, order=torch.arange(s.num_nodes), rounds=2))
        for s in structures
    ]
    assert_linear(counts, [s.num_nodes + s.num_edges for s in structures])


def rings_in_a_row(size):
    """Rings of four nodes, each of which reads the one before."""
    first = torch.arange(0, size, 4)
    ring = torch.stack([torch.arange(size), torch.arange(size) // 4 * 4 + (torch.arange(size) + 1) % 4])
    return gr.dag(torch.cat([ring, torch.stack([first[:-1] + 2, first[1:]])], dim=1), size)


def test_cycles_cost_their_own_rounds_alone():
    """Each component is iterated by itself, not everything until all has settled."""
    structures = [rings_in_a_row(size) for size in SIZES]
    counts = [written_in(gr.DAGRNNCell(3, 2), gr.schedule(s, cycles="iterate", rounds=3)) for s in structures]
    assert_linear(counts, [s.num_nodes + s.num_edges for s in structures])


def test_what_is_counted_is_counted():
    """The counter sees the backward pass, and a loop that copies the whole state at each step is caught."""
    x = torch.randn(4, 3, requires_grad=True)
    with Count() as count:
        y = (x @ torch.ones(3, 2)).sum()
        forward = len(count.products)
        y.backward()
    assert (forward, len(count.products)) == (1, 2)

    def quadratic(size):
        rows = torch.zeros(size, 2)
        with Count() as count:
            for v in range(size):
                rows = rows.index_add(0, torch.tensor([v]), torch.ones(1, 2))
        return count.written

    with pytest.raises(AssertionError, match="per node and edge"):
        assert_linear([quadratic(size) for size in SIZES], SIZES)


def test_a_single_step_costs_few_operations_beside_the_cells_own():
    """As an agent takes it: copies of x and of the result. (The cell may write into x; the result joins all steps.)"""
    cell, plan = gr.GRUCell(3, 4), gr.schedule(gr.chains([1] * 5))
    x, initial = torch.randn(5, 3), torch.randn(5, 4)
    with torch.no_grad():
        gr.run(cell, plan, x, gr.per_graph(initial), backend="loop")
        with Count() as own:
            previous = initial.clone()
            gated(cell.input(x), cell.recurrent(previous), previous)
        with Count() as all_of_it:
            gr.run(cell, plan, x, gr.per_graph(initial), backend="loop")
    assert all_of_it.operations - own.operations == 2

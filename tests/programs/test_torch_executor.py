"""Programs run in PyTorch compute what the loop computes, and their cost grows with nodes and edges alone."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from graphrec.backends.programs import TorchPrograms
from graphrec.backends.request import Request
from graphrec.backends.runner import Loop
from graphrec.engine.validate import validate
from tests import strategies
from tests.counting import Count
from tests.tolerances import RELATIVE_AND_ABSOLUTE, assert_all_close
from tests.trials import outcome, trial
from tests.zoo import ALL_CELLS, CELLS, GRAPH_CELLS, cases, cyclic, dressed, mixed_batch, tree

BY_PAPER = {case.name for case in CELLS + GRAPH_CELLS}


def runner(run, kind=TorchPrograms):
    context, initial = validate(run.cell, run.plan, run.x, run.given)
    if kind is Loop:
        return Loop(context, run.x, initial)
    return TorchPrograms.take(Request(context, run.x, initial))


def recorded(case, run):
    """The run by programs; of the cells that users write, some cannot be recorded."""
    found = runner(run)
    if isinstance(found, str):
        assert case.name not in BY_PAPER, found
        pytest.skip(found)
    return found


def outcome_of(run, found):
    return outcome(run.cell.State(*found.state()), run.inputs)


def assert_is_the_loop(run, found=None):
    assert_all_close(outcome_of(run, found or runner(run)), outcome_of(run, runner(run, Loop)))


@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, [tree]))
def test_levels(case, structure):
    run = trial(case.make, structure)
    assert_is_the_loop(run, recorded(case, run))


@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, [mixed_batch]))
def test_levels_with_an_initial_state(case, structure):
    run = trial(case.make, structure, "per graph")
    assert_is_the_loop(run, recorded(case, run))


@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, [cyclic]))
def test_rounds(case, structure):
    run = trial(case.make, structure, "per node", mode="sync", rounds=3)
    assert_is_the_loop(run, recorded(case, run))


@pytest.mark.parametrize("how", [{}, {"mode": "sync", "rounds": 3}], ids=["levels", "rounds"])
@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, [mixed_batch]))
def test_without_gradients(case, structure, how):
    run = trial(case.make, structure, **how)
    with torch.no_grad():
        found, expected = recorded(case, run).state(), runner(run, Loop).state()
    names = run.cell.State._fields
    assert_all_close(dict(zip(names, found, strict=True)), dict(zip(names, expected, strict=True)))


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_random_structures(case, data):
    assert_is_the_loop(trial(case.make, dressed(data.draw(strategies.acyclic(case.arity)))))


@pytest.mark.parametrize("case", GRAPH_CELLS, ids=lambda case: case.name)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_random_graphs(case, data):
    structure = dressed(data.draw(strategies.graphs(case.arity)))
    assert_is_the_loop(trial(case.make, structure, mode="sync", rounds=2))


def test_random_trees_of_equal_and_of_different_degrees():
    # All nodes of a level with two children each, in slots; then any number.
    full = gr.tree("(s (s (s a b) (s c d)) (s (s e f) (s g h)))")
    for structure in (full, gr.batch([full, full]), gr.batch([full, gr.tree("(s a (s b c))")])):
        for make in (gr.NaryTreeLSTMCell, gr.ChildSumTreeLSTMCell, gr.TreeGRUCell):
            assert_is_the_loop(trial(make, structure))


@settings(max_examples=10, deadline=None)
@given(s=strategies.dags(), data=st.data())
def test_kinds(s, data):
    kind = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=s.num_nodes, max_size=s.num_nodes)))

    def make(inputs, hidden):
        return gr.PerKind([gr.ChildSumTreeLSTMCell(inputs, hidden) for _ in range(3)])

    assert_is_the_loop(trial(make, s.replace(kind=kind)))
    assert_is_the_loop(trial(make, s.replace(kind=kind), mode="sync", rounds=2, inputs=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", [gr.ChildSumTreeLSTMCell, gr.GRUCell, gr.LSTMCell])
def test_other_precisions(make, dtype):
    run = trial(make, gr.chains([3, 1, 4]))
    expected = runner(run).state()
    run.cell.to(dtype)
    run.x = run.x.detach().to(dtype).requires_grad_()
    for found, wanted in zip(runner(run).state(), expected, strict=True):
        relative, absolute = RELATIVE_AND_ABSOLUTE[dtype]
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wanted, rtol=relative, atol=absolute)


def test_a_run_may_be_differentiated_twice_and_beside_another():
    run = trial(gr.ChildSumTreeLSTMCell, tree(None))
    expected = runner(run, Loop).state()[0].square().sum()
    wanted = torch.autograd.grad(expected, [run.x, *run.cell.parameters()])
    first, second = (runner(run).state()[0].square().sum() for _ in range(2))
    for loss in (first, second, first):
        found = torch.autograd.grad(loss, [run.x, *run.cell.parameters()], retain_graph=True)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------------------------------------------- cost


def caterpillars(size):
    """Two spines with a leaf at each of their nodes."""
    spine = range(size // 2)
    one = gr.tree(parents=[*(v + 1 for v in spine[:-1]), -1, *spine])
    return gr.batch([one, one])


def reaching_far(size):
    """A chain whose first node is also a source of every other."""
    later = torch.arange(1, size)
    return gr.dag(torch.cat([torch.stack([later - 1, later]), torch.stack([later * 0, later])[:, 1:]], dim=1))


def count_of(cell, structure, **how):
    """What one forward and one backward pass do; the schedule's indices exist already."""
    plan = gr.schedule(structure, **how)
    x = torch.randn(structure.num_nodes, cell.inputs, requires_grad=True)
    context, initial = validate(cell, plan, x, None)
    runs = [TorchPrograms.take(Request(context, x, initial)) for _ in range(2)]
    sum(field.sum() for field in runs[0].state()).backward()
    with Count() as count:
        sum(field.sum() for field in runs[1].state()).backward()
    return count


@pytest.mark.parametrize("build", [gr.chain, caterpillars, reaching_far])
@pytest.mark.parametrize("make", [gr.ChildSumTreeLSTMCell, gr.TreeGRUCell, gr.DAGNNCell])
def test_cost_is_linear(make, build):
    cell = make(8, 8)
    counts = []
    for size in (16, 32, 64):
        structure = build(size)
        counts.append(count_of(cell, structure).written / (structure.num_nodes + structure.num_edges))
    for smaller, larger in pairwise(counts):
        assert larger <= 1.05 * smaller


@pytest.mark.parametrize(("make", "per_level"), [(gr.SRNCell, 12), (gr.GRUCell, 32), (gr.LSTMCell, 36)])
def test_a_level_is_a_few_operations(make, per_level):
    def operations(size):
        count = count_of(make(8, 8), gr.chains([size] * 3))
        return count.operations

    assert operations(40) - operations(20) <= 20 * per_level


def test_gradients_of_weights_are_one_product_each():
    # Of the recurrence and of x: all rows but those of the first level, where no edge enters.
    products = count_of(gr.LSTMCell(8, 8), gr.chains([50, 50])).products
    assert [product for product in products if product.inner > 32] == [(8, 98, 32), (8, 98, 32)]


@pytest.mark.parametrize("make", [gr.GCNCell, gr.GINCell, gr.SAGECell])
def test_sums_over_edges_make_no_row_for_each(make):
    cell, written = make(64, 64), []
    for edges in (200, 400):
        s = gr.Structure(edge_index=torch.randint(0, 30, (2, edges)), num_nodes=30)
        written.append(count_of(cell, s, mode="sync", rounds=2).written)
    assert written[1] - written[0] < 200 * 64

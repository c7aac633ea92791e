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
from tests.zoo import ALL_CELLS, CELLS, GRAPH_CELLS, cases, chains, cyclic, dag, dressed, isolated_nodes, mixed_batch, tree

# They look at numbers, write into what they are given, or cannot be said in a program for another reason.
REFUSED = {
    "Branching",
    "Conjugate",
    "CountsItsEdges",
    "InPlace",
    "InPlaceModules",
    "InPlaceOnAllItIsGiven",
    "InPlaceOnSum",
    "InPlaceOnZero",
    "RunsAnother",
    "WithoutGrad",
}
RECORDED = [case for case in ALL_CELLS if case.name not in REFUSED]


def runner(run, kind=TorchPrograms):
    context, initial = validate(run.cell, run.plan, run.x, run.given)
    if kind is Loop:
        return Loop(context, run.x, initial)
    found = TorchPrograms.take(Request(context, run.x, initial))
    assert isinstance(found, TorchPrograms), found
    return found


def outcome_of(run, kind):
    fields = runner(run, kind).state()
    return outcome(run.cell.State(*fields), run.inputs)


def assert_is_the_loop(run):
    assert_all_close(outcome_of(run, TorchPrograms), outcome_of(run, Loop))


@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize(
    ("case", "structure"), cases(RECORDED, [isolated_nodes, chains, tree, dag, mixed_batch])
)
def test_levels(case, structure, initial):
    assert_is_the_loop(trial(case.make, structure, initial))


@pytest.mark.parametrize("initial", [None, "per node"])
@pytest.mark.parametrize(("case", "structure"), cases(RECORDED, [tree, cyclic]))
def test_rounds(case, structure, initial):
    assert_is_the_loop(trial(case.make, structure, initial, mode="sync", rounds=3))


@pytest.mark.parametrize(("case", "structure"), cases(RECORDED, [mixed_batch]))
def test_without_gradients(case, structure):
    for how in ({}, {"mode": "sync", "rounds": 3}):
        run = trial(case.make, structure, **how)
        with torch.no_grad():
            found, expected = runner(run).state(), runner(run, Loop).state()
        names = run.cell.State._fields
        assert_all_close(
            dict(zip(names, found, strict=True)), dict(zip(names, expected, strict=True))
        )


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_random_structures(case, data):
    structure = dressed(data.draw(strategies.acyclic(case.arity)))
    assert_is_the_loop(trial(case.make, structure))


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


def test_what_is_not_recorded_is_known():
    refused = set()
    for case in ALL_CELLS:
        run = trial(case.make, dressed(gr.chains([2, 1])))
        context, initial = validate(run.cell, run.plan, run.x, run.given)
        if isinstance(TorchPrograms.take(Request(context, run.x, initial)), str):
            refused.add(case.name)
    assert refused == REFUSED


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


def count_of(cell, structure):
    """What one forward and one backward pass do; the schedule's indices exist already."""
    plan = gr.schedule(structure)
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
    for size in (32, 64, 128):
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


def test_weights_have_one_product_each():
    cell = gr.LSTMCell(8, 8)
    deep = [product for product in count_of(cell, gr.chains([50, 50])).products if product.inner == 100]
    assert len(deep) == 1  # of x
    beside = [product for product in count_of(cell, gr.chains([50, 50])).products if product.inner == 98]
    assert len(beside) == 1  # of the states before


def test_graph_cells_without_rows_of_edges():
    """Sums over edges do not make a row for each of them."""
    for case in GRAPH_CELLS:
        if case.name not in ("GCN", "GIN", "SAGE"):
            continue
        cell = case.make(8, 8)
        written = []
        for edges in (200, 400):
            s = gr.Structure(edge_index=torch.randint(0, 30, (2, edges)), num_nodes=30)
            x = torch.randn(30, cell.inputs, requires_grad=True)
            context, initial = validate(cell, gr.schedule(s, mode="sync", rounds=2), x, None)
            runs = [TorchPrograms.take(Request(context, x, initial)) for _ in range(2)]
            runs[0].state()[0].sum().backward()
            with Count() as count:
                runs[1].state()[0].sum().backward()
            written.append(count.written)
        assert written[1] - written[0] < 200 * 8


_ = CELLS

"""Trees read downwards, such as tries, run on torch's operators: the same numbers as node by node.

Their segments are chains, which run level of segments after level, each beginning with the last state of another.
Compared with the loop, by torch's plain operators: states of all nodes, h alone, and gradients of x, of all weights and
of the initial state. Among the cases: graphs without nodes, prefixes of others (a node with targets at which a sequence
ends), segments of one node, of different lengths side by side, several roots, any numbering.
"""

from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import graphrec as gr
from graphrec import clib
from graphrec.backends import choice
from graphrec.engine.rules import differentiated_by
from graphrec.learning import BPTT
from graphrec.runs import run_first
from graphrec.schedule import chains as chains_of
from tests.counting import Count
from tests.tolerances import assert_all_close, assert_close
from tests.trials import Trial, gradients, outcome, padding, plain_operators, trial, with_biases

CELLS = {
    "SRN": gr.SRNCell,
    "SRN-relu": lambda d, h, biases: gr.SRNCell(d, h, "relu", biases),
    "GRU": gr.GRUCell,
    "LSTM": gr.LSTMCell,
}
every_cell = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
initial_states = st.sampled_from([None, "per graph", "per node", "for all"])


def trie(*members, number=None):
    """Tries side by side, each the parent of each node (-1: none); node v is called `number[v]`."""
    parents, graph = [], []
    for g, member in enumerate(members):
        parents += [above if above < 0 else above + len(parents) for above in member]
        graph += [g] * len(member)
    above, graph = torch.tensor(parents, dtype=torch.long), torch.tensor(graph, dtype=torch.long)
    nodes = (above >= 0).nonzero().flatten()
    edges = torch.stack([above[nodes], nodes])
    if number is not None:
        number = torch.tensor(number, dtype=torch.long)
        edges, graph = number[edges], graph[torch.argsort(number)]
    return gr.Structure(
        num_nodes=len(parents),
        edge_index=edges,
        slot=torch.zeros(edges.shape[1], dtype=torch.long),
        graph=graph,
        num_graphs=len(members),
    )


def member(numbers):
    """The parents of a trie in which most nodes go on: a number for each node, 0 for a root, below 4 for a fork."""
    return [-1 if of == 0 or v == 0 else v * of // 4 if of < 4 else v - 1 for v, of in enumerate(numbers)]


@st.composite
def tries(draw):
    numbers = st.lists(st.integers(0, 11), max_size=16)
    members = draw(st.lists(numbers.map(member), min_size=1, max_size=3).filter(any))
    count = sum(map(len, members))
    number = draw(st.permutations(range(count))) if draw(st.booleans()) else None
    return trie(*members, number=number)


# A prefix of three with branches of four and two; nothing; two roots that fork at once, one of whose branches is one.
MANY = trie([-1, 0, 1, 2, 3, 4, 5, 2, 7], [], [-1, -1, 0, 0, 2, 1, 1, 5, 6])
# Two branches of different lengths fork again.
STAGGERED = trie([-1, 0, 1, 2, 0, 4, 3, 3, 7, 5, 5, 9, 11])
some_tries = pytest.mark.parametrize("s", [MANY, STAGGERED], ids=["many", "staggered"])


@pytest.fixture(scope="module", autouse=True)
def several_blocks():
    with padding(2):
        yield


def everything(run):
    """The state of all nodes, and h alone; and the gradients of each."""
    h = run_first(run.cell, run.plan, run.x, run.given)
    found = {"h": h.detach(), **gradients((h,), run.inputs)}
    state = outcome(run.run(), run.inputs)
    return found | {f"state: {name}": value for name, value in state.items()}


def assert_is_the_loops(compute):
    with gr.running_on("torch"):
        found = compute()
    with plain_operators():
        assert_all_close(found, compute())


@every_cell
@settings(max_examples=10)
@given(s=tries(), biases=st.sampled_from([0, 1, 2]), initial=initial_states, hidden=st.integers(1, 3))
@example(s=MANY, biases=2, initial="per graph", hidden=3)
@example(s=MANY, biases=1, initial="per node", hidden=2)
@example(s=STAGGERED, biases=2, initial="for all", hidden=2)
@example(s=trie([-1, 0, 0, 0], [], [-1, 0, 0]), biases=2, initial="per graph", hidden=2)
@example(s=trie([-1] * 3, [-1]), biases=0, initial="per node", hidden=2)
def test_all_values_and_gradients_are_the_loops(make, s, biases, initial, hidden):
    run = trial(with_biases(make, biases), s, initial, hidden=hidden)
    assert_is_the_loops(lambda: everything(run))


@every_cell
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_inference_is_the_loops(make, mode):
    run = trial(with_biases(make, 2), MANY.replace(), "per graph")
    with mode():
        assert_is_the_loops(
            lambda: {"h": run_first(run.cell, run.plan, run.x, run.given), **run.run()._asdict()}
        )
    # What inference has computed and kept is fit for training.
    assert_is_the_loops(lambda: everything(run))


@every_cell
@pytest.mark.parametrize("wanted", ["x", "weights", "initial"])
def test_gradients_that_are_not_asked_for(make, wanted):
    run = trial(with_biases(make, 2), STAGGERED, "per graph")
    run.x.requires_grad_(wanted == "x")
    run.cell.requires_grad_(wanted == "weights")
    for field in run.initial:
        field.requires_grad_(wanted == "initial")
    assert_is_the_loops(lambda: everything(run))


def as_dtype(run, dtype):
    initial = type(run.initial)(*(field.detach().to(dtype).requires_grad_() for field in run.initial))
    return Trial(run.cell.to(dtype), run.structure, run.x.detach().to(dtype).requires_grad_(), initial)


def narrow(run):
    return {name: None if value is None else value.bfloat16() for name, value in run.outcome().items()}


@every_cell
@some_tries
def test_other_dtypes(make, s):
    run = as_dtype(trial(with_biases(make, 2), s, "per graph", hidden=4), torch.float32)
    assert_is_the_loops(lambda: everything(run))
    with torch.autocast("cpu", torch.bfloat16):
        assert {field.dtype for field in gr.run(run.cell, run.plan, run.x, backend="torch")} == {
            torch.float32
        }
        assert_is_the_loops(lambda: narrow(run))
    run = as_dtype(run, torch.bfloat16)
    assert_is_the_loops(lambda: narrow(run))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_memory_at_the_end_of_a_segment_is_exact(dtype):
    """Behind it stands padding, in which gates are shut, whatever they have been."""
    with padding(64):
        s = trie([-1, 0, 0, 0, 1, 4, 5, 6, 7, 2, 9, 3, 8, 8, 10, 10, 11, 11])
        cell = gr.LSTMCell(3, 4).to(dtype)
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.mul_(20)
        x = 10 * torch.randn(s.num_nodes, 3, dtype=dtype)
        state = gr.run(cell, gr.schedule(s), x, backend="torch")
        looped = gr.run(cell, gr.schedule(s), x, backend="loop")
    assert_close(state.h, looped.h)
    assert_close(state.c, looped.c)


@every_cell
def test_second_derivatives(make):
    run = trial(with_biases(make, 2), STAGGERED, "per graph")

    def second():
        loss = sum(field.pow(2).sum() for field in run.run())
        return gradients(torch.autograd.grad(loss, run.x, create_graph=True), run.inputs)

    def batched():
        h = run_first(run.cell, run.plan, run.x, run.given)
        upstream = torch.eye(h.numel(), dtype=h.dtype).view(-1, *h.shape)
        return {"jacobian": torch.autograd.grad(h, run.x, upstream, is_grads_batched=True)[0]}

    assert_is_the_loops(second)
    assert_is_the_loops(batched)


@every_cell
def test_a_graph_that_is_kept_gives_the_same_gradients_again(make):
    run = trial(with_biases(make, 2), MANY, "per graph")
    with gr.running_on("torch"):
        loss = sum(field.pow(2).sum() for field in run.run())
    inputs = list(run.inputs.values())
    once = torch.autograd.grad(loss, inputs, retain_graph=True)
    for one, other in zip(once, torch.autograd.grad(loss, inputs), strict=True):
        assert_close(one, other)


@every_cell
@pytest.mark.parametrize("size", [1, 2, 3])
def test_blocks_of_levels_that_are_run_again(make, size):
    """Their boundary rows are read by several nodes, or by none."""
    run = trial(with_biases(make, 2), MANY, "per graph")
    with gr.running_on("torch"), differentiated_by(BPTT(recompute=size)):
        found = run.outcome()
    with plain_operators():
        assert_all_close(found, run.outcome())


@every_cell
def test_roots_whose_past_is_not_given_begin_with_zero(make):
    run = trial(
        with_biases(make, 2), MANY.replace(past=(torch.arange(MANY.num_nodes) == 0).long()), "per node"
    )
    assert_is_the_loops(lambda: everything(run))


# ---------------------------------------------------------------------------------- what goes wrong elsewhere


@every_cell
def test_an_empty_trie_in_the_middle_is_no_padding(make):
    """With an initial state for each, the one behind it keeps its own."""
    run = trial(with_biases(make, 1), trie([-1, 0, 0], [], [], [-1, 0, 0, 2]), "per graph")
    h = gr.run(run.cell, run.plan, run.x, run.given, backend="torch").h
    alone = trie([-1, 0, 0, 2])
    last = type(run.initial)(*(field[3:] for field in run.initial))
    assert_close(h[3:], gr.run(run.cell, gr.schedule(alone), run.x[3:], last, backend="loop").h)


def test_parents_that_change_in_place_are_another_trie():
    """Nothing is kept on the tensor that they came in, whose version torch counts, or does not."""
    model, x = gr.LSTM(3, 4).double(), torch.randn(6, 3, dtype=torch.float64)
    edges = torch.tensor([[0, 0, 1, 2, 3], [1, 2, 3, 4, 5]])
    seen = []
    for change in (lambda: None, lambda: edges[0, 3:].fill_(0), lambda: edges.numpy()[0].fill(0)):
        change()
        h = model(x, gr.dag(edges, 6, slot=torch.zeros(5, dtype=torch.long)), backend="torch")
        same = trie([-1, *edges[0].tolist()])
        assert_close(h, model(x, same, backend="loop"))
        seen.append(h.detach())
    assert not any(torch.equal(one, other) for one, other in pairwise(seen))


@every_cell
def test_each_node_is_computed_once(make, monkeypatch):
    """However small the trie: nothing is scanned again for each branch, and equal lengths have no padding."""
    s, rows = trie([-1, 0, 1, 1, 1, 2, 3, 4], [-1, 0, 1, 1, 2, 3]), []
    run = trial(with_biases(make, 2), s)
    operator = run.cell.fused().operator
    call = getattr(torch, operator)

    def noted(table, *more):
        rows.append(table.shape[0] * table.shape[1])
        return call(table, *more)

    monkeypatch.setattr(torch, operator, noted)
    gr.run(run.cell, run.plan, run.x, backend="torch")
    assert (sum(rows), len(rows)) == (s.num_nodes, 2)


@pytest.mark.parametrize("name", ["SRN", "LSTM"])
@pytest.mark.parametrize("of", ["forks at every other node", "one fork", "branches of all lengths"])
def test_cost_is_linear(name, of):
    def build(size):
        if of == "one fork":
            return trie([-1, *range(size // 2), *range(size // 2, size - 1)])
        if of == "branches of all lengths":
            return trie([-1, *(v * 3 // 4 if v % 8 == 0 else v - 1 for v in range(1, size))])
        return trie([-1, *(v - 1 - (v % 2 == 0) for v in range(1, size))])

    written = []
    for size in (32, 64, 128):
        run = trial(with_biases(CELLS[name], 2), build(size))
        with gr.running_on("torch"):
            run.outcome()
            with Count() as count:
                run.outcome()
        written.append(count.written / size)
    assert max(written) < 1.15 * written[0], written


# ---------------------------------------------------------------------------------------- who runs what


def star(prefix, *branches):
    """The parents of a trie that forks once."""
    parents = list(range(-1, prefix - 1))
    for length in branches:
        parents += [prefix - 1, *range(len(parents), len(parents) + length - 1)]
    return parents


LONG = trie(star(20, 10, 10))
# Node by node 39 levels; segment by segment two times 30, since long ones stand beside short ones.
APART = trie(star(30, 9, 9), star(9, 30, 30))


def explained(cell, s, mode=nullcontext, dtype=torch.float32):
    """Who is chosen, and why others are not."""
    said = []
    with choice.telling(lambda run, name, reasons: said.append((name, reasons))), mode():
        gr.run(cell.to(dtype), gr.schedule(s), torch.randn(s.num_nodes, 3, dtype=dtype))
    return said[0]


@pytest.mark.chooses
def test_who_runs_a_trie():
    first = "torch" if clib.library() is None else "native"
    assert explained(gr.LSTMCell(3, 4), LONG)[0] == first
    assert explained(gr.LSTMCell(3, 4), LONG, dtype=torch.bfloat16)[0] == "torch"
    name, reasons = explained(gr.GRUCell(3, 4), LONG, dtype=torch.bfloat16)
    assert (name, reasons["torch"]) == ("torch_programs", "on a CPU torch runs gru operation by operation")
    # No program runs under autocast.
    assert explained(gr.GRUCell(3, 4), LONG, lambda: torch.autocast("cpu", torch.bfloat16))[0] == "torch"


@pytest.mark.chooses
@pytest.mark.parametrize(
    ("make", "s", "reason"),
    [
        (
            gr.LSTMCell,
            trie([-1, *(v // 2 for v in range(62))]),
            "6 calls of torch's lstm are no faster than 6 levels",
        ),
        (gr.GRUCell, APART, "60 steps of segments are no faster than 39 levels"),
        (gr.GRUCell, trie([-1, 0]), "2 steps are no faster there"),
    ],
)
def test_where_segments_gain_nothing(make, s, reason):
    assert explained(make(3, 4), s, torch.no_grad, torch.bfloat16)[1]["torch"] == reason


@pytest.mark.chooses
def test_segments_are_not_looked_for_where_the_cell_is_another():
    s = LONG.replace()
    assert explained(gr.PeepholeLSTMCell(3, 4), s, dtype=torch.bfloat16)[0] == "torch_programs"
    assert not any("segments" in name for name in gr.schedule(s).cache)
    assert explained(gr.LSTMCell(3, 4), s, dtype=torch.bfloat16)[0] == "torch"
    assert any("segments" in name for name in gr.schedule(s).cache)


def test_these_are_no_chains():
    assert chains_of(gr.schedule(MANY)) is None
    assert chains_of(gr.schedule(STAGGERED)) is None

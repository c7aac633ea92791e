"""Chains of the SRN, the GRU and the LSTM go a shorter way, and it leads to the same numbers.

Wherever a structure is a batch of chains and the cell is one of torch's, a backend runs it: sweeps derived by hand, or
torch's own operators. Compared with the loop, by torch's plain operators: values of all
nodes and at the ends, and gradients of x, of all weights and of the initial state, for chains of any lengths in any
numbering. Everything that is unusual goes the general way.
"""

import importlib

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

import graphrec as gr
from graphrec import clib
from graphrec.runs import run_first, run_sequence
from graphrec.schedule import chains as chains_of
from tests.counting import Count
from tests.tolerances import assert_all_close, assert_close
from tests.trials import (
    Trial,
    assert_is_plain,
    gradients,
    outcome,
    padding,
    plain_operators,
    trial,
    with_biases,
)

runs = importlib.import_module("graphrec.runs")

CELLS = {
    "SRN": gr.SRNCell,
    "SRN-relu": lambda d, h, biases: gr.SRNCell(d, h, "relu", biases),
    "GRU": gr.GRUCell,
    "LSTM": gr.LSTMCell,
}
some_chains = pytest.mark.parametrize(
    "s",
    [
        gr.chains([3, 3]),
        gr.chains([4, 2]),
        gr.chains([3, 3], batch_first=False),
        gr.chains([4, 2], batch_first=False),
    ],
    ids=["equal", "any", "equal by time", "any by time"],
)
every_cell = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
# What runs a cell that is not one of torch's, or over something other than chains.
PROGRAMS = "torch_programs" if clib.library() is None else "native"
initial_states = st.sampled_from([None, "per graph", "per node", "for all"])
equal_lengths = st.builds(lambda count, length: [length] * count, st.integers(1, 4), st.integers(1, 5))
lengths_of_chains = equal_lengths | st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(any)


def renumbered(s, number):
    """The same structure, node v of which is called `number[v]`."""
    graph = torch.empty_like(s.graph)
    graph[number] = s.graph
    return gr.Structure(
        num_nodes=s.num_nodes,
        edge_index=number[s.edge_index],
        slot=s.slot,
        graph=graph,
        num_graphs=s.num_graphs,
    )


@st.composite
def chains(draw):
    """Chains in one of the numberings in which people have them, in either direction."""
    lengths = draw(lengths_of_chains)
    numbering = draw(st.sampled_from(["chain by chain", "step by step", "any"]))
    s = gr.chains(lengths, batch_first=numbering != "step by step")
    if numbering == "any":
        s = renumbered(s, torch.tensor(draw(st.permutations(range(s.num_nodes)))))
    return s.reverse() if draw(st.booleans()) else s


@pytest.fixture(scope="module", autouse=True)
def several_blocks():
    with padding(2):
        yield


@pytest.fixture
def backends(monkeypatch):
    """The names of the backends that a test has come to."""
    taken, choose = [], runs.choose

    def noted(*arguments):
        short = choose(*arguments)
        taken.append("loop" if short is None else short.name)
        return short

    monkeypatch.setattr(runs, "choose", noted)
    return taken


def everything(run):
    """The state of all nodes, h alone, h with the state at the ends; and the gradients of each."""
    inputs = run.inputs

    def first():
        h = run_first(run.cell, run.plan, run.x, run.given)
        return {"h": h.detach(), **gradients((h,), inputs)}

    def sequence():
        h, final = run_sequence(run.cell, run.plan, run.x, run.given)
        values = {"h": h.detach()} | {
            f"last {name}": value.detach() for name, value in final._asdict().items()
        }
        return values | gradients((h, *final), inputs)

    parts = {"state": outcome(run.run(), inputs), "first": first(), "sequence": sequence()}
    return {f"{part}: {name}": value for part, found in parts.items() for name, value in found.items()}


@every_cell
@given(
    s=chains(),
    biases=st.sampled_from([0, 1, 2]),
    initial=initial_states,
    inputs=st.integers(1, 3),
    hidden=st.integers(1, 3),
)
@example(s=gr.chains([1] * 3), biases=1, initial=None, inputs=2, hidden=2)
@example(s=gr.chains([0, 0, 1]), biases=2, initial="per graph", inputs=2, hidden=2)
@example(s=gr.chains([40, 1, 33, 7, 25, 40, 3]), biases=2, initial="per graph", inputs=2, hidden=3)
@example(s=gr.chains([9, 9]).reverse(), biases=0, initial="per node", inputs=2, hidden=3)
@example(s=gr.chains([4] * 3, batch_first=False), biases=2, initial="per graph", inputs=2, hidden=2)
@example(s=gr.chains([4] * 3, batch_first=False).reverse(), biases=2, initial="for all", inputs=2, hidden=2)
def test_all_values_and_gradients_are_the_loops(make, s, biases, initial, inputs, hidden):
    assert chains_of(gr.schedule(s)) is not None
    run = trial(with_biases(make, biases), s, initial, inputs=inputs, hidden=hidden)
    assert_is_plain(lambda: everything(run))


@every_cell
@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize("lengths", [[4, 4], [3, 1, 0, 5]])
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_inference_is_the_loops(make, initial, lengths, mode):
    run = trial(with_biases(make, 2), gr.chains(lengths), initial)
    with mode():
        h, final = run_sequence(run.cell, run.plan, run.x, run.given)
        found = {"first": run_first(run.cell, run.plan, run.x, run.given), "h": h, **final._asdict()}
        found |= {f"state {name}": field for name, field in run.run()._asdict().items()}
        with plain_operators():
            h, final = run_sequence(run.cell, run.plan, run.x, run.given)
            expected = {"first": h, "h": h, **final._asdict()}
            expected |= {f"state {name}": field for name, field in run.run()._asdict().items()}
        assert_all_close(found, expected)
    # What inference has computed and kept is fit for training.
    assert_is_plain(lambda: everything(run))


@every_cell
@pytest.mark.parametrize("rows", [3, 1])
def test_an_empty_chain_ends_as_it_began(make, rows):
    run = trial(with_biases(make, 1), gr.chains([2, 0, 4]), {3: "per graph", 1: "for all"}[rows])
    _, final = run_sequence(run.cell, run.plan, run.x, run.given)
    state = run.run()
    for last, field, before in zip(final, state, run.initial, strict=True):
        assert_close(last, torch.stack([field[1], before[1 % rows], field[5]]))


@every_cell
@pytest.mark.parametrize("wanted", ["x", "weights", "initial"])
def test_gradients_that_are_not_asked_for(make, wanted):
    run = trial(with_biases(make, 2), gr.chains([3, 5]), "per graph")
    run.x.requires_grad_(wanted == "x")
    run.cell.requires_grad_(wanted == "weights")
    for field in run.initial:
        field.requires_grad_(wanted == "initial")
    assert_is_plain(lambda: everything(run))


@every_cell
def test_float32(make):
    run = trial(with_biases(make, 2), gr.chains([30, 12, 30, 1]), "per graph", hidden=5)
    run.cell.float()
    run.x = run.x.detach().float().requires_grad_()
    run.initial = type(run.initial)(*(field.detach().float().requires_grad_() for field in run.initial))
    assert_is_plain(lambda: everything(run))


@every_cell
@pytest.mark.parametrize(
    "s",
    [
        gr.chains([3, 3]),
        gr.chains([3, 0, 2]).reverse(),
        gr.lagged([4, 2], 1),
        gr.chains([4, 4], batch_first=False),
    ],
    ids=["equal", "reversed", "one lag", "by time"],
)
def test_the_short_way_is_taken(make, s, backends):
    run = trial(with_biases(make, 1), s)
    everything(run)
    with torch.no_grad():
        run.run()
    assert "loop" not in backends


class OwnLSTM(gr.LSTMCell):
    """Somebody's own, which says nothing about what it computes."""


class WatchfulLSTM(gr.LSTMCell):
    """Somebody's own, which looks at values, as no program can."""

    def forward(self, x, inbox, own):
        assert not torch.isnan(x).any()
        return super().forward(x, inbox, own)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def with_hook(cell):
    cell.register_forward_hook(lambda cell, arguments, state: type(state)(*(2 * field for field in state)))


def with_hooked_part(cell):
    cell.recurrent.register_forward_hook(lambda layer, arguments, result: 2 * result)


def with_parametrization(cell):
    parametrize.register_parametrization(cell.recurrent, "weight", Doubled())


def with_other_part(cell):
    cell.recurrent = nn.Sequential(cell.recurrent, nn.Tanh())


@every_cell
@pytest.mark.parametrize("change", [with_hook, with_hooked_part, with_parametrization, with_other_part])
def test_changed_cells_go_the_general_way(make, change, backends):
    run = trial(with_biases(make, 2), gr.chains([3, 5]), "per graph")
    change(run.cell)
    run.run()
    assert backends == ["loop" if change in (with_hook, with_hooked_part) else PROGRAMS]
    assert_is_plain(run.outcome)


def test_subclasses_go_the_general_way_and_say_so_once(backends):
    trial(OwnLSTM, gr.chains([3, 5])).run()
    assert backends.pop() == PROGRAMS
    run = trial(WatchfulLSTM, gr.chains([3, 5]))
    with pytest.warns(
        gr.SlowPathWarning, match="WatchfulLSTM is a subclass of LSTMCell and runs in the loop"
    ):
        run.run()
    run.run()
    assert backends == ["loop", "loop"]


TREE = gr.tree(parents=[2, 2, -1])
NOT_CHAINS = {
    "a source with two targets": TREE.reverse().replace(slot=torch.zeros(2, dtype=torch.long)),
    "without a past": gr.chains([3, 2]).replace(past=torch.zeros(5, dtype=torch.long)),
}


@pytest.mark.parametrize("s", NOT_CHAINS.values(), ids=NOT_CHAINS)
def test_other_structures_are_chains_behind_each_other(s, backends):
    run = trial(gr.LSTMCell, s, "per graph")
    run.run()
    assert backends == ["torch" if clib.library() is None else "native"]
    assert_is_plain(run.outcome)


def test_joins_go_the_general_way(backends):
    run = trial(gr.LSTMCell, TREE.replace(slot=torch.zeros(2, dtype=torch.long)))
    run.cell.arity = None  # it sums its inbox
    run.run()
    assert backends == [PROGRAMS]
    assert_is_plain(run.outcome)


def test_rounds_go_the_general_way(backends):
    trial(gr.GRUCell, gr.chains([3, 2]), mode="sync", rounds=2).run()
    assert backends == [PROGRAMS]


@every_cell
def test_the_loop_is_asked_for(make, backends):
    with plain_operators():
        trial(with_biases(make, 1), gr.chains([3, 2])).run()
    assert backends == ["loop"]


def narrow(run):
    return {
        name: None if value is None else value.bfloat16()
        for name, value in outcome(run.run(), run.inputs).items()
    }


@every_cell
@some_chains
def test_autocast_reaches_torchs_operators(make, s, backends):
    run = as_dtype(trial(with_biases(make, 2), s, "per graph", hidden=4), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = run.run()
        with plain_operators():
            expected = narrow(run)
    assert backends[0] == "torch"
    assert {field.dtype for field in found} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        assert_all_close(narrow(run), expected)


@every_cell
@some_chains
def test_half_precision_reaches_torchs_operators(make, s, backends):
    run = as_dtype(trial(with_biases(make, 2), s, "per graph", hidden=4), torch.bfloat16)
    found = narrow(run)
    assert backends == ["torch"]
    with plain_operators():
        assert_all_close(found, narrow(run))


def as_dtype(run, dtype):
    initial = type(run.initial)(*(field.detach().to(dtype).requires_grad_() for field in run.initial))
    return Trial(run.cell.to(dtype), run.structure, run.x.detach().to(dtype).requires_grad_(), initial)


class Named(torch.Tensor):
    """Somebody's own tensors."""


@every_cell
def test_tensors_of_other_types_go_the_general_way(make, backends):
    cell, s = make(3, 2, biases=1), gr.chains([3, 2])
    gr.run(cell, gr.schedule(s), torch.randn(5, 3).as_subclass(Named))
    assert backends == ["loop"]


@every_cell
def test_transforms_go_the_general_way(make, backends):
    run = trial(with_biases(make, 1), gr.chains([3, 2]))
    run.cell.requires_grad_(False)

    def loss(x):
        return run_first(run.cell, run.plan, x).pow(2).sum()

    found = torch.func.grad(loss)(run.x.detach())
    assert "loop" in backends
    assert_close(found, torch.autograd.grad(loss(run.x), run.x)[0])


class RunsAnLSTM(gr.Cell):
    """Runs a cell of torch's kind, which is a part of it, within each of its steps."""

    State = gr.SRNCell.State

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.inner = gr.LSTMCell(inputs, hidden)
        self.U = nn.Linear(hidden, hidden)

    def forward(self, x, inbox, own):
        inner = gr.run(self.inner, gr.schedule(gr.chain(inbox.num_nodes)), x)
        return self.State(torch.tanh(inner.h + self.U(inbox.sum(inbox.h))))


def test_a_cell_within_a_step_of_another():
    assert_is_plain(trial(RunsAnLSTM, gr.chains([3, 2, 4])).outcome)


def test_a_parametrization_that_is_cached():
    run = trial(gr.GRUCell, gr.chains([3, 2]))
    with_parametrization(run.cell)

    def twice():
        with parametrize.cached():
            return outcome(run.cell.State(run.run().h + run.run().h), run.inputs)

    assert_is_plain(twice)


@every_cell
@some_chains
def test_a_graph_that_is_kept_gives_the_same_gradients_again(make, s):
    run = trial(with_biases(make, 2), s, "per graph")
    state = run.run()
    loss = sum(field.pow(2).sum() for field in state)
    inputs = list(run.inputs.values())
    once = torch.autograd.grad(loss, inputs, retain_graph=True)
    again = torch.autograd.grad(loss, inputs)
    for one, other in zip(once, again, strict=True):
        assert_close(one, other)
    with pytest.raises(RuntimeError, match="a second time"):
        torch.autograd.grad(loss, inputs)


@every_cell
@some_chains
def test_second_derivatives(make, s):
    run = trial(with_biases(make, 2), s, "per graph")

    def second():
        h, final = run_sequence(run.cell, run.plan, run.x, run.given)
        loss = sum(value.pow(2).sum() for value in (h, *final, *run.run()))
        first = torch.autograd.grad(loss, run.x, create_graph=True)
        return gradients(first, run.inputs)

    def batched():
        h = run_first(run.cell, run.plan, run.x, run.given)
        upstream = torch.eye(h.numel(), dtype=h.dtype).view(-1, *h.shape)
        return {"jacobian": torch.autograd.grad(h, run.x, upstream, is_grads_batched=True)[0]}

    assert_is_plain(second)
    assert_is_plain(batched)


def tied(make):
    """A cell whose weights of inputs and of states are one."""
    cell = make(2, 2, biases=1).double()
    cell.input.weight = cell.recurrent.weight
    return cell


@every_cell
@pytest.mark.parametrize(
    "of", ["weights that are one", "a state behind the input", "an input behind a weight"]
)
@pytest.mark.parametrize("at_once", [False, True])
def test_first_derivatives_that_can_be_derived_again_are_the_same(make, of, at_once):
    """Each input has its own part, though one lies behind another."""
    cell, s = (
        (tied(make) if of == "weights that are one" else make(2, 2, biases=1).double()),
        gr.chains([3, 2]),
    )
    x, plan = torch.randn(5, 2, dtype=torch.float64, requires_grad=True), gr.schedule(s)
    weight = cell.recurrent.weight
    rows = x * weight.sum() if of == "an input behind a weight" else x
    given = [torch.tanh(x[:2])] * len(cell.State._fields) if of == "a state behind the input" else None

    def gradient(create_graph):
        h = run_first(cell, plan, rows, None if given is None else gr.per_graph(cell.State(*given)))
        if not at_once or not create_graph:
            return torch.autograd.grad(h.sum(), [x, weight], create_graph=create_graph, retain_graph=True)
        found = torch.autograd.grad(
            h, [x, weight], torch.ones(2, *h.shape, dtype=h.dtype), is_grads_batched=True, retain_graph=True
        )
        return [grad[1] for grad in found]

    for again, once in zip(gradient(True), gradient(False), strict=True):
        assert_close(again.detach(), once)


@every_cell
@some_chains
def test_what_comes_out_may_be_written_into_and_what_goes_in_stays(make, s):
    run = trial(with_biases(make, 2), s, "per graph")
    given = {name: tensor.detach().clone() for name, tensor in run.inputs.items()}

    def overwritten():
        state = run.run()
        h, final = run_sequence(run.cell, run.plan, run.x, run.given)
        results = [state.h, run_first(run.cell, run.plan, run.x, run.given), h, final.h]
        return gradients(tuple(result.mul_(2).tanh_() for result in results), run.inputs)

    assert_is_plain(overwritten)
    assert_all_close({name: tensor.detach() for name, tensor in run.inputs.items()}, given)


@every_cell
def test_gradients_that_come_back_expanded_or_strided(make):
    run = trial(with_biases(make, 2), gr.chains([3, 3]), hidden=3)

    def compute():
        h = run_first(run.cell, run.plan, run.x)
        return {"sum": torch.autograd.grad(h.sum(), run.x)[0]}

    def turned():
        h = run_first(run.cell, run.plan, run.x)
        return {"turned": torch.autograd.grad(h, run.x, torch.arange(18.0).double().view(3, 6).t())[0]}

    assert_is_plain(compute)
    assert_is_plain(turned)


@pytest.mark.parametrize("name", ["input.weight", "recurrent.weight", "input.bias"])
@pytest.mark.parametrize("shape", [(3, 8), (9, 2), (2, 2), (5,), (1024, 1)])
def test_weights_of_another_shape_get_the_equations_error(name, shape):
    cell = gr.LSTMCell(3, 2)  # whose operator reads where it should not, in float32
    layer, _, kind = name.partition(".")
    setattr(getattr(cell, layer), kind, nn.Parameter(torch.randn(shape)))
    with pytest.raises(RuntimeError, match=r"size|shape|matrix"):
        gr.Recursive(cell)(torch.randn(4, 3), gr.chains([2, 2]))


def test_what_is_read_before_padding_stays_out_of_it():
    run = trial(with_biases(gr.LSTMCell, 1), gr.chains([2, 9]), inputs=1)
    run.x.data[1] = float("inf")

    def ends():
        return run_sequence(run.cell, run.plan, run.x)[1]._asdict()

    assert_is_plain(ends)


def test_a_rectifier_does_not_grow_in_padding():
    """Its h behind the end of the short chain would be infinite, and gradients of zero times that NaN."""
    cell = gr.SRNCell(1, 1, "relu", biases=0)
    for weight in cell.parameters():
        weight.data.fill_(10.0)
    x = torch.cat([-torch.ones(60, 1), torch.ones(1, 1)]).requires_grad_()
    with gr.running_on("torch"), padding(64):
        h = run_first(cell, gr.schedule(gr.chains([60, 1])), x)
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(h.sum(), [x, *cell.parameters()]))


@every_cell
def test_a_projection_of_its_own_counts(make):
    run = trial(with_biases(make, 1), gr.chains([2, 3]))
    run.cell.project = lambda x: 2 * run.cell.input(x)
    assert_is_plain(run.outcome)


def test_the_wrong_way_is_refused_before_anything_is_done():
    cell, s = gr.LSTMCell(3, 2), gr.chains([2, 2])
    with pytest.raises(ValueError, match="shape"):
        gr.run(cell, gr.schedule(s), torch.randn(4, 2))


@every_cell
def test_work_is_linear(make):
    """Counted, in a forward and a backward pass, on equal chains, on all lengths at once, on one among short ones."""
    for lengths in (
        lambda size: [size] * 3,
        lambda size: [*range(0, size, 8)],
        lambda size: [size, *[1] * size],
    ):
        per_node = []
        for size in (32, 64, 128):
            s, cell = gr.chains(lengths(size)), make(3, 2, biases=1)
            plan, x = gr.schedule(s), torch.randn(s.num_nodes, 3, requires_grad=True)
            run_first(cell, plan, x)
            with Count() as count:
                run_first(cell, plan, x).sum().backward()
            per_node.append(count.written / s.num_nodes)
        assert max(per_node[1:]) <= 1.2 * per_node[0], per_node


@every_cell
@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand(make, backends):
    run = trial(with_biases(make, 1), gr.chains([100_000, 7]))
    found = outcome(run.run(), run.inputs)
    assert "loop" not in backends
    with gr.running_on("loop"):
        assert_all_close(found, outcome(run.run(), run.inputs))
    assert backends[-1] == "loop"

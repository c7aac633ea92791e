"""BPTT that runs blocks of steps a second time has the gradients of BPTT that keeps everything."""

from __future__ import annotations

from collections import namedtuple

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.parametrizations import weight_norm

import graphrec as gr
from graphrec import clib
from graphrec.backends.choice import telling
from graphrec.learning import BPTT, Stream
from graphrec.schedule import masked
from tests import strategies, zoo
from tests.learning.networks import STRUCTURES, SumCell, gradients_of
from tests.tolerances import GRADCHECK, assert_all_close, assert_close
from tests.torch_threads import on_threads
from tests.trials import Trial, trial
from tests.zoo import cases

D, H = 3, 4
structures = pytest.mark.parametrize("s", STRUCTURES.values(), ids=STRUCTURES)


def assert_is_bptt(run: Trial, *sizes: int) -> None:
    expected = run.outcome()
    for rule in map(BPTT, sizes):
        found = run.outcome(lambda rule=rule: rule.run(run.cell, run.plan, run.x, run.given))
        assert_all_close(found, expected)


def trained(model: nn.Module, s: gr.Structure, x: torch.Tensor, rule=None) -> dict:
    """The rows, and the gradients of a function of them."""
    x = x.detach().clone().requires_grad_()
    model.zero_grad()
    h = model(x, s, rule=rule)
    (h * torch.arange(1, 1 + h.numel()).view(h.shape).sin()).pow(2).sum().backward()
    return {**gradients_of(model), "x": x.grad, "h": h.detach()}


def rows(s: gr.Structure, width: int = D) -> torch.Tensor:
    return torch.randn(s.num_nodes, width).double()


# ------------------------------------------------------------------------------------------------ equal to BPTT


@pytest.mark.parametrize(("case", "s", "mode"), zoo.by_turns(zoo.ALL_CELLS, [zoo.dag], ["async", "sync"]))
def test_every_cell(case, s, mode):
    assert_is_bptt(trial(case.make, s, mode=mode, rounds=5 if mode == "sync" else None), 2)


@pytest.mark.parametrize(
    ("case", "s"), cases([case for case in zoo.ALL_CELLS if case not in zoo.GRAPH_CELLS], [zoo.mixed_batch])
)
def test_every_cell_with_an_initial_state(case, s):
    assert_is_bptt(trial(case.make, s, "per node"), 2)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "s"), cases(zoo.ALL_CELLS, [zoo.cyclic]))
def test_every_cell_in_rounds_on_cycles(case, s):
    assert_is_bptt(trial(case.make, s, mode="sync", rounds=5), 2)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "s"), cases(zoo.ALL_CELLS, zoo.ACYCLIC))
def test_every_cell_on_every_family(case, s):
    for initial in (None,) if case in zoo.GRAPH_CELLS else (None, "per node", "per graph", "for all"):
        assert_is_bptt(trial(case.make, s, initial), 1, 2, 3)


@given(
    strategies.batches(strategies.acyclic()),
    st.integers(1, 5),
    st.sampled_from([None, "per node", "per graph", "for all"]),
)
def test_random_structures(members_and_batch, size, initial):
    _, s = members_and_batch
    cell = gr.ChildSumTreeLSTMCell
    if initial == "per graph" and not s.num_graphs:
        initial = None
    assert_is_bptt(trial(cell, s, initial), size)
    assert_is_bptt(trial(cell, s, initial, "sync", 4), size)


BACKENDS = ["loop", "torch_programs", *(["native"] if clib.library() else [])]


@pytest.mark.parametrize("size", [1, 2, 4, 7])
@pytest.mark.parametrize("backend", BACKENDS)
@structures
def test_every_backend(s, backend, size):
    run = trial(gr.ChildSumTreeLSTMCell, s, "per node")
    with gr.running_on(backend):
        assert_is_bptt(run, size)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize("kind", [gr.SRNCell, gr.GRUCell, gr.LSTMCell])
def test_torchs_operators(kind, initial, size):
    run = trial(kind, gr.chains([4, 7, 1, 7]), initial)
    with gr.running_on("torch"):
        assert_is_bptt(run, size)


@pytest.mark.parametrize("threads", [2, 3])
def test_parts_of_a_forest_side_by_side(threads):
    with on_threads(threads):
        s = gr.batch([zoo.tree(None), gr.chain(9), zoo.caterpillar(None)] * 5)
        assert_is_bptt(trial(gr.ChildSumTreeLSTMCell, s, "per graph"), 2)


def test_gradcheck():
    cell, s = gr.ChildSumTreeLSTMCell(2, 2).double(), STRUCTURES["dag"]
    x, h, c = rows(s, 2).requires_grad_(), *(torch.randn(1, 2).double().requires_grad_() for _ in range(2))

    def run(x, h, c, *weights):
        return tuple(BPTT(recompute=2).run(cell, gr.schedule(s), x, cell.State(h, c)))

    assert torch.autograd.gradcheck(run, (x, h, c, *cell.parameters()), **GRADCHECK)


def test_a_given_order():
    s = gr.dag([[0, 1, 2, 3, 0, 4, 2], [1, 2, 3, 0, 2, 1, 4]], 5)
    cell, plan = SumCell(D, H).double(), gr.schedule(s, order=torch.tensor([0, 1, 2, 3, 4]))
    x, initial = rows(s).requires_grad_(), rows(s, H).requires_grad_()
    for given_state in (None, initial):
        inputs = [x, *cell.parameters()] + ([] if given_state is None else [initial])
        found = [
            torch.autograd.grad(rule.run(cell, plan, x, given_state).h.pow(3).sum(), inputs)
            for rule in (BPTT(), BPTT(recompute=2))
        ]
        for one, other in zip(*found, strict=True):
            assert_close(other, one)


def test_features_by_relation_and_kinds():
    s = gr.dag([[0, 1, 2, 0, 3, 4], [1, 2, 3, 3, 4, 5]], 6).replace(kind=torch.tensor([0, 1, 0, 1, 0, 1]))
    features = [torch.randn(3, 2).double().requires_grad_(), torch.randn(3, 4).double().requires_grad_()]
    s = s.replace(relation=torch.tensor([0, 1, 0, 1, 0, 1]), edge_attr=features)

    class Reading(SumCell):
        def __init__(self, *widths):
            super().__init__(*widths)
            self.edges, self.features = [2, 4], gr.PerRelation([2, 4], H)

        def project_edges(self, edge_attr):
            return self.features(edge_attr)

        def forward(self, x, inbox, own):
            return self.State(torch.tanh(x + self.recurrent(inbox.sum(inbox.h * inbox.edge_attr))))

    cell, x = gr.PerKind([Reading(D, H), Reading(D, H)]).double(), rows(s)
    inputs = [*features, *cell.parameters()]
    found = [
        torch.autograd.grad(rule.run(cell, gr.schedule(s), x).h.pow(3).sum(), inputs)
        for rule in (BPTT(), BPTT(recompute=2))
    ]
    for one, other in zip(*found, strict=True):
        assert_close(other, one)


def test_so_few_steps_are_run_once():
    model, s, x = gr.GRU(D, H).double(), gr.chain(5), rows(gr.chain(5)).requires_grad_()
    for rule in (None, BPTT(), BPTT(recompute=5), BPTT(recompute=100)):
        assert model(x, s, rule=rule).grad_fn.name() == model(x, s).grad_fn.name()
    assert model(x, s, rule=BPTT(recompute=4)).grad_fn.name() != model(x, s).grad_fn.name()
    with torch.no_grad():
        assert torch.equal(model(x, s, rule=BPTT(recompute=2)), model(x, s))


# ------------------------------------------------------------------------------------------- wherever rules are used

MODELS = {
    "LSTM": gr.LSTM(D, H),
    "stacked": gr.Stacked([gr.GRU(D, H), gr.SRN(H, H)]),
    "both ways": gr.Bidirectional(gr.GRU(D, H), gr.GRU(D, H)),
    "dropout": gr.VariationalDropout(gr.LSTMCell(D, H), 0.3, 0.3),
    "rounds": gr.Recursive(SumCell(D, H), mode="sync", rounds=6),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_models(model):
    model, s = model.double(), gr.chains([4, 9, 1])
    x, seed = rows(s), torch.get_rng_state()
    expected = trained(model, s, x)
    torch.set_rng_state(seed)
    assert_all_close(trained(model, s, x, BPTT(recompute=3)), expected)


def test_training_goes_the_same_way():
    s, x = gr.chains([4, 9, 2]), rows(gr.chains([4, 9, 2]))
    losses = []
    for rule in (None, BPTT(recompute=2)):
        torch.manual_seed(1)
        model = gr.TreeLSTM(D, H).double()
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        for _ in range(4):
            optimizer.zero_grad()
            loss = model(x, s, rule=rule).pow(2).mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.detach())
    assert_close(losses[1], losses[0])


def test_gradients_streams_and_reach():
    model, s = gr.SequenceToLabels(gr.GRU(D, H), H, 2).double(), gr.chain(7)
    found = []
    for rule in (BPTT(), BPTT(recompute=2)):
        model.zero_grad()
        rule.gradients(model, s, torch.ones(7, D).double(), lambda y: y.pow(2).sum())
        found.append(gradients_of(model))
        assert not rule.reach(model, s, rows(s)).inexact
        stream = Stream(model.model, rule)
        stream(torch.ones(2, 5, D).double())
        model.zero_grad()
        stream(torch.ones(2, 5, D).double()).pow(2).sum().backward()
        found.append(gradients_of(model.model))
    assert_all_close(found[2], found[0])
    assert_all_close(found[3], found[1])


class Dropping(SumCell):
    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.recurrent(F.dropout(inbox.sum(inbox.h), 0.5, self.training))))


@structures
def test_the_same_nodes_are_dropped_again(s):
    model, x, seed = gr.Recursive(Dropping(D, H)).double(), rows(s), torch.get_rng_state()
    expected = trained(model, s, x)
    after = torch.get_rng_state()
    torch.set_rng_state(seed)
    h = model(x, s, rule=BPTT(recompute=2))
    model.eval()  # (the first run was in training)
    model.zero_grad()
    (h * torch.arange(1, 1 + h.numel()).view(h.shape).sin()).pow(2).sum().backward()
    assert_all_close(gradients_of(model), {name: expected[name] for name in gradients_of(model)})
    assert torch.equal(torch.get_rng_state(), after)
    assert not model.cell.training


def test_weights_that_are_computed():
    s, x = gr.chain(7), rows(gr.chain(7))
    cell, made_of = SumCell(D, H).double(), nn.Linear(2, H * H).double()
    given_to = torch.ones(2).double().requires_grad_()
    del cell.recurrent.weight
    grads = []
    for rule in (BPTT(), BPTT(recompute=2)):
        # (One weight is made of the other, and both are read.)
        cell.recurrent.weight = made_of(given_to).view(H, H)
        cell.input.bias = None
        h = gr.run(cell, gr.schedule(s), x) if rule.recompute is None else rule.run(cell, gr.schedule(s), x)
        loss = h.h.pow(2).sum() + made_of.bias.sum()
        grads.append(torch.autograd.grad(loss, [given_to, *made_of.parameters(), cell.input.weight]))
    for one, other in zip(*grads, strict=True):
        assert_close(other, one)


def test_a_parametrized_weight():
    model, s = gr.Recursive(SumCell(D, H)).double(), STRUCTURES["dag"]
    weight_norm(model.cell.recurrent)
    x = rows(s)
    assert_all_close(trained(model, s, x, BPTT(recompute=2)), trained(model, s, x))


def test_autocast():
    model, s, x = gr.GRU(D, H), gr.chain(9), torch.randn(9, D)
    with torch.autocast("cpu", torch.bfloat16):
        expected = trained(model, s, x)
        found = trained(model, s, x, BPTT(recompute=3))
    for name in expected:
        assert (found[name] - expected[name]).norm() <= 0.05 * expected[name].norm(), name


def test_a_backend_that_was_asked_for_is_asked_for_again():
    model, s, x = gr.GRU(D, H).double(), gr.chain(9), rows(gr.chain(9))
    seen = []
    with telling(lambda run, name, reasons: seen.append(name)):
        h = model(x, s, rule=BPTT(recompute=3), backend="loop")
        h.sum().backward()
    assert seen == ["loop"] * 6


# ------------------------------------------------------------------------------------------------ what is kept


def test_a_graph_that_is_kept_is_differentiated_twice():
    model, s, x = gr.GRU(D, H).double(), gr.chain(9), rows(gr.chain(9)).requires_grad_()
    h = model(x, s, rule=BPTT(recompute=2))
    loss = h.pow(2).sum()
    one, other = (torch.autograd.grad(loss, x, retain_graph=keep)[0] for keep in (True, False))
    assert torch.equal(one, other)


def test_the_result_is_the_callers_to_write_into():
    model, s, x = gr.GRU(D, H).double(), gr.chain(9), rows(gr.chain(9)).requires_grad_()
    (expected,) = torch.autograd.grad((3 * model(x, s)).sum(), x)
    h = model(x, s, rule=BPTT(recompute=2))
    h.mul_(3)
    assert_close(torch.autograd.grad(h.sum(), x)[0], expected)


@pytest.mark.parametrize("what", ["x", "a weight"])
def test_what_was_written_into_since_is_refused(what):
    model, s, x = gr.GRU(D, H).double(), gr.chain(9), rows(gr.chain(9))
    h = model(x, s, rule=BPTT(recompute=2))
    with torch.no_grad():
        (x if what == "x" else model.cell.input.weight).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


# ------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize("size", [0, -3])
def test_no_blocks(size):
    with pytest.raises(ValueError, match=f"recompute must be 1 or more, got {size}"):
        BPTT(recompute=size)


@pytest.mark.parametrize("size", [True, False, 2.0, "4", [4]])
def test_no_numbers(size):
    with pytest.raises(TypeError, match="recompute must be a whole number, got"):
        BPTT(recompute=size)


def test_its_name_says_it():
    assert [repr(rule) for rule in (BPTT(), BPTT(recompute=7))] == ["BPTT()", "BPTT(recompute=7)"]


def test_cycles_sweeps_and_masks():
    s = gr.dag([[0, 1, 2], [1, 2, 0]], 3)
    cell, x, rule = SumCell(D, H).double(), rows(s), BPTT(recompute=1)
    with pytest.raises(ValueError, match=r"BPTT\(recompute=1\) follows.*iterated"):
        rule.run(cell, gr.schedule(s, cycles="iterate", rounds=4), x)
    with pytest.raises(ValueError, match=r"BPTT\(recompute=1\) follows one sweep"):
        rule.run(cell, gr.schedule(s, order=torch.arange(3), rounds=2), x)
    plan = masked(gr.schedule(gr.chain(3)), torch.ones(2).double())
    with pytest.raises(ValueError, match="no masks of edges"):
        rule.run(cell, plan, x)


def test_second_derivatives_and_transforms():
    model, s, x = gr.GRU(D, H).double(), gr.chain(5), rows(gr.chain(5)).requires_grad_()
    rule = BPTT(recompute=2)
    h = model(x, s, rule=rule)
    with pytest.raises(RuntimeError, match=r"BPTT\(recompute=2\) has first derivatives only"):
        torch.autograd.grad(h.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="one gradient at a time"):
        torch.autograd.grad(h, x, torch.ones(2, *h.shape).double(), is_grads_batched=True)
    for transform in (torch.func.grad, make_fx):
        with pytest.raises(ValueError, match=r"BPTT\(recompute=2\) goes back in its own way"):
            transform(lambda x: model(x, s, rule=rule).sum())(x.detach())


class Counting(SumCell):
    def forward(self, x, inbox, own):
        self.steps = getattr(self, "steps", 0) + 1
        return super().forward(x * self.steps, inbox, own)


class Numpy(SumCell):
    def forward(self, x, inbox, own):
        return super().forward(x * float(np.random.rand()), inbox, own)  # noqa: NPY002


class Writing(SumCell):
    def __init__(self, *widths):
        super().__init__(*widths)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x, inbox, own):
        self.steps += 1
        return super().forward(x, inbox, own)


class Normalising(SumCell):
    def __init__(self, *widths):
        super().__init__(*widths)
        self.norm = nn.BatchNorm1d(widths[1])

    def forward(self, x, inbox, own):
        return super().forward(self.norm(x), inbox, own)


GENERATOR = torch.Generator()


class Drawing(SumCell):
    def forward(self, x, inbox, own):
        return super().forward(x * torch.rand(1, generator=GENERATOR).to(x), inbox, own)


CHANGING = {
    Drawing: "Drawing draws random numbers from a generator of its own",
    Counting: "Counting keeps something from step to step",
    Numpy: "Numpy draws Python's or numpy's random numbers",
    Writing: "Writing writes into tensors of its own",
    Normalising: "batch normalisation in training",
}


@pytest.mark.parametrize("kind", CHANGING)
def test_cells_that_would_do_something_else(kind):
    s = gr.chains([5, 3])
    with pytest.raises(ValueError, match=CHANGING[kind]):
        BPTT(recompute=2).run(kind(D, H).double(), gr.schedule(s), rows(s))


def test_batch_normalisation_that_is_not_in_training():
    model, s = gr.Recursive(Normalising(D, H)).double().eval(), gr.chains([5, 3])
    x = rows(s)
    assert_all_close(trained(model, s, x, BPTT(recompute=2)), trained(model, s, x))


@pytest.mark.parametrize("is_trained", [True, False])
def test_weights_that_were_replaced_since(is_trained):
    model, s, x = gr.Recursive(SumCell(D, H)).double(), gr.chain(5), rows(gr.chain(5)).requires_grad_()
    other = {
        name: (2 * weight).detach().requires_grad_(is_trained) for name, weight in model.named_parameters()
    }
    call = {"rule": BPTT(recompute=2)}
    h = torch.func.functional_call(model, other, (x, s), call)
    with pytest.raises(RuntimeError, match=r"SumCell have been .*replaced since.*functional_call"):
        h.sum().backward()


def test_a_tensor_from_elsewhere_that_was_replaced_since():
    class Reading(SumCell):
        def forward(self, x, inbox, own):
            return super().forward(x * elsewhere, inbox, own)

    elsewhere, s = torch.ones(H).double().requires_grad_(), gr.chain(5)
    h = BPTT(recompute=2).run(Reading(D, H).double(), gr.schedule(s), rows(s)).h
    elsewhere = torch.zeros(H).double()
    with pytest.raises(RuntimeError, match="does not read 1 of the tensors that it has read"):
        h.sum().backward()


class Scaling(SumCell):
    def __init__(self, *widths):
        super().__init__(*widths)
        self.register_buffer("scale", torch.ones(widths[1]))
        self.factor = 1.0

    def forward(self, x, inbox, own):
        return super().forward(x * self.scale * self.factor, inbox, own)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda cell: cell.scale.mul_(2), "weights or buffers of Scaling"),
        (
            lambda cell: cell.recurrent.requires_grad_(False).weight.mul_(2),
            "modified by an inplace operation",
        ),
        (lambda cell: setattr(cell, "factor", 2.0), "attributes of Scaling"),
    ],
)
@pytest.mark.parametrize("is_frozen", [True, False])
def test_what_was_changed_since_is_not_used(change, what, is_frozen):
    cell, s = Scaling(D, H).double(), gr.chain(5)
    cell.recurrent.requires_grad_(not is_frozen)
    x = rows(s).requires_grad_()
    h = BPTT(recompute=2).run(cell, gr.schedule(s), x).h
    change(cell)
    with pytest.raises(RuntimeError, match="weights or buffers" if is_frozen and "inplace" in what else what):
        h.sum().backward()


def test_weights_that_were_frozen_since():
    found = []
    for rule in (BPTT(), BPTT(recompute=2)):
        torch.manual_seed(0)
        cell, s = SumCell(D, H).double(), gr.chain(5)
        x = rows(s).requires_grad_()
        h = rule.run(cell, gr.schedule(s), x).h
        cell.requires_grad_(False)
        h.pow(2).sum().backward()
        assert all(weight.grad is None for weight in cell.parameters())
        found.append(x.grad)
    assert_close(found[1], found[0])


def test_cells_of_functions_with_their_own_derivative():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, h, weight):
            ctx.save_for_backward(h, weight)
            return h @ weight.T

        @staticmethod
        def backward(ctx, grad):
            h, weight = ctx.saved_tensors
            return 2 * grad @ weight, 2 * grad.T @ h  # (twice the true ones)

    class Strange(SumCell):
        State = namedtuple("State", "h")

        def forward(self, x, inbox, own):
            return self.State(torch.tanh(x + Twice.apply(inbox.sum(inbox.h), self.recurrent.weight)))

    model, s = gr.Recursive(Strange(D, H)).double(), STRUCTURES["dag"]
    x = rows(s)
    assert_all_close(trained(model, s, x, BPTT(recompute=2)), trained(model, s, x))


@pytest.mark.parametrize("s", [gr.chains([]), gr.chains([0, 0]), gr.chain(1), gr.dag(torch.zeros(2, 0), 3)])
def test_nothing_and_little(s):
    model, x = gr.GRU(D, H).double(), rows(s)
    assert_all_close(trained(model, s, x, BPTT(recompute=1)), trained(model, s, x))

"""What torch offers around a module works around a model: transforms, modes, threads, parametrizations, pickles.

Here are single habits; `test_every_family_within_torch.py` has every family of models in torch's main tools.
"""

import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.utils import parametrize

import graphrec as gr
from tests import user_cells
from tests.tolerances import assert_close
from tests.trials import assert_is_plain, plain_operators, trial
from tests.zoo import dag, family, mixed_batch

INPUTS, HIDDEN = 3, 2


def model_and_input(build=dag):
    s = family(build, 2)
    torch.manual_seed(0)
    model = gr.TreeLSTM(INPUTS, HIDDEN).double()
    return model, s, torch.randn(s.num_nodes, INPUTS, dtype=torch.double)


def gradients_of(loss, module):
    names, parameters = zip(*module.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def jacobian(x, model, s):
    """Row by row, by torch's own operators."""
    with plain_operators():
        return torch.autograd.functional.jacobian(lambda x: model(x, s), x)


def test_func_jacrev_and_hessian():
    model, s, x = model_and_input()
    expected = jacobian(x, model, s)
    assert expected.abs().max() > 0.01
    assert_close(torch.func.jacrev(lambda x: model(x, s))(x), expected)
    hessian = torch.func.hessian(lambda x: model(x, s).sum())(x)
    with plain_operators():
        assert_close(hessian, torch.autograd.functional.hessian(lambda x: model(x, s).sum(), x))


def test_func_vmap():
    model, s, x = model_and_input()
    many = torch.stack([x, 2 * x, -x])
    together = torch.func.vmap(lambda x: model(x, s))(many)
    assert_close(together, torch.stack([model(x, s) for x in many]))


def test_forward_mode():
    model, s, x = model_and_input()
    model.requires_grad_(False)
    direction = torch.randn_like(x)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(model(forward_ad.make_dual(x, direction), s)).tangent
    assert_close(tangent, torch.tensordot(jacobian(x, model, s), direction, 2))


def test_many_gradients_at_once():
    model, s, x = model_and_input()
    at_once = torch.autograd.functional.jacobian(lambda x: model(x, s), x, vectorize=True)
    assert_close(at_once, jacobian(x, model, s))


@pytest.mark.parametrize("initial", [False, True])
def test_a_structure_seen_in_inference_mode_can_be_trained_on(initial):
    model, s, x = model_and_input(mixed_batch)
    states = [torch.zeros(s.num_graphs, HIDDEN, dtype=torch.double)] * 2 if initial else None
    score = nn.Linear(HIDDEN, 1).double()

    def everything():
        h = model(x, s, initial=states) + gr.Reversed(model)(x, s)
        return gr.readout.attention(h, s, score).sum() + gr.readout.last(h, s).sum()

    with torch.inference_mode():
        expected = everything()
    loss = everything()
    loss.backward()
    assert_close(loss.detach(), expected.clone())
    with plain_operators():
        everything().backward()


def test_threads_take_turns():
    model, _, _ = model_and_input()
    s = gr.chain(60)
    x = torch.randn(60, INPUTS, dtype=torch.double)
    parameters = list(model.parameters())

    def gradients():
        return torch.autograd.grad(model(x, s).sum(), parameters)

    expected, found = gradients(), []

    def work():
        for _ in range(5):
            found.append(gradients())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 15
    for grads in found:
        for one, other in zip(grads, expected, strict=True):
            assert_close(one, other)


class Symmetric(nn.Module):
    def forward(self, weight):
        return (weight + weight.T) / 2


@pytest.mark.parametrize("cached", [False, True])
def test_parametrized_weights(cached):
    model = gr.SRN(INPUTS, HIDDEN).double()
    parametrize.register_parametrization(model.cell.recurrent, "weight", Symmetric())
    s, x = gr.chain(5), torch.randn(5, INPUTS, dtype=torch.double)

    def gradients():
        if cached:
            with parametrize.cached():
                loss = model(x, s).sum() + model(x, s.reverse()).pow(2).sum()
        else:
            loss = model(x, s).sum() + model(x, s.reverse()).pow(2).sum()
        return gradients_of(loss, model)

    assert_is_plain(gradients)


class CollectsALoss(user_cells.UserCell):
    """Keeps a penalty of each step for the loss."""

    def project(self, x):
        self.penalties = []
        return self.W(x)

    def forward(self, x, inbox, own):
        message = self.U(inbox.sum(inbox.h))
        self.penalties.append(message.pow(2).sum())
        return self.State(torch.tanh(x + message))


def test_a_loss_that_a_cell_collects_gets_its_gradient():
    run = trial(CollectsALoss, family(dag, None))

    def gradients():
        h = run.run().h
        penalty = torch.stack(run.cell.penalties).sum()
        return gradients_of(h.sum() + penalty, run.cell)

    assert_is_plain(gradients)


class KeepsForever(user_cells.UserCell):
    """Keeps a penalty of each step, with its number, and lets nobody but the user empty the list."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.kept = []
        self.steps = 0

    def forward(self, x, inbox, own):
        self.steps += 1
        message = self.U(inbox.sum(inbox.h))
        self.kept.append((self.steps, message.pow(2).sum()))
        return self.State(torch.tanh(x + message))


def test_what_a_cell_keeps_it_keeps_once():
    run = trial(KeepsForever, gr.chain(3))

    def gradients():
        run.cell.kept.clear()
        run.cell.steps = 0
        h = run.run().h
        assert [number for number, _ in run.cell.kept] == [1, 2, 3]
        penalty = torch.stack([penalty for _, penalty in run.cell.kept]).sum()
        return gradients_of(h.sum() + penalty, run.cell)

    assert_is_plain(gradients)


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight):
        return weight.sign() * weight.detach().abs().mean()

    @staticmethod
    def backward(ctx, grad):
        return grad


class OneBit(user_cells.UserCell):
    """Its weight goes through a function of the user's."""

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + inbox.sum(inbox.h) @ StraightThrough.apply(self.U.weight)))


class MapsItsWeight(user_cells.UserCell):
    """Transforms inside a step."""

    def forward(self, x, inbox, own):
        message = inbox.sum(inbox.h)
        columns = torch.func.vmap(lambda row: message @ row)(self.U.weight)
        return self.State(torch.tanh(x + columns.T))


class LearntStart(user_cells.UserCell):
    """Runs another cell, which has nothing to learn, from a state that it learns."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.inner = gr.SRN(hidden, hidden).requires_grad_(False)
        self.start = nn.Parameter(torch.randn(1, hidden))

    def forward(self, x, inbox, own):
        return self.State(self.inner(x + self.U(inbox.sum(inbox.h)), gr.chain(len(x)), initial=self.start))


@pytest.mark.parametrize("make", [OneBit, MapsItsWeight, LearntStart])
def test_weights_that_go_through_something_else_get_their_gradients(make):
    run = trial(make, family(dag, None))
    assert_is_plain(run.outcome)


class ConstantBuffer(user_cells.UserCell):
    """Writes into a sum, and reads a buffer that takes no memory of its own."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.register_buffer("scale", torch.full((1,), 0.5).expand(hidden))

    def forward(self, x, inbox, own):
        h = inbox.sum(self.U(inbox.h))
        h += x
        return self.State(torch.tanh(h) * self.scale)


def test_buffers_that_a_run_does_not_touch_are_not_touched():
    run = trial(ConstantBuffer, family(dag, None))
    run.cell.double()
    (run.run().h.sum() + run.run().h.sum()).backward()
    assert run.cell.U.weight.grad.abs().max() > 0


class CountsByBool(gr.Cell):
    State = user_cells.Hidden

    def forward(self, x, inbox, own):
        return self.State(0 * x + inbox.sum(inbox.slot >= 0).unsqueeze(1))


def test_truths_are_counted():
    s = gr.batch([gr.dag([[0, 1], [2, 2]]), gr.dag([[0, 1, 2], [3, 3, 3]])])
    h = gr.run(CountsByBool(hidden=1), gr.schedule(s), torch.zeros(s.num_nodes, 1)).h
    assert h.flatten().tolist() == [0, 0, 2, 0, 0, 0, 3]
    assert gr.readout.sum(torch.ones(7, 1, dtype=torch.bool), s).tolist() == [[3], [4]]


class AsksOthers(user_cells.UserCell):
    """Lets a model of its own work in other threads."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.others = [
            gr.SRN(hidden, hidden).double().requires_grad_(False)
        ]  # in a list: no part of this cell

    def forward(self, x, inbox, own):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda k: self.others[0](k * x.detach(), gr.chain(len(x))), [1.0, 2.0]))
        return self.State(torch.tanh(x + self.U(inbox.sum(inbox.h)) + sum(answers)))


def test_a_step_may_wait_for_other_threads():
    run = trial(AsksOthers, gr.chain(3))
    assert_is_plain(run.outcome)


@pytest.mark.parametrize("name", ["sum", "mean", "attention"])
def test_readouts_are_transformed(name):
    s = gr.chains([3, 2, 0])
    h = torch.randn(5, HIDDEN, dtype=torch.double)
    score = [nn.Linear(HIDDEN, 1).double()] if name == "attention" else []

    def loss(h):
        return getattr(gr.readout, name)(h, s, *score).pow(2).sum()

    leaf = h.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    assert_close(torch.func.grad(loss)(h), expected)
    assert_close(torch.func.vmap(loss)(torch.stack([h, 2 * h])), torch.stack([loss(h), loss(2 * h)]))
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(loss(forward_ad.make_dual(h, expected))).tangent
    assert_close(tangent, (expected * expected).sum())


class CountsItsSteps(user_cells.UserCell):
    """Changes a buffer in every step."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x, inbox, own):
        self.steps += 1
        h = inbox.sum(inbox.h)
        h += x
        return self.State(torch.tanh(self.U(h)))


def test_each_step_changes_buffers_once():
    run = trial(CountsItsSteps, gr.chain(4))
    run.run()
    assert run.cell.steps == 4


def test_a_scripted_part_gets_its_gradient():
    cell = gr.SRNCell(INPUTS, HIDDEN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cell.recurrent = torch.jit.script(cell.recurrent)
    s, x = gr.chain(4), torch.randn(4, INPUTS)
    gr.run(cell, gr.schedule(s), x).h.sum().backward()
    assert cell.recurrent.weight.grad.abs().max() > 0


@pytest.mark.parametrize("merge", ["cat", "sum", "mean"])
def test_models_are_pickled(merge):
    model = gr.Bidirectional(gr.SRN(INPUTS, HIDDEN), gr.TreeGRU(INPUTS, HIDDEN), merge)
    s, x = gr.chain(4), torch.randn(4, INPUTS)
    assert_close(pickle.loads(pickle.dumps(model))(x, s), model(x, s))


@pytest.mark.parametrize("field", ["h", "c"])
@pytest.mark.parametrize("make", [gr.LSTMCell, gr.ChildSumTreeLSTMCell])
def test_backward_hooks_see_every_field_of_every_step(make, field):
    """(Of torch's LSTM they see the output alone: a loss of the final states passes them by.)"""
    cell, plan = make(INPUTS, HIDDEN), gr.schedule(gr.chains([5, 3]))
    seen = []
    cell.register_full_backward_hook(lambda cell, inputs, grads: seen.append([g is not None for g in grads]))
    getattr(gr.run(cell, plan, torch.randn(8, INPUTS)), field).sum().backward()
    last = [name == field for name in cell.State._fields]  # which no later step reads
    assert seen == [last, *[[True, True]] * 4]

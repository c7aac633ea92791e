"""What torch offers around a module works around a model: transforms, modes, threads, parametrizations, pickles.

The swept engine replaces parameters and has a backward of its own; here is what could come across that.
"""

import pickle
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.utils import parametrize

import graphrec as gr
from tests import user_cells
from tests.tolerances import assert_close
from tests.trials import trial
from tests.zoo import dag, family, mixed_batch

INPUTS, HIDDEN = 3, 2


def model_and_input(build=dag):
    s = family(build, 2)
    torch.manual_seed(0)
    model = gr.TreeLSTM(INPUTS, HIDDEN).double()
    return model, s, torch.randn(s.num_nodes, INPUTS, dtype=torch.double)


def jacobian(x, model, s):
    """Row by row, by the reference loop."""
    with gr.reference_loop():
        return torch.autograd.functional.jacobian(lambda x: model(x, s), x)


def test_func_jacrev_and_hessian():
    model, s, x = model_and_input()
    expected = jacobian(x, model, s)
    assert expected.abs().max() > 0.01
    assert_close(torch.func.jacrev(lambda x: model(x, s))(x), expected)
    hessian = torch.func.hessian(lambda x: model(x, s).sum())(x)
    with gr.reference_loop():
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


def test_many_gradients_at_once_are_refused_by_name():
    model, s, x = model_and_input()
    with pytest.raises(RuntimeError, match="reference_loop"):
        torch.autograd.functional.jacobian(lambda x: model(x, s), x, vectorize=True)
    with gr.reference_loop():
        at_once = torch.autograd.functional.jacobian(lambda x: model(x, s), x, vectorize=True)
    assert_close(at_once, jacobian(x, model, s))


@pytest.mark.parametrize("initial", [False, True])
def test_a_structure_seen_in_inference_mode_can_be_trained_on(initial):
    model, s, x = model_and_input(mixed_batch)
    states = [torch.zeros(s.num_graphs, HIDDEN, dtype=torch.double)] * 2 if initial else None
    score = nn.Linear(HIDDEN, 1).double()

    def everything():
        h = model(x, s, states) + gr.Reversed(model)(x, s)
        return gr.readout.attention(h, s, score).sum() + gr.readout.last(h, s).sum()

    with torch.inference_mode():
        expected = everything()
    loss = everything()
    loss.backward()
    assert_close(loss.detach(), expected.clone())
    with gr.reference_loop():
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
        return torch.autograd.grad(loss, list(model.parameters()))

    swept = gradients()
    with gr.reference_loop():
        expected = gradients()
    for one, other in zip(swept, expected, strict=True):
        assert_close(one, other)


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
        return torch.autograd.grad(h.sum() + penalty, list(run.cell.parameters()))

    swept = gradients()
    with gr.reference_loop():
        expected = gradients()
    for one, other in zip(swept, expected, strict=True):
        assert_close(one, other)


class CountsItsSteps(user_cells.UserCell):
    """Cannot be swept, and has a buffer."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x, inbox, own):
        self.steps += 1
        h = inbox.sum(inbox.h)
        h += x
        return self.State(torch.tanh(self.U(h)))


def test_a_run_that_begins_again_changes_buffers_once():
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

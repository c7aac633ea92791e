"""SnAp-1, e-prop, RFLO and UORO are what their papers say, and exact where these say so."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import graphrec as gr
from graphrec.learning import RFLO, RTRL, UORO, EProp, FeedbackLinear, SnAp1
from tests.learning import literal
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients

LOCAL = [SnAp1, EProp]
ELEMENTWISE = [gr.DiagonalSRNCell, gr.LRUCell, gr.ElementwiseLSTMCell]
TREE = gr.tree("((a b) (c (d e)))")


def both(rule, cell, s, x=None):
    """A rule's gradients, and the true ones."""
    x = torch.randn(s.num_nodes, 3).double() if x is None else x
    named, plan = dict(cell.named_parameters()), gr.schedule(s)
    return gradients(rule.run(cell, plan, x), named), gradients(gr.run(cell, plan, x), named)


@pytest.mark.parametrize("rule", LOCAL)
@pytest.mark.parametrize("make", ELEMENTWISE)
def test_local_rules_are_exact_for_elementwise_recurrences(rule, make):
    assert_all_close(*both(rule(), make(3, 4).double(), gr.chains([5, 2])))


@pytest.mark.parametrize("rule", LOCAL)
@pytest.mark.parametrize("make", [gr.SRNCell, gr.LSTMCell, gr.GRUCell, gr.ChildSumTreeLSTMCell])
def test_local_rules_are_exact_for_one_step_and_not_for_two(rule, make):
    cell = make(3, 4).double()
    assert_all_close(*both(rule(), cell, gr.chains([1, 1])))
    found, true = both(rule(), cell, gr.chain(3))
    assert not torch.allclose(found["input.weight"], true["input.weight"], rtol=1e-4)


@pytest.mark.parametrize("rule", LOCAL)
def test_local_rules_are_exact_without_recurrent_weights(rule):
    for cell, s in ((gr.LSTMCell(3, 4), gr.chain(5)), (gr.ChildSumTreeLSTMCell(3, 4), TREE)):
        cell.double()
        for name in cell.recurrent_layers:
            torch.nn.init.zeros_(getattr(cell, name).weight)
        found, true = both(rule(), cell, s)
        assert_close(found["input.weight"], true["input.weight"])


def test_rflo_is_its_paper():
    cell, x = gr.LeakySRNCell(3, 4, alpha=0.3).double(), torch.randn(6, 3).double()
    grad = torch.randn(6, 4).double()
    h, of_U = torch.zeros(4).double(), torch.zeros(4, 4).double()
    expected = torch.zeros(4, 4).double()
    for row, signal in zip(x, grad, strict=True):
        z = cell.input(row) + cell.recurrent(h)
        of_U = 0.7 * of_U + 0.3 * torch.outer(1 - torch.tanh(z) ** 2, h)  # equation (4)
        expected += signal[:, None] * of_U  # equation (3)
        h = 0.7 * h + 0.3 * torch.tanh(z)
    found = RFLO().run(cell, gr.schedule(gr.chain(6)), x).h
    assert_close(torch.autograd.grad((found * grad).sum(), cell.recurrent.weight)[0], expected.detach())


def test_feedback_goes_by_random_weights():
    layer, h, grad = (
        FeedbackLinear(3, 2).double(),
        torch.randn(5, 3).double().requires_grad_(),
        torch.randn(5, 2),
    )
    y = layer(h)
    assert_close(y, F.linear(h, layer.weight, layer.bias))
    of_h, of_weight, of_bias = torch.autograd.grad(y, [h, layer.weight, layer.bias], grad.double())
    assert_close(of_h, grad.double() @ layer.feedback)
    assert_close(of_weight, grad.double().t() @ h)
    assert_close(of_bias, grad.double().sum(0))


def test_random_feedback_is_compiled():
    layer, h = FeedbackLinear(3, 2), torch.randn(5, 3, requires_grad=True)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    found, expected = (torch.autograd.grad(f(h).sum(), h)[0] for f in (compiled, layer))
    assert_close(found, expected)


def draws(cell, s, rule, count, copies=50):
    """Gradients of the mean over copies of the same graph, each with noise of its own; and the true one."""
    x = torch.randn(s.num_nodes, 3).double()
    weights = list(cell.parameters())
    many, xs = gr.schedule(gr.batch([s] * copies)), x.repeat(copies, 1)

    def gradient(state):
        weight = torch.linspace(-1, 2, x.shape[0]).double().repeat(copies)[:, None]
        loss = sum((weight * field * field.detach().cos()).sum() for field in state) / copies
        return literal.flat(torch.autograd.grad(loss, weights))

    return torch.stack([gradient(rule.run(cell, many, xs)) for _ in range(count)]), gradient(
        gr.run(cell, many, xs)
    )


@pytest.mark.parametrize(
    ("make", "s"),
    [
        (gr.LSTMCell, gr.chain(4)),
        (gr.ChildSumTreeLSTMCell, gr.tree("((a b) c)")),
        (gr.ChildSumTreeLSTMCell, gr.dag([[0, 0, 1, 2, 2], [1, 2, 3, 3, 4]], 5)),
    ],
)
def test_uoro_is_right_on_average(make, s):
    count = 40
    found, true = draws(make(3, 2).double(), s, UORO(seed=1), count)
    error = (found.mean(0) - true) / (found.std(0) / count**0.5)
    # Each is about a t-variable with 39 degrees of freedom; their mean square is 1.05 on average.
    assert error.square().mean() < 2.5
    assert error.abs().max() < 5
    assert (found.std(0) > 0).all()


def test_uoro_draws_by_its_seed():
    cell, s = gr.GRUCell(3, 2).double(), gr.chain(3)
    x = torch.randn(3, 3).double()
    one, same, other = (both(UORO(seed), cell, s, x)[0]["input.weight"] for seed in (1, 1, 2))
    assert_close(one, same)
    assert not torch.allclose(one, other)
    before = torch.get_rng_state()
    both(UORO(1), cell, s, x)
    assert torch.equal(before, torch.get_rng_state())


def test_sizes_of_what_is_sent():
    cell = gr.SRNCell(5, 4)
    weights = sum(weight.numel() for weight in cell.parameters())
    sizes = {
        type(rule).__name__: sum(part.numel() for part in rule.trace(cell).begin())
        for rule in (RTRL(), SnAp1(), EProp(), UORO())
    }
    assert sizes == {"RTRL": 4 * weights, "SnAp1": weights, "EProp": weights, "UORO": 4 + weights}


def test_local_rules_learn_online_too():
    cell, x = gr.LSTMCell(3, 4).double(), torch.randn(6, 3).double()
    plan = gr.schedule(gr.chain(6))
    for rule in (SnAp1(), EProp()):
        cell.zero_grad()
        expected = torch.autograd.grad(rule.run(cell, plan, x).h.sum(), list(cell.parameters()))
        online = rule.online(cell)
        for piece in x.split([2, 4]):
            list(online.steps(gr.chain(len(piece)), piece, lambda state, nodes: state.h.sum()))
        for weight, grad in zip(cell.parameters(), expected, strict=True):
            assert_close(weight.grad, grad)


class Concatenates(gr.SRNCell):
    """h_t = tanh(W [x_t; h_{t-1}] + b), by one layer, which so reads x as well."""

    recurrent_layers = ("layer",)

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.layer = nn.Linear(inputs + hidden, hidden)

    def project(self, x):
        return x

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(self.layer(torch.cat([x, inbox.sum(inbox.h)], dim=1))))


@pytest.mark.parametrize("make", [gr.LSTMCell, gr.GRUCell, Concatenates])
@pytest.mark.parametrize("rule", [SnAp1(), EProp()], ids=repr)
def test_x_has_the_gradient_of_its_own_node_by_every_rule(make, rule):
    """Whatever a rule leaves out: as by RTRL, which is compared with a step by itself in its own tests."""
    cell, s, x = make(3, 4).double(), gr.chains([4, 3]), torch.randn(7, 3).double().requires_grad_()
    found, expected = (
        torch.autograd.grad(r.run(cell, gr.schedule(s), x).h.square().sum(), x)[0] for r in (rule, RTRL())
    )
    assert expected.any(dim=1).all()
    assert_close(found, expected)

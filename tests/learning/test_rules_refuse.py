"""What a rule cannot differentiate it refuses, before a gradient has been added."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec.engine.rules import differentiated_by
from graphrec.learning import BPTT, RFLO, RTRL, UORO, EProp, SnAp1, TruncatedBPTT, local_gradients

S, X = gr.chain(4), torch.randn(4, 3)
LEARNT = torch.zeros(4, 3, requires_grad=True)
X_MADE = LEARNT * 2  # as inputs are that an embedding makes
RULES = {"BPTT": BPTT(), "TruncatedBPTT": TruncatedBPTT(2)}


@pytest.fixture
def model():
    return gr.SequenceToLabels(gr.SRN(3, 4), 4, 2)


def of_weights(model):
    return lambda y: y.sum() + 0.1 * sum(p.pow(2).sum() for p in model.parameters())


def of_one_weight(model):
    return lambda y: y.sum() + model.model.cell.recurrent.weight.abs().max()


def of_the_input(model):
    return lambda y: (y.sum(1) - X_MADE.sum(1)).sum()


LOSSES = {
    "no function": (lambda m: torch.zeros(()), TypeError, "must be a function.*got Tensor"),
    "no tensor": (lambda m: lambda y: 1.5, TypeError, "tensor of one number, got float"),
    "one for each node": (lambda m: lambda y: y.sum(1), ValueError, r"shape \[4\]: take its sum or mean"),
    "detached": (lambda m: lambda y: y.detach().sum(), ValueError, "no gradient.*detach"),
    "of something else": (lambda m: lambda y: LEARNT.sum(), ValueError, "does not depend on what the model"),
    "weight decay": (
        of_weights,
        ValueError,
        r"model\.cell\.input\.weight.*optimiser \(weight_decay=\.\.\.\)",
    ),
    "a penalty": (of_one_weight, ValueError, r"reads model\.cell\.recurrent\.weight of SequenceToLabels"),
    "the input": (of_the_input, ValueError, "reads x of"),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize(("make", "error", "said"), LOSSES.values(), ids=LOSSES)
def test_losses(model, rule, make, error, said):
    with pytest.raises(error, match=f"(?s){said}"):
        rule.gradients(model, S, X_MADE, make(model))
    assert all(p.grad is None for p in model.parameters())


def test_a_loss_that_is_no_function_is_refused_before_the_run(model):
    ran = []
    model.register_forward_hook(lambda *_: ran.append(True))
    with pytest.raises(TypeError):
        BPTT().gradients(model, S, X, torch.zeros(()))
    assert not ran


ONLINE = {
    "no function": (torch.zeros(()), TypeError, "must be a function.*got Tensor"),
    "no tensor": (lambda state, nodes: 1.5, TypeError, "tensor of one number, got float"),
    "one for each node": (lambda state, nodes: state.h.sum(1), ValueError, r"shape \[1\]: take its sum"),
    "detached": (lambda state, nodes: state.h.detach().sum(), ValueError, "no gradient.*detach"),
}


@pytest.mark.parametrize(("loss", "error", "said"), ONLINE.values(), ids=ONLINE)
def test_losses_of_a_step(loss, error, said):
    online = RTRL().online(gr.SRNCell(3, 4))
    with pytest.raises(error, match=f"(?s){said}"):
        list(online.steps(S, X, loss))
    assert all(p.grad is None for p in online.cell.parameters())


def test_a_piece_that_was_left_in_the_midst_is_not_gone_on_from():
    online = RTRL().online(gr.SRNCell(3, 4))
    list(online.steps(S, X, lambda state, nodes: None))
    next(online.steps(S, X, lambda state, nodes: None))
    with pytest.raises(ValueError, match=r"left before its end.*reset\(\)"):
        next(online.steps(S, X, lambda state, nodes: None))
    online.reset()
    assert len(list(online.steps(S, X, lambda state, nodes: None))) == 4


class Linear(nn.Linear):
    def forward(self, x, s):
        return super().forward(x)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_models_without_a_run(rule):
    with pytest.raises(ValueError, match="Linear has no cell: make a model of one"):
        rule.gradients(Linear(3, 4), S, X, lambda y: y.sum())
    with pytest.raises(TypeError, match="expected a model"):
        rule.gradients("SRN", S, X, lambda y: y.sum())

    class Unused(Linear):
        def __init__(self):
            super().__init__(3, 4)
            self.cell = gr.SRNCell(3, 4)

    with pytest.raises(ValueError, match=r"no run of Unused was handed to .*Leave out the rule"):
        rule.gradients(Unused(), S, X, lambda y: y.sum())


MANY = {
    "is_grads_batched": lambda h, of, grads: torch.autograd.grad(h, of, grads, is_grads_batched=True),
    "vmap": lambda h, of, grads: torch.func.vmap(lambda g: torch.autograd.grad(h, of, g))(grads),
}
ONE_AT_A_TIME = [TruncatedBPTT(2), TruncatedBPTT(2, every=2), RTRL(), SnAp1(), EProp(), UORO(), RFLO()]


def cell_for(rule):
    return gr.LeakySRNCell(3, 4) if isinstance(rule, RFLO) else gr.LSTMCell(3, 4)


@pytest.mark.parametrize("rule", ONE_AT_A_TIME, ids=repr)
@pytest.mark.parametrize("ask", MANY.values(), ids=MANY)
@pytest.mark.parametrize("of_x", [False, True], ids=["of weights", "of x"])
def test_many_gradients_at_once(rule, ask, of_x):
    cell, x = cell_for(rule), X.clone().requires_grad_()
    h = gr.Recursive(cell)(x, S, rule=rule)
    of = [x] if of_x else list(cell.parameters())
    with pytest.raises(
        RuntimeError, match=f"{type(rule).__name__} goes .* one gradient at a time.*side by side"
    ):
        ask(h, of, torch.randn(5, *h.shape))
    assert all(part.grad is None for part in of)


@pytest.mark.parametrize("rule", ONE_AT_A_TIME, ids=repr)
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_vectorized_jacobians(rule, strategy):
    model = gr.Recursive(cell_for(rule))
    with pytest.raises((RuntimeError, ValueError), match=f"^{type(rule).__name__} goes back "):
        torch.autograd.functional.jacobian(
            lambda x: model(x, S, rule=rule).sum(0), X, vectorize=True, strategy=strategy
        )
    one_by_one = torch.autograd.functional.jacobian(lambda x: model(x, S, rule=rule).sum(0), X)
    assert one_by_one.shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"depth": 0}, ValueError, "depth must be 1 or more, got 0"),
        ({"depth": 2.5}, TypeError, "depth must be a whole number"),
        ({"depth": 3, "every": 0}, ValueError, "every must be 1 or more, got 0"),
        ({"depth": 3, "every": 4}, ValueError, "every must be at most depth.*every=4, depth=3"),
    ],
)
def test_numbers_of_truncation(arguments, error, said):
    with pytest.raises(error, match=said):
        TruncatedBPTT(**arguments)


def test_what_is_not_walked_step_by_step():
    circle = gr.dag([[0, 1], [1, 0]])
    iterated = gr.Recursive(gr.SRNCell(3, 4), cycles="iterate", rounds=3)
    swept = gr.Recursive(gr.SRNCell(3, 4), order=gr.colouring, rounds=2)
    for model, said in ((iterated, "iterated within a step: use BPTT"), (swept, "one sweep.*got 2")):
        with pytest.raises(ValueError, match=f"TruncatedBPTT.*{said}"):
            model(X[:2], circle, rule=TruncatedBPTT(2))
        with pytest.raises(ValueError, match=f"local_gradients.*{said}"), local_gradients():
            model(X[:2], circle)


def test_local_gradients_of_nothing():
    with local_gradients() as local:
        pass
    with pytest.raises(ValueError, match="no run took place in the block"):
        local.of(X.sum())
    with local_gradients() as local:
        h = gr.SRN(3, 4).requires_grad_(False)(X, S)
    with pytest.raises(ValueError, match="no gradient to report"):
        local.of(h.sum())


def test_what_no_rule_differentiates_says_so():
    cell, plan = gr.SRNCell(3, 4), gr.schedule(S, mode="sync", rounds=2)
    layer, pair = gr.GNN([gr.SAGECell(3, 4)]), (torch.randn(2, 3), torch.randn(1, 3))
    with differentiated_by(BPTT()):
        with pytest.raises(ValueError, match=r"BPTT\(\) does not differentiate graphrec.rounds"):
            gr.rounds(cell, plan, X)
        with pytest.raises(ValueError, match="does not differentiate a round between two sets of nodes"):
            layer(pair, torch.tensor([[0, 1], [0, 0]]))

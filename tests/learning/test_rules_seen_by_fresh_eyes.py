"""What somebody who had not written the rules broke: each by its right value, or by the text that refuses it."""

import pickle
import threading

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec.learning import BPTT, RFLO, RTRL, UORO, EProp, SnAp1, Stream, TruncatedBPTT
from tests.tolerances import assert_close

D, H = 3, 4
S = gr.chains([3, 2])


def x_of(width=D):
    return torch.randn(5, width, dtype=torch.float64, requires_grad=True)


def share(model):
    model.cell.recurrent = model.cell.input


def tie(model):
    model.cell.input = nn.Linear(H, model.cell.recurrent.out_features).double()
    model.cell.input.weight = model.cell.recurrent.weight


@pytest.mark.parametrize("make", [gr.SRN, gr.LSTM, gr.GRU])
@pytest.mark.parametrize("change", [share, tie])
def test_rtrl_of_a_weight_in_two_places(make, change):
    model, x = make(H, H).double(), x_of(H)
    change(model)
    weights = list(model.parameters())
    found = torch.autograd.grad(model(x, S, rule=RTRL()).square().sum(), weights)
    for ours, right in zip(found, torch.autograd.grad(model(x, S).square().sum(), weights), strict=True):
        assert_close(ours, right)


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """The most numbers that any tensor has."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in torch.utils._pytree.tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self.most = max(self.most, value.numel())
        return result


@pytest.mark.parametrize("rule", [RTRL(), SnAp1()])
def test_no_tensor_holds_the_sensitivities_of_all_nodes(rule):
    """On the way back, which runs without gradients, and while learning under no_grad."""
    most = []
    for length in (20, 80):
        model, x = gr.SRN(2, 3).double(), torch.randn(length, 2, dtype=torch.float64)
        loss = model(x, gr.chain(length), rule=rule)[-1].sum()
        with Largest() as back:
            loss.backward()
        with Largest() as online, torch.no_grad():
            for _ in rule.online(model).steps(gr.chain(length), x, lambda state, nodes: state.h.sum()):
                pass
        most.append((back.most, online.most))
    # Of all nodes there are but states and inputs; a node has at least one sensitivity for each of 18 weights.
    assert max(most[1]) <= 80 * 3


def test_a_rule_in_one_thread_leaves_plain_runs_in_another_alone():
    model, x, done = gr.GRU(D, H).double(), x_of(), threading.Event()

    def learn():
        while not done.is_set():
            model(x, S, rule=SnAp1()).sum()

    expected = torch.autograd.grad(model(x, S, backend="loop").sum(), x)[0]
    thread = threading.Thread(target=learn)
    thread.start()
    try:
        for _ in range(100):
            h = model(x.detach(), S)
            assert h.requires_grad
            assert_close(torch.autograd.grad(model(x, S, backend="loop").sum(), x)[0], expected)
    finally:
        done.set()
        thread.join()


RULES = [TruncatedBPTT(2), RTRL(), SnAp1(), EProp(), UORO()]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("wanted", ["weight", "x"])
def test_second_derivatives_are_refused_whatever_is_asked_for(rule, wanted):
    model, x = gr.SRN(D, H).double(), x_of()
    of = model.cell.recurrent.weight if wanted == "weight" else x
    loss = model(x, S, rule=rule).square().sum()
    with pytest.raises(
        RuntimeError,
        match=f"{type(rule).__name__} has first derivatives only, and create_graph=True.*use BPTT",
    ):
        torch.autograd.grad(loss, of, create_graph=True)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_transforms_are_refused_by_name(rule):
    model, x = gr.SRN(D, H).double(), x_of().detach()
    with pytest.raises(
        ValueError, match=f"{type(rule).__name__} goes back in its own way.*leave out the rule"
    ):
        torch.func.grad(lambda x: model(x, S, rule=rule).sum())(x)


def test_states_that_are_said_to_be_per_node():
    s, h0 = gr.batch([gr.chain(2).reverse(), gr.chains([0])]), torch.randn(2, H, requires_grad=True)
    model, x = gr.SRN(D, H), torch.randn(2, D)
    with pytest.raises(ValueError, match="one for each node: detach them, or use BPTT"):
        model(x, s, initial=gr.per_node(h0), rule=RTRL())
    model(x, s, initial=gr.per_node(h0.detach()), rule=RTRL()).sum().backward()


@pytest.mark.parametrize("make", [gr.SRN, gr.LSTM, gr.GRU])
def test_autocast_is_refused_by_name_and_always(make):
    model, x, rule = make(D, H), torch.randn(5, D), RTRL()
    model(x, S, rule=rule)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="differ under autocast"):
        model(x, S, rule=rule)


@pytest.mark.parametrize("rule", [RTRL(), SnAp1(), EProp(), UORO()], ids=repr)
def test_frozen_cells_have_nothing_to_learn(rule):
    model, x = gr.SRN(D, H).double().requires_grad_(False), x_of()
    model(x, S, rule=rule).sum().backward()
    assert x.grad is not None


def test_a_weight_frozen_in_between():
    model, x = gr.SRN(D, H).double(), x_of()
    loss = model(x, S, rule=RTRL()).square().sum()
    expected = torch.autograd.grad(model(x, S).square().sum(), model.cell.recurrent.weight)[0]
    model.cell.input.bias.requires_grad_(False)
    loss.backward()
    assert_close(model.cell.recurrent.weight.grad, expected)


@pytest.mark.parametrize(
    "rule", [BPTT(), TruncatedBPTT(3), RTRL(), SnAp1(), EProp(), RFLO(), UORO(3)], ids=repr
)
def test_rules_are_pickled(rule):
    again, model, x = pickle.loads(pickle.dumps(rule)), gr.Recursive(gr.LeakySRNCell(D, H)).double(), x_of()
    found, expected = (torch.autograd.grad(model(x, S, rule=r).sum(), x)[0] for r in (again, rule))
    assert_close(found, expected)
    assert repr(again) == repr(rule)


def test_what_is_carried_on_is_pickled():
    online = RTRL().online(gr.SRNCell(D, H))
    list(online.steps(S, torch.randn(5, D), lambda state, nodes: None))
    again = pickle.loads(pickle.dumps(online.carried))
    assert again._fields == online.carried._fields
    assert all(torch.equal(one, other) for one, other in zip(again, online.carried, strict=True))


def test_a_stream_keeps_what_it_was_given():
    """Though the caller fills the same tensor anew."""
    model, x, buffer = (
        gr.SRN(D, H).double(),
        torch.randn(2, 8, D, dtype=torch.float64),
        torch.empty(2, 2, D).double(),
    )
    stream, rows = Stream(model, TruncatedBPTT(6)), []
    for first in range(0, 8, 2):
        buffer.copy_(x[:, first : first + 2])
        rows.append(stream(buffer))
    assert_close(torch.cat(rows, dim=1), model(x.flatten(0, 1), gr.chains([8, 8])).view(2, 8, H))


def test_backends_go_with_runs_alone():
    model, x = gr.LSTM(D, H), torch.randn(5, D)
    with pytest.raises(ValueError, match="backend 'torch' does not run steps one by one"):
        model(x, S, rule=TruncatedBPTT(2), backend="torch")
    with gr.running_on("torch"), pytest.raises(ValueError, match="does not run all rounds at once"):
        gr.rounds(gr.GRUCell(D, H), gr.schedule(S, "sync", 2), x)
    model(x, S, rule=BPTT(), backend="torch")

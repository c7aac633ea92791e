"""What a rule says of parameters is what it then does; and what it cannot do it refuses before any work."""

from __future__ import annotations

import re
from collections import namedtuple

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec.learning import BPTT, RFLO, RTRL, UORO, EProp, FeedbackLinear, SnAp1, TruncatedBPTT
from tests.learning.networks import STRUCTURES, SumCell
from tests.tolerances import assert_close


class Tagger(nn.Module):
    """Embeddings, two runs, a readout, and a layer that nothing reads."""

    def __init__(self, bottom, top):
        super().__init__()
        self.embed = nn.Linear(3, 3)
        self.stack = gr.Stacked([bottom, top])
        self.readout = nn.Linear(4, 2)
        self.unused = nn.Linear(1, 1)

    def forward(self, x, s):
        return self.readout(self.stack(self.embed(x), s))


RULES = [
    RTRL(),
    SnAp1(),
    EProp(),
    BPTT(),
    TruncatedBPTT(1),
    TruncatedBPTT(3),
    TruncatedBPTT(5),  # as deep as the structure
    TruncatedBPTT(3, every=2),
]
MODELS = [
    lambda: Tagger(gr.LSTM(3, 4), gr.GRU(4, 4)),
    lambda: Tagger(gr.GRU(3, 4), gr.Recursive(gr.ElementwiseLSTMCell(4, 4))),
    lambda: Tagger(gr.TreeLSTM(3, 4), gr.TreeLSTM(4, 4)),
]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_what_is_said_is_what_happens(make, rule):
    model, s, x = make().double(), gr.chains([5, 3]), torch.randn(8, 3).double()
    said = rule.reach(model, s, x)
    assert all(weight.grad is None for weight in model.parameters())
    named = dict(model.named_parameters())
    assert {*said.exact, *said.inexact, *said.unreached} == named.keys()

    def loss(y):
        return y.square().sum()

    true = dict(
        zip(
            named,
            torch.autograd.grad(loss(model(x, s)), list(named.values()), allow_unused=True),
            strict=True,
        )
    )
    rule.gradients(model, s, x, loss)
    for name, weight in named.items():
        if name in said.unreached:
            assert weight.grad is None
        else:
            same = torch.allclose(weight.grad, true[name], rtol=1e-9, atol=1e-11)
            assert same is (name in said.exact), name


def test_who_is_named():
    said = RTRL().reach(MODELS[0](), gr.chain(4), torch.randn(4, 3))
    assert [name for name in said.exact if not name.startswith("stack.layers.1")] == [
        "readout.weight",
        "readout.bias",
    ]
    assert {name.rsplit(".", 1)[0] for name in said.inexact} == {
        "embed",
        "stack.layers.0.cell.input",
        "stack.layers.0.cell.recurrent",
    }
    assert said.unreached == ["unused.weight", "unused.bias"]
    printed = str(said).splitlines()
    assert len(printed) == len(said.exact) + len(said.inexact) + 2
    assert re.fullmatch(r"embed\.weight +biased: below a run, .*", printed[len(said.exact)])
    assert re.fullmatch(r"unused\.bias +not reached", printed[-1])


def test_local_rules_say_what_they_leave_out():
    s, x = gr.chain(4), torch.randn(4, 3)
    assert set(SnAp1().reach(gr.LSTM(3, 4), s, x).inexact.values()) == {
        "biased: what units do to other units is left out"
    }
    assert not SnAp1().reach(gr.Recursive(gr.LRUCell(3, 4)), s, x).inexact
    assert set(UORO().reach(gr.LSTM(3, 4), s, x).inexact.values()) == {
        "right on average, with noise in each draw"
    }


def test_a_learnt_initial_state_is_reached():
    class Learnt(nn.Module):
        def __init__(self):
            super().__init__()
            self.run, self.h0 = gr.GRU(3, 4), nn.Parameter(torch.randn(1, 4))

        def forward(self, x, s):
            return self.run(x, s, initial=self.h0)

    assert "h0" in RTRL().reach(Learnt(), gr.chain(4), torch.randn(4, 3)).exact
    assert "h0" in SnAp1().reach(Learnt(), gr.chain(4), torch.randn(4, 3)).inexact


class Emits(gr.Cell):
    """h_k = tanh(W x_k + U (sum of h over the sources of k) + b) and y_k = V h_k, which no other node reads."""

    State = namedtuple("State", "y h")

    def __init__(self):
        super().__init__(3, 4)
        self.hid, self.output = SumCell(3, 4), nn.Linear(4, 4)

    def project(self, x):
        return self.hid.project(x)

    def forward(self, x, inbox, own):
        h = self.hid(x, inbox, own).h
        return self.State(self.output(h), h)


@pytest.mark.parametrize("s", [gr.chains([2, 4]), STRUCTURES["tree"], STRUCTURES["dag"]], ids=str)
@pytest.mark.parametrize("every", [1, 2])
def test_truncated_are_the_parameters_behind_what_others_read(s, every):
    model = gr.Recursive(Emits())
    x, depth = torch.randn(s.num_nodes, 3), int(gr.levels(s).max()) + 1
    said = TruncatedBPTT(2, every).reach(model, s, x)
    assert said.exact == ["cell.output.weight", "cell.output.bias"]
    assert set(said.inexact.values()) == {f"biased: errors go back 2 hops, and the longest path has {depth}"}
    assert len(said.inexact) == 3
    for rule in (BPTT(), TruncatedBPTT(depth, every)):
        said = rule.reach(model, s, x)
        assert len(said.exact) == 5
        assert not said.inexact


def test_rounds_are_named_where_they_are_hops():
    model, x = gr.Recursive(SumCell(3, 4), "sync", 5), torch.randn(3, 3)
    s = gr.dag([[0, 1, 2], [1, 2, 0]])
    said = TruncatedBPTT(2).reach(model, s, x)
    assert set(said.inexact.values()) == {"biased: errors go back 2 of 5 rounds"}
    assert len(TruncatedBPTT(5).reach(model, s, x).exact) == len(said.inexact) == 3


def test_random_feedback_is_named():
    model = nn.Sequential(nn.Linear(3, 4), FeedbackLinear(4, 2))
    model.cell = gr.SRNCell(3, 4)
    model.forward = lambda x, s: model[1](model[0](x))
    said = BPTT().reach(model, gr.chain(2), torch.randn(2, 3))
    assert said.exact == ["1.weight", "1.bias"]
    assert {name: text[:32] for name, text in said.inexact.items()} == dict.fromkeys(
        ("0.weight", "0.bias"), "biased: behind a FeedbackLinear,"
    )


def test_a_parameter_that_is_returned_as_it_is_is_reached():
    class Returns(gr.Recursive):
        def forward(self, x, s):
            return {"h": super().forward(x, s), "bias": self.cell.input.bias}

    assert (
        "cell.input.bias" in BPTT().reach(Returns(gr.SRNCell(3, 4)), gr.chains([]), torch.randn(0, 3)).exact
    )


def test_models_without_cells_are_refused():
    with pytest.raises(ValueError, match="Linear has no cell"):
        BPTT().reach(nn.Linear(3, 4), gr.chain(2), torch.randn(2, 3))


class Normalised(gr.SRNCell):
    def __init__(self):
        super().__init__(3, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x, inbox, own):
        return self.State(self.norm(x + self.recurrent(inbox.sum(inbox.h))))


class Dropping(gr.SRNCell):
    def __init__(self):
        super().__init__(3, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.drop(self.recurrent(inbox.sum(inbox.h)))))


class DroppingByFunction(gr.SRNCell):
    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + nn.functional.dropout(self.recurrent(inbox.sum(inbox.h)))))


class WritesIntoMessages(gr.SRNCell):
    def forward(self, x, inbox, own):
        return self.State(torch.tanh(inbox.sum(inbox.h.add_(1)) + x))


class ReadsOwn(gr.SRNCell):
    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.recurrent(inbox.sum(inbox.h)) + own.h))


class WithoutGrad(gr.SRNCell):
    def forward(self, x, inbox, own):
        with torch.no_grad():
            scale = torch.sigmoid(self.recurrent(inbox.sum(inbox.h)))
        return self.State(torch.tanh(x * scale))


class Captures(gr.SRNCell):
    scale = torch.ones(4, requires_grad=True)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.scale * self.recurrent(inbox.sum(inbox.h))))


CHAIN = gr.schedule(gr.chain(3))
ROUND = gr.schedule(gr.chain(3), mode="sync", rounds=2)
CIRCLE = gr.schedule(gr.dag([[0, 1, 2], [1, 2, 0]], 3), cycles="iterate", rounds=3)
ORDERED = gr.schedule(gr.chain(3), order=gr.colouring)
WEIGHED = gr.schedule(gr.chain(3).replace(edge_weight=torch.ones(2, requires_grad=True)))

torch.manual_seed(0)  # for the weights: some few hide from float32 that a derivative is missing
REFUSED = [
    (
        RTRL(),
        Normalised(),
        CHAIN,
        r"cannot differentiate batch normalisation in training \(norm\).*LayerNorm",
    ),
    (RTRL(), Dropping(), CHAIN, r"drop redraws its dropout each time.*VariationalDropout"),
    (RTRL(), DroppingByFunction(3, 4), CHAIN, r"torch.func, which cannot go through DroppingByFunction"),
    (
        RTRL(),
        WritesIntoMessages(3, 4),
        CHAIN,
        r"go through WritesIntoMessages: .* without writing in place",
    ),
    (RTRL(), WithoutGrad(3, 4), CHAIN, r"other derivatives forwards .* write .detach\(\)"),
    (RTRL(), Captures(3, 4), CHAIN, r"a tensor that requires a gradient and is not one of its parameters"),
    (RTRL(), gr.SRNCell(3, 4), ROUND, r"RTRL goes along a schedule .* one with rounds: learn this with BPTT"),
    (RTRL(), gr.SRNCell(3, 4), CIRCLE, r"one with cycles"),
    (RTRL(), gr.SRNCell(3, 4), ORDERED, r"one with a given order"),
    (RTRL(), gr.GCNCell(3, 3), CHAIN, r"GCNCell begins with x"),
    (RTRL(), gr.RecNNCell(3, 4), WEIGHED, r"no gradient for edges, but edge_weight requires one"),
    (
        RTRL(limit=100),
        gr.SRNCell(3, 4),
        CHAIN,
        r"keep 128 sensitivities .*, a state of 4 numbers times 32 weights, and the limit is 100: take SnAp1",
    ),
    (SnAp1(), gr.JordanCell(3, 4, outputs=5), CHAIN, r"needs a cell of `hidden` units.*RTRL\(\) or UORO\(\)"),
    (
        SnAp1(),
        gr.TextbookGRUCell(3, 4),
        CHAIN,
        r"TextbookGRUCell for independent of each other but for what they read",
    ),
    (EProp(), gr.TreeGRUCell(3, 4), CHAIN, r"names its recurrent_layers"),
    (EProp(), gr.LayerNormSRNCell(3, 4), CHAIN, r"LayerNormSRNCell for independent"),
    (RFLO(), gr.SRNCell(3, 4), CHAIN, r"LeakySRNCell.*EProp\(\)"),
]


@pytest.mark.parametrize(("rule", "cell", "plan", "message"), REFUSED)
def test_refused(rule, cell, plan, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        rule.run(cell, plan, torch.randn(3, 3))
    assert all(weight.grad is None for weight in cell.parameters())


@pytest.mark.parametrize("cell", [Normalised(), Dropping()])
def test_not_refused_where_nothing_is_drawn(cell):
    model, x = gr.Recursive(cell.eval().double()), torch.randn(3, 3).double()
    weights = list(model.parameters())
    found = torch.autograd.grad(model(x, gr.chain(3), rule=RTRL()).sum(), weights)
    expected = torch.autograd.grad(model(x, gr.chain(3)).sum(), weights)
    for ours, right in zip(found, expected, strict=True):
        assert_close(ours, right)


def test_refused_initial_states():
    h0 = torch.zeros(3, 4, requires_grad=True)
    with pytest.raises(ValueError, match="got 3 rows, one for each node"):
        RTRL().run(gr.SRNCell(3, 4), CHAIN, torch.randn(3, 3), h0)
    with pytest.raises(ValueError, match="UORO has no gradient for an initial state"):
        UORO().run(gr.SRNCell(3, 4), CHAIN, torch.randn(3, 3), h0[:1])


def test_refused_streams():
    online = RTRL().online(gr.ChildSumTreeLSTMCell(3, 4))
    list(online.steps(gr.dag([[0, 0], [1, 2]], 3), torch.randn(3, 3), lambda state, nodes: None))
    with pytest.raises(ValueError, match="graph 0 of the last piece had several nodes"):
        list(online.steps(gr.chain(3), torch.randn(3, 3), lambda state, nodes: None))
    online = RTRL().online(ReadsOwn(3, 4))
    list(online.steps(gr.chain(3), torch.randn(3, 3), lambda state, nodes: None))
    with pytest.raises(ValueError, match="ReadsOwn reads the node's own previous state"):
        list(online.steps(gr.chain(3), torch.randn(3, 3), lambda state, nodes: None))
    with pytest.raises(TypeError, match="a model that is one run of it"):
        RTRL().online(gr.Stacked([gr.SRN(3, 4), gr.SRN(4, 4)]))

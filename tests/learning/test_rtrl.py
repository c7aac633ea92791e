"""RTRL's gradients are the true ones, step by step, for every cell and structure, in memory that does not grow.

Compared with autograd through the whole run (BPTT), with the recursion S_t = J_t S_{t-1} + I_t written down
literally, and with finite differences.
"""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import graphrec as gr
from graphrec.learning import RTRL
from tests.learning import literal
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients, trial
from tests.zoo import CELLS, cases, chain, chains, mixed_batch, tree

BY_NAME = {case.name: case for case in CELLS}


def detached(s: gr.Structure) -> gr.Structure:
    return s if s.edge_attr is None else s.replace(edge_attr=s.edge_attr.detach())


def of_weights(case, structure, initial=None):
    """A trial, and what RTRL has gradients for: weights and the initial state."""
    run = trial(case.make, structure, initial)
    run.structure = detached(run.structure)
    named = {name: tensor for name, tensor in run.inputs.items() if name != "x"}
    return run, named


@pytest.mark.parametrize(("case", "structure"), cases(CELLS, [mixed_batch]))
def test_every_cell_has_its_true_gradients(case, structure):
    run, named = of_weights(case, structure)
    expected = gradients(gr.run(run.cell, run.plan, run.x), named)
    assert_all_close(gradients(RTRL().run(run.cell, run.plan, run.x), named), expected)


@pytest.mark.parametrize("name", ["SRN", "LSTM", "GRU", "ChildSumTreeLSTM", "NARX", "LRU"])
@pytest.mark.parametrize("initial", ["per graph", "for all"])
@pytest.mark.parametrize("build", [chain, chains])
def test_initial_states_have_their_true_gradients(name, initial, build):
    run, named = of_weights(BY_NAME[name], build(1), initial)
    expected = gradients(gr.run(run.cell, run.plan, run.x, run.given), named)
    assert_all_close(gradients(RTRL().run(run.cell, run.plan, run.x, run.given), named), expected)


@pytest.mark.parametrize("name", ["SRN", "LSTM", "GRU"])
def test_steps_by_hand_are_those_of_torch_func(name):
    run = trial(BY_NAME[name].make, chains(1), "per graph", hidden=3)
    theirs = type("Theirs", (type(run.cell),), {})(
        3, 3
    ).double()  # a subclass, and so none that is known by hand
    theirs.load_state_dict(run.cell.state_dict())
    for one, other in zip(*(sent_by(cell, run) for cell in (run.cell, theirs)), strict=True):
        assert one.shape == (len(one), sum(len(field[0]) for field in run.initial), 1, one.shape[-1])
        assert_close(one, other)


def sent_by(cell: gr.Cell, run) -> list[Tensor]:
    traced = RTRL().traced(cell, run.plan, run.x, run.given)
    return [visit.state.sensitivity for visit in gr.steps(traced, run.plan, run.x, traced.begin(run.given))]


@pytest.mark.parametrize("activation", ["logistic", "relu", torch.sin, lambda z: z.softmax(dim=-1)])
def test_srns_may_have_any_activation(activation):
    cell = gr.SRNCell(3, 4, activation).double()
    x, plan, named = torch.randn(6, 3).double(), gr.schedule(gr.chain(6)), dict(cell.named_parameters())
    assert_all_close(gradients(RTRL().run(cell, plan, x), named), gradients(gr.run(cell, plan, x), named))


@pytest.mark.parametrize(("name", "step"), [("SRN", literal.srn), ("LSTM", literal.lstm)])
def test_sensitivities_are_those_of_the_recursion(name, step):
    cell, x = BY_NAME[name].make(3, 2).double(), torch.randn(5, 3).double()
    theta = literal.flat(cell.parameters())
    width = 2 * len(cell.State._fields)
    expected = literal.sensitivities(step(2, 3), [theta] * 5, x, width)
    plan = gr.schedule(gr.chain(5))
    visits = list(gr.steps(RTRL().traced(cell, plan, x), plan, x))
    for visit, (state, S) in zip(visits, expected, strict=True):
        assert_close(torch.cat(visit.state[:-1], dim=1)[0], state)
        assert_close(visit.state.sensitivity.view(width, -1), S)


def test_x_has_the_gradient_of_its_own_node():
    case = BY_NAME["ChildSumTreeLSTM"]
    run = trial(case.make, tree(None))
    (grad,) = torch.autograd.grad(RTRL().run(run.cell, run.plan, run.x)[0].square().sum(), run.x)
    for visit in gr.steps(run.cell, run.plan, run.x):
        # With its sources held, as a leaf's are, a node's state is that of a star around it.
        own = run.x[visit.nodes].detach().requires_grad_()
        h, c = visit.inbox.h.detach(), visit.inbox.c.detach()
        state = run.cell(run.cell.project(own), visit.inbox.replaced(h=h, c=c), None)
        assert_close(grad[visit.nodes], torch.autograd.grad(state.h.square().sum(), own)[0])


def test_nothing_is_kept_of_the_steps():
    kept = []
    for length in (10, 20):
        cell, x = gr.LSTMCell(3, 4), torch.randn(length, 3)
        rule, saved = RTRL(), list[int]()
        rule.run(cell, gr.schedule(gr.chain(2)), x[:2])  # the first time, it tries the cell
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, s=saved: (s.append(t.numel()), t)[1], lambda t: t
        ):
            rule.run(cell, gr.schedule(gr.chain(length)), x)
        kept.append(sum(saved) - x.numel())
    assert kept[0] == kept[1] == sum(weight.numel() for weight in cell.parameters())


def test_memory_does_not_grow_with_the_stream():
    cell = gr.SRNCell(3, 8)
    online, counts = RTRL().online(cell), []
    size = 8 * sum(weight.numel() for weight in cell.parameters())
    for moment in online.steps(gr.chain(60), torch.randn(60, 3), lambda state, nodes: state.h.sum()):
        if moment.number in (10, 50):
            gc.collect()
            counts.append(sum(type(o) is Tensor and o.numel() >= size for o in gc.get_objects()))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("name", ["SRN", "LSTM", "GRU", "LRU"])
def test_pieces_of_streams_have_the_gradients_of_the_whole(name):
    cell = BY_NAME[name].make(3, 4).double()
    readout = nn.Linear(cell.shapes()[0][0], 1).double()
    x, target = torch.randn(2, 12, 3).double(), torch.randn(2, 12, 1).double()
    h = gr.run(cell, gr.schedule(gr.chains([12, 12])), x.reshape(-1, 3))[0]
    weights = [*cell.parameters(), *readout.parameters()]
    expected = torch.autograd.grad((readout(h) - target.reshape(-1, 1)).square().sum(), weights)
    online = RTRL().online(cell)
    for begin, end in pairwise([0, 3, 4, 9, 12]):
        wanted = target[:, begin:end].reshape(-1, 1)

        def loss(state, nodes, wanted=wanted):
            return (readout(state[0]) - wanted[nodes]).square().sum()

        moments = list(online.steps(gr.chains([end - begin] * 2), x[:, begin:end].reshape(-1, 3), loss))
        assert [moment.number for moment in moments] == list(range(end - begin))
    for weight, grad in zip(weights, expected, strict=True):
        assert_close(weight.grad, grad)


def test_a_stream_in_which_nothing_comes_waits():
    cell, x = gr.SRNCell(3, 4).double(), torch.randn(6, 3).double()
    online = RTRL().online(gr.Recursive(cell))
    for lengths, rows in (([2, 1], [0, 1, 3]), ([0, 2], [4, 5]), ([1, 0], [2])):
        list(online.steps(gr.chains(lengths), x[rows], lambda state, nodes: None))
    h = gr.run(cell, gr.schedule(gr.chains([3, 3])), x).h.detach()
    assert_close(online.carried.h, h[[2, 5]])
    online.reset()
    assert online.carried is None


def test_weights_may_change_at_every_step():
    cell, x = gr.SRNCell(3, 2).double(), torch.randn(6, 3).double()
    optimiser, thetas, grads = torch.optim.SGD(cell.parameters(), 0.5), [], []
    theta = literal.flat(cell.parameters()).detach()
    for moment in RTRL().online(cell).steps(gr.chain(6), x, lambda state, nodes: state.h.square().sum()):
        thetas.append(theta)
        grads.append(literal.flat(weight.grad for weight in cell.parameters()))
        optimiser.step()
        optimiser.zero_grad()
        theta = literal.flat(cell.parameters()).detach()
        assert moment.loss is not None
    for grad, (h, S) in zip(grads, literal.sensitivities(literal.srn(2, 3), thetas, x, 2), strict=True):
        assert_close(grad, 2 * h @ S)


def test_a_change_of_weights_before_the_way_back_is_noticed():
    cell, x = gr.SRNCell(3, 2), torch.randn(4, 3)
    h = RTRL().run(cell, gr.schedule(gr.chain(4)), x).h
    with torch.no_grad():
        cell.recurrent.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


def test_a_shared_module_stays_what_it_is():
    # torch.func.functional_call puts a module with two names back without its parameters' type.
    class Twice(gr.SRNCell):
        def __init__(self):
            super().__init__(3, 2)
            self.again = self.recurrent

        def forward(self, x, inbox, own):
            return self.State(torch.tanh(x + self.again(self.recurrent(inbox.sum(inbox.h)))))

    cell, x, plan = Twice().double(), torch.randn(4, 3).double(), gr.schedule(gr.chain(4))
    named = dict(cell.named_parameters())
    found = gradients(RTRL().run(cell, plan, x), named)
    assert all(isinstance(weight, nn.Parameter) for weight in cell.parameters())
    assert_all_close(found, gradients(gr.run(cell, plan, x), named))


@pytest.mark.parametrize("lengths", [[], [0], [0, 3]])
def test_nothing_at_all(lengths):
    cell, s = gr.SRNCell(3, 2), gr.chains(lengths)
    x = torch.randn(s.num_nodes, 3, requires_grad=True)
    RTRL().run(cell, gr.schedule(s), x).h.sum().backward()
    assert x.grad.shape == x.shape
    assert cell.recurrent.weight.grad.shape == (2, 2)


def test_without_gradients_it_is_a_run():
    cell, x, plan = gr.LSTMCell(3, 2), torch.randn(4, 3), gr.schedule(gr.chain(4))
    with torch.no_grad():
        state = RTRL().run(cell, plan, x)
    assert not state.h.requires_grad
    assert_close(state.h, gr.run(cell, plan, x).h.detach())


def test_cells_may_read_their_own_previous_state():
    class ReadsOwn(gr.SRNCell):
        def forward(self, x, inbox, own):
            return self.State(torch.tanh(x + self.recurrent(inbox.sum(inbox.h)) + own.h**2))

    run = trial(ReadsOwn, chains(1), "per graph")
    named = {name: tensor for name, tensor in run.inputs.items() if name != "x"}
    found = gradients(RTRL().run(run.cell, run.plan, run.x, run.given), named)
    assert_all_close(found, gradients(gr.run(run.cell, run.plan, run.x, run.given), named))

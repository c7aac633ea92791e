"""Truncated BPTT takes the steps of all nodes as one, where that is the same; and where it is not, step by step."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec.learning import TruncatedBPTT, truncated
from graphrec.learning.at_once import all_at_once
from graphrec.schedule import masked
from tests.counting import Count
from tests.learning.networks import STRUCTURES, gradients_of
from tests.tolerances import assert_all_close, assert_close
from tests.trials import trial
from tests.zoo import CELLS, cases, lagged, mixed_batch

D, H = 3, 4
RULE = TruncatedBPTT(2)


def step_by_step():
    """While this lasts, no run is one step."""
    return patch.object(truncated, "all_at_once", lambda *run: None)


@pytest.mark.parametrize(("case", "structure"), cases(CELLS, [mixed_batch]))
def test_every_cells_steps_are_one(case, structure):
    one = trial(case.make, structure)
    assert all_at_once(one.cell, one.plan, one.x, None) is not None
    actual = one.outcome(lambda: RULE.run(one.cell, one.plan, one.x))
    with step_by_step():
        assert_all_close(actual, one.outcome(lambda: RULE.run(one.cell, one.plan, one.x)))


@pytest.mark.parametrize(("case", "structure"), cases(CELLS[::4], [mixed_batch, lagged]))
@pytest.mark.parametrize("rows", ["per graph", "per node"])
def test_with_initial_states_too(case, structure, rows):
    one = trial(case.make, structure, rows)
    assert all_at_once(one.cell, one.plan, one.x, one.given) is not None
    actual = one.outcome(lambda: RULE.run(one.cell, one.plan, one.x, one.given))
    with step_by_step():
        assert_all_close(actual, one.outcome(lambda: RULE.run(one.cell, one.plan, one.x, one.given)))


@pytest.mark.parametrize("change", ["a given order", "masked"])
def test_other_schedules_too(change):
    cell, s = gr.GRUCell(D, H).double(), gr.chains([6, 3])
    plan, x = gr.schedule(s, order=gr.colouring), torch.randn(9, D).double().requires_grad_()
    if change == "masked":
        plan = masked(gr.schedule(s), torch.linspace(0, 1, s.num_edges).double())
    found = []
    for around in (step_by_step, torch.enable_grad):
        with around():
            found.append(torch.autograd.grad(TruncatedBPTT(1).run(cell, plan, x).h.square().sum(), x)[0])
    assert found[0].any()
    assert_close(found[1], found[0])


class Drops(gr.SRNCell):
    """Draws by a function, of which nothing can be known beforehand."""

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + nn.functional.dropout(self.recurrent(inbox.sum(inbox.h)), 0.5)))


class DropsByModule(gr.SRNCell):
    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.drop = nn.Dropout(0.5)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.drop(self.recurrent(inbox.sum(inbox.h)))))


class Normalizes(gr.SRNCell):
    """By the mean of all nodes of its step."""

    def forward(self, x, inbox, own):
        z = x + self.recurrent(inbox.sum(inbox.h))
        return self.State(torch.tanh(z - z.mean(0)))


class NormalizesByModule(gr.SRNCell):
    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.norm = nn.BatchNorm1d(hidden)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(self.norm(x + self.recurrent(inbox.sum(inbox.h)))))


class Watched(gr.SRNCell):
    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.recurrent.register_forward_hook(lambda *seen: None)


class Counts(gr.SRNCell):
    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x, inbox, own):
        self.steps += 1
        return super().forward(x, inbox, own)


@pytest.mark.parametrize("make", [DropsByModule, NormalizesByModule, Watched, Counts])
def test_who_is_another_in_company_is_walked_step_by_step(make):
    """And nothing is tried first: the running mean of a batch norm moves once for each step."""
    cell, plan, x = make(D, H).double(), gr.schedule(gr.chains([5, 5, 5])), torch.randn(15, D).double()
    buffers = {name: buffer.clone() for name, buffer in cell.named_buffers()}
    found = []
    for around in (step_by_step, torch.enable_grad):
        torch.manual_seed(1)
        cell.load_state_dict(buffers, strict=False)
        with around():
            RULE.run(cell, plan, x).h.square().sum().backward()
        found.append({**gradients_of(cell), **{name: b.clone() for name, b in cell.named_buffers()}})
        cell.zero_grad()
    for name, value in found[0].items():
        assert torch.equal(found[1][name], value), name


@pytest.mark.parametrize("make", [Drops, Normalizes])
def test_whose_states_are_others_in_company_is_walked_step_by_step(make):
    cell, plan, x = make(D, H).double(), gr.schedule(gr.chains([5, 5, 5])), torch.randn(15, D).double()
    assert all_at_once(cell, plan, x, None) is None
    assert all_at_once(gr.SRNCell(D, H).double(), plan, x, None) is not None
    RULE.run(cell, plan, x).h.square().sum().backward()
    found = gradients_of(cell)
    cell.zero_grad()
    if make is Normalizes:
        with step_by_step():
            RULE.run(cell, plan, x).h.square().sum().backward()
        assert_all_close(found, gradients_of(cell))


def test_random_numbers_are_drawn_as_step_by_step():
    cell, plan, x = Drops(D, H).double(), gr.schedule(gr.chains([5, 5, 5])), torch.randn(15, D).double()
    found = []
    for around in (step_by_step, torch.enable_grad):
        torch.manual_seed(1)
        with around():
            found.append(RULE.run(cell, plan, x).h)
    assert torch.equal(*found)


def test_kinds_are_those_of_a_level():
    s = gr.chains([3, 3]).replace(kind=torch.tensor([0, 1, 0, 1, 0, 1]))
    assert all_at_once(gr.SRNCell(D, H), gr.schedule(s), torch.randn(6, D), None) is None


@pytest.mark.parametrize(("graphs", "is_one"), [(4096, True), (4097, False)])
def test_large_steps_are_taken_as_they_are(graphs, is_one):
    plan, x = gr.schedule(gr.chains([3] * graphs)), torch.randn(3 * graphs, 1)
    assert (all_at_once(gr.SRNCell(1, 4), plan, x, None) is not None) is is_one


def test_states_that_are_not_finite_stay_so():
    model, s = gr.Recursive(gr.SRNCell(1, 2, torch.exp)), gr.chain(30)
    assert not model(torch.full((30, 1), 9.0), s, rule=RULE).isfinite().all()


@pytest.mark.parametrize("s", STRUCTURES.values(), ids=STRUCTURES)
def test_frozen_models_have_gradients_of_x_alone(s):
    model, x = gr.TreeLSTM(D, H).double().requires_grad_(False), torch.randn(s.num_nodes, D).double()
    assert not model(x, s, rule=RULE).requires_grad
    model(x.requires_grad_(), s, rule=RULE).square().sum().backward()
    assert x.grad.any()
    assert all(grad is None for grad in gradients_of(model).values())


def test_a_hop_is_one_operation_for_all_nodes():
    """The number of operations on the way back grows with the hops, not with the steps."""

    def operations(length: int, depth: int) -> int:
        model, x = gr.LSTM(D, H), torch.randn(length, D)
        loss = model(x, gr.chain(length), rule=TruncatedBPTT(depth)).square().sum()
        with Count() as count:
            loss.backward()
        return len(count.products)

    assert operations(20, 4) == operations(80, 4)
    assert operations(20, 8) - operations(20, 4) == 4  # a hop has one product, with U transposed

"""Cells whose units do not see each other: exact RTRL with a number for each weight and field."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec.learning import RTRL
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients
from tests.zoo import CELLS as CELL_CASES

CELLS = [gr.DiagonalSRNCell, gr.LRUCell, gr.ElementwiseLSTMCell]


@pytest.mark.parametrize("make", CELLS)
@pytest.mark.parametrize("build", [lambda: gr.chains([5, 1, 4]), lambda: gr.dag([[0, 0, 1], [1, 2, 3]], 5)])
def test_gradients_are_the_true_ones(make, build):
    s = build().replace(slot=torch.zeros(build().num_edges, dtype=torch.long))
    cell, plan, x = make(3, 5).double(), gr.schedule(s), torch.randn(s.num_nodes, 3).double()
    named = dict(cell.named_parameters())
    assert_all_close(gradients(RTRL().run(cell, plan, x), named), gradients(gr.run(cell, plan, x), named))


@pytest.mark.parametrize("make", CELLS)
def test_initial_states_have_their_true_gradients(make):
    cell, plan, x = make(3, 4).double(), gr.schedule(gr.chains([5, 2])), torch.randn(7, 3).double()
    state = cell.State(*(torch.randn(2, *shape).double().requires_grad_() for shape in cell.shapes()))
    named = state._asdict()
    assert_all_close(
        gradients(RTRL().run(cell, plan, x, state), named), gradients(gr.run(cell, plan, x, state), named)
    )


@pytest.mark.parametrize("make", CELLS)
def test_a_node_has_a_number_for_each_weight_and_field(make):
    cell = make(8, 64)
    weights = sum(weight.numel() for weight in cell.parameters())
    fields = sum(shape[0] for shape in cell.shapes()) // 64
    (begin,) = RTRL().trace(cell).begin()
    assert begin.numel() == fields * weights


def test_a_width_that_rtrl_refuses_elsewhere():
    x, plan = torch.randn(3, 8), gr.schedule(gr.chain(3))
    with pytest.raises(ValueError, match="SnAp1"):
        RTRL().run(gr.SRNCell(8, 400), plan, x)
    RTRL().run(gr.DiagonalSRNCell(8, 400), plan, x).h.sum().backward()


@pytest.mark.parametrize("case", CELL_CASES, ids=lambda case: case.name)
def test_who_is_elementwise_says_so(case):
    # Looked at directly: the Jacobian of a step, between different units.
    cell = case.make(3, 3).double()
    hidden = getattr(cell, "hidden", cell.shapes()[0][0])
    if cell.arity not in (1, None) or any(shape[0] % hidden for shape in cell.shapes()):
        assert not cell.elementwise
        return
    before = cell.State(*(torch.randn(1, *shape).double().requires_grad_() for shape in cell.shapes()))
    states = gr.run(cell, gr.schedule(gr.chain(1)), torch.randn(1, cell.inputs).double(), before)
    mixes = False
    for number, value in enumerate(torch.cat(states, dim=1)[0]):
        for grad in torch.autograd.grad(value, list(before), retain_graph=True, allow_unused=True):
            if grad is not None:
                units = grad.view(-1, hidden).any(0)
                units[number % hidden] = False
                mixes |= bool(units.any())
    assert cell.elementwise is not mixes


def test_who_says_so_wrongly_is_refused():
    class Liar(gr.SRNCell):
        elementwise = True

    rule, cell = RTRL(), Liar(3, 4)
    rule.run(cell, gr.schedule(gr.chains([1, 1])), torch.randn(2, 3))  # where units do not see each other yet
    for _ in range(2):
        with pytest.raises(ValueError, match=r"Liar for independent of each other.*elementwise to False"):
            rule.run(cell, gr.schedule(gr.chain(3)), torch.randn(3, 3))


@pytest.mark.parametrize(("unit", "other"), [(1, 2), (2, 1), (0, 15), (14, 15)])
def test_a_single_unit_that_sees_another_one_is_found(unit, other):
    class Mixes(gr.DiagonalSRNCell):
        def forward(self, x, inbox, own):
            h = super().forward(x, inbox, own).h
            seen = nn.functional.one_hot(torch.tensor(unit), 16) * inbox.sum(inbox.h)[:, other, None]
            return self.State(h + seen)

    with pytest.raises(ValueError, match="Mixes for independent of each other"):
        RTRL().run(Mixes(3, 16), gr.schedule(gr.chain(3)), torch.randn(3, 3))


def test_elementwise_cells_are_those_with_diagonal_matrices():
    x, plan = torch.randn(6, 3).double(), gr.schedule(gr.chain(6))
    for diagonal, whole, gates in (
        (gr.DiagonalSRNCell(3, 4).double(), gr.SRNCell(3, 4).double(), 1),
        (gr.ElementwiseLSTMCell(3, 4).double(), gr.LSTMCell(3, 4).double(), 4),
    ):
        whole.input.load_state_dict(diagonal.input.state_dict())
        parts = diagonal.recurrent.detach().chunk(gates)
        whole.recurrent.weight.data = torch.cat([torch.diag(part) for part in parts])
        assert_close(gr.run(diagonal, plan, x)[0], gr.run(whole, plan, x)[0])


def test_a_leaky_srn_that_moves_all_the_way_is_the_srn():
    leaky, srn = gr.LeakySRNCell(3, 4, alpha=1).double(), gr.SRNCell(3, 4).double()
    srn.load_state_dict(leaky.state_dict())
    x, plan = torch.randn(6, 3).double(), gr.schedule(gr.chain(6))
    assert_close(gr.run(leaky, plan, x).h, gr.run(srn, plan, x).h)


def test_a_linear_recurrent_unit_begins_on_its_ring():
    cell = gr.LRUCell(3, 1000, radii=(0.8, 0.9), phase=0.5)
    radius, angle = torch.exp(-cell.nu.exp()), cell.theta.exp()
    assert 0.8 <= radius.min() < 0.81
    assert 0.89 < radius.max() <= 0.9
    assert 0.49 < angle.max() <= 0.5
    assert_close(cell.log_gamma.exp(), (1 - radius**2).sqrt())
    assert abs(cell.input.weight.std() - 6**-0.5) < 0.02


@pytest.mark.parametrize("radii", [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_radii_of_no_ring_are_refused(radii):
    with pytest.raises(ValueError, match="radii must be two numbers"):
        gr.LRUCell(3, 4, radii)
    with pytest.raises(ValueError, match="phase must be an angle from 0 on, got -1"):
        gr.LRUCell(3, 4, phase=-1)


@pytest.mark.parametrize("alpha", [0, -1, 1.5])
def test_a_leak_that_is_none_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\]"):
        gr.LeakySRNCell(3, 4, alpha)

"""Lyapunov exponents of maps for which they are known: linear ones, the logistic map and Hénon's."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import graphrec as gr
from graphrec import dynamics
from tests.tolerances import assert_close


def nothing(steps: int) -> Tensor:
    return torch.zeros(steps, 1, dtype=torch.float64)


def linear(U: Tensor) -> gr.SRNCell:
    cell = gr.SRNCell(1, len(U), activation="linear").double()
    cell.recurrent.weight.data.copy_(U)
    return cell


def test_of_a_linear_network_they_are_the_logarithms_of_the_eigenvalues():
    torch.manual_seed(0)
    eigenvalues = torch.tensor([1.3, -0.9, 0.5, -0.2], dtype=torch.float64)
    basis = torch.randn(4, 4, dtype=torch.float64)
    cell = linear(basis @ torch.diag(eigenvalues) @ basis.inverse())
    found = dynamics.lyapunov_spectrum(cell, nothing(150), gr.chain(150), skip=100)
    assert_close(found, eigenvalues.abs().log())
    two = dynamics.lyapunov_spectrum(cell, nothing(150), gr.chain(150), skip=100, count=2)
    assert_close(two, found[:2])


def test_a_complex_pair_shares_its_absolute_value():
    angle = 1.0
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
    )
    found = dynamics.lyapunov_spectrum(linear(0.8 * turn), nothing(20), gr.chain(20))
    assert_close(found, torch.full((2,), math.log(0.8), dtype=torch.float64))


class Henon(nn.Module):
    """Hénon, *A two-dimensional mapping with a strange attractor* (1976): (u, v) → (1 - 1.4 u² + v, 0.3 u)."""

    input_size = 1

    def forward(self, x, state):
        u, v = state
        return 1 - 1.4 * u**2 + v, 0.3 * u


def henon(steps: int, **options) -> Tensor:
    cell = gr.StepCell(Henon(), hidden=(1, 1))
    begin = cell.State(*(torch.full((1, 1), 0.1, dtype=torch.float64) for _ in range(2)))
    return dynamics.lyapunov_spectrum(cell, nothing(steps), gr.chain(steps), begin, **options)


def test_of_henons_map_they_are_the_published_ones():
    """0.41922 and -1.62319: Sprott, *Chaos and Time-Series Analysis* (2003); their sum is log 0.3."""
    found = henon(2500, skip=100)
    assert_close(found.sum(), torch.tensor(math.log(0.3), dtype=torch.float64))
    assert found[0].item() == pytest.approx(0.41922, abs=0.02)  # of so few steps
    assert found[1].item() == pytest.approx(-1.62319, abs=0.02)


def test_of_henons_map_step_by_step():
    u, v = 1 - 1.4 * 0.1**2 + 0.1, 0.3 * 0.1  # after the first node
    q, total = np.eye(2), np.zeros(2)
    for _ in range(49):
        q, r = np.linalg.qr(np.array([[-2.8 * u, 1.0], [0.3, 0.0]]) @ q)
        total += np.log(abs(np.diag(r)))
        u, v = 1 - 1.4 * u**2 + v, 0.3 * u
    assert_close(henon(50), torch.from_numpy(total / 49))


class Logistic(gr.Cell):
    """h_t = 4 h_{t-1} (1 - h_{t-1}), at the first node 0.3."""

    State = gr.SRNCell.State
    arity = 1

    def __init__(self):
        super().__init__(1, 1)

    def forward(self, x, inbox, own):
        h = inbox.sum(inbox.h)
        return self.State(torch.where(inbox.degree.unsqueeze(1) > 0, 4 * h * (1 - h), 0.3))


def test_of_the_logistic_map_it_is_the_logarithm_of_two():
    (found,) = dynamics.lyapunov_spectrum(Logistic(), nothing(2000), gr.chain(2000))
    assert found.item() == pytest.approx(math.log(2), abs=0.01)  # of so few steps


def test_the_greatest_exponent_is_the_rate_of_the_gradient_flow():
    """A long product of Jacobians: the norm of ds_t/ds_k grows like exp(λ_1 (t - k))."""
    torch.manual_seed(0)
    model, x, s = gr.LSTM(2, 5).double(), torch.randn(600, 2, dtype=torch.float64), gr.chain(600)
    greatest = dynamics.lyapunov_spectrum(model, x, s, count=1)
    flow = dynamics.gradient_flow(model, x, s)
    assert math.exp(greatest.item()) == pytest.approx(flow.rate, rel=0.02)


@pytest.mark.parametrize(
    ("s", "options", "words"),
    [
        (gr.chains([3, 3]), {}, ["expected a chain", "6 nodes in 3 levels", "one by one"]),
        (gr.dag([[0, 0], [1, 2]], 3), {}, ["expected a chain", "2 edges"]),
        (gr.lagged([4], (1, 2)), {}, ["expected a chain", "5 edges"]),
        (gr.chain(0), {}, ["0 nodes", "2 nodes or more"]),
        (gr.chain(1), {}, ["1 nodes", "2 nodes or more"]),
        (gr.chain(5), {"skip": 4}, ["5 nodes gives 4 Jacobians", "6 nodes or more"]),
        (gr.chain(5), {"skip": -1}, ["skip", "0 or more"]),
        (gr.chain(5), {"count": 3}, ["count", "2 or less", "3"]),
        (gr.chain(5), {"count": 0}, ["count", "1 or more"]),
        (gr.dag([[0, 1], [1, 0]], 2), {}, ["cycle"]),
    ],
)
def test_bad_input_is_refused(s, options, words):
    cell = gr.SRNCell(1, 2).double()
    with pytest.raises((TypeError, ValueError)) as error:
        dynamics.lyapunov_spectrum(cell, nothing(s.num_nodes), s, **options)
    for word in words:
        assert word in str(error.value)


def test_a_run_in_rounds_is_refused():
    model = gr.Recursive(gr.SRNCell(1, 2), mode="sync", rounds=3)
    with pytest.raises(ValueError, match="async mode"):
        dynamics.lyapunov_spectrum(model, torch.zeros(5, 1), gr.chain(5))

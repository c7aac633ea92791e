"""docs/derivations.md, 6-3: how the residual recurrence explodes, and what each of the remedies promises."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphrec as gr
from tests.tolerances import assert_close

H = 3
IDENTITY = torch.eye(H, dtype=torch.double)


def residual(U: Tensor, activation: str = "tanh", bias: float = 0.0) -> gr.ResidualCell:
    """h_t = h_{t-1} + f(U h_{t-1} + W x_t + bias)."""
    cell = gr.SRNCell(1, len(U), activation).double()
    with torch.no_grad():
        cell.recurrent.weight.copy_(U)
        cell.input.bias.fill_(bias)
    return gr.ResidualCell(cell)


def states(cell: gr.Cell, h_0: Tensor, steps: int, x: Tensor | None = None) -> Tensor:
    """`[T, H]`, by the engine; without x nothing comes in."""
    x = torch.zeros(steps, 1).double() if x is None else x
    return gr.run(cell, gr.schedule(gr.chain(steps)), x, h_0[None]).h


def jacobian(cell: gr.Cell, h_0: Tensor, steps: int, x: Tensor | None = None) -> Tensor:
    """Of h_T by h_0, by autograd."""
    return torch.autograd.functional.jacobian(lambda h: states(cell, h, steps, x)[-1], h_0)


def norm(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, 2)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double)


def exact(number: Any) -> Tensor:
    return torch.tensor(number, dtype=torch.double)


def test_the_jacobian_is_a_product():
    """(3.1), (3.2)"""
    U, x, h_0, steps = random(H, H), random(6, 1), random(H), 6
    cell = residual(U)
    W, b = cell.cell.input.weight.detach(), cell.cell.input.bias.detach()
    h, total = h_0, IDENTITY
    for t in range(steps):
        g = torch.tanh(U @ h + W @ x[t] + b)
        total = (IDENTITY + torch.diag(1 - g**2) @ U) @ total
        h = h + g
    assert_close(states(cell, h_0, steps, x)[-1], h)
    assert_close(jacobian(cell, h_0, steps, x), total)


def test_a_linear_g():
    """(3.3): 1.1 to the 100th is 13,781, for the state along an eigenvector, and for the gradient."""
    steps, growth = 100, 1.1**100
    assert f"{growth:,.0f}" == "13,781"
    v, other = torch.linalg.qr(random(2, 2))[0]
    G = 0.1 * torch.outer(v, v) - 0.5 * torch.outer(other, other)
    cell, power = residual(G, "linear"), torch.linalg.matrix_power(exact([[1, 0], [0, 1]]) + G, steps)
    assert_close(states(cell, v, steps)[-1], growth * v)
    assert_close(jacobian(cell, v, steps), power)
    assert_close(norm(jacobian(cell, v, steps)), exact(growth))


def test_a_bounded_g_makes_states_grow_linearly_at_most():
    """(3.4), and that it is reached."""
    steps, h_0 = 50, random(H).abs()
    sizes = states(residual(3 * random(H, H)), h_0, steps, random(steps, 1)).abs().amax(dim=1)
    assert (sizes <= h_0.max() + torch.arange(1, steps + 1)).all()
    reached = states(residual(torch.zeros(H, H), bias=50.0), h_0, steps)
    assert_close(reached, h_0 + torch.arange(1.0, steps + 1).double()[:, None])


def test_gradients_explode_where_no_state_grows():
    """(3.5)"""
    steps, rest = 100, exact([0.0])
    cell = residual(exact([[0.1]]))
    assert not states(cell, rest, steps).any()
    assert_close(jacobian(cell, rest, steps), exact([[1.1**100]]))


@pytest.mark.parametrize("size", [0.2, 1.0])
def test_the_bound_on_gradients(size):
    """(3.6), for the residual recurrence and without the 1 for the plain one."""
    steps = 20
    for _ in range(10):
        U, h_0, x = size * random(H, H), random(H), random(steps, 1)
        cell = residual(U)
        assert norm(jacobian(cell, h_0, steps, x)) <= (1 + norm(U)) ** steps
        assert norm(jacobian(cell.cell, h_0, steps, x)) <= norm(U) ** steps


class Leaky(gr.Cell):
    """(3.7): h_t = (1 - alpha) h_{t-1} + alpha f(W x_t + U h_{t-1} + b)."""

    State = gr.SRNCell.State

    def __init__(self, cell: gr.SRNCell, alpha: float) -> None:
        super().__init__(cell.inputs, cell.hidden)
        self.cell, self.alpha = cell, alpha

    def project(self, x: Tensor) -> Tensor:
        return self.cell.project(x)

    def forward(self, x: Tensor, inbox: gr.Inbox, own: Any) -> Any:
        new = self.cell(x, inbox, own).h
        return self.State((1 - self.alpha) * inbox.sum(inbox.h) + self.alpha * new)


@pytest.mark.parametrize("scale", [0.3, 5.0])
def test_decay(scale):
    """(3.7), (3.8)"""
    alpha, steps = 0.2, 40
    U, h_0, x = scale * random(H, H), 2 * random(H), 5 * random(steps, 1)
    cell = Leaky(residual(U).cell, alpha)
    assert states(cell, h_0, steps, x).abs().max() <= max(h_0.abs().max(), 1)
    for t in range(steps):
        h = states(cell, h_0, t, x[:t])[-1] if t else h_0
        assert norm(jacobian(cell, h, 1, x[t : t + 1])) <= 1 - alpha + alpha * norm(U)


def test_contraction():
    """(3.9): the norm of one step, and that two runs come together at that rate."""
    for _ in range(10):
        J = 0.5 * random(H, H) - 3 * IDENTITY
        m, M = -torch.linalg.eigvalsh((J + J.T) / 2).max(), norm(J)
        assert m > 0
        for step in (0.1, 0.5, 0.9, 1.5):
            epsilon = step * 2 * m / M**2
            bound = 1 - 2 * epsilon * m + epsilon**2 * M**2
            assert (bound < 1) == (step < 1)
            assert norm(IDENTITY + epsilon * J) ** 2 <= bound
            cell, one, other = residual(epsilon * J, "linear"), random(H), random(H)
            apart = (states(cell, one, 20) - states(cell, other, 20)).norm(dim=1)
            for t, distance in enumerate(apart, start=1):
                assert distance <= bound ** (t / 2) * (one - other).norm()


@pytest.mark.parametrize(("mu", "said"), [(0.0, "1.645"), (0.1, "0.608"), (0.3, "0.081")])
def test_antisymmetry(mu, said):
    """(3.10): with omega = 1 and steps of 0.1 a hundred steps turn a state, and stretch it by so much."""
    omega, epsilon, steps = 1.0, 0.1, 100
    G = exact([[-mu, omega], [-omega, -mu]])
    assert_close(torch.linalg.eigvals(G).imag.sort().values, exact([-omega, omega]))
    square = (1 - epsilon * mu) ** 2 + epsilon**2 * omega**2
    assert_close(exact(abs(1 + epsilon * complex(-mu, omega)) ** 2), exact(square))
    assert (square <= 1) == (epsilon * (mu**2 + omega**2) <= 2 * mu)
    h_0 = random(2)
    stretched = states(residual(epsilon * G, "linear"), h_0, steps)[-1].norm() / h_0.norm()
    assert_close(stretched, exact(square ** (steps / 2)))
    assert f"{stretched:.3f}" == said


@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_a_small_step(steps):
    """(3.11)"""
    growth = 2.0
    cell = residual(exact([[growth / steps]]), "linear")
    reached = jacobian(cell, exact([0.0]), steps)
    assert_close(reached, exact([[(1 + growth / steps) ** steps]]))
    assert reached <= math.exp(growth)


class Normalised(gr.Cell):
    """(3.12): what a residual cell makes, brought back to the norm sqrt(H)."""

    State = gr.SRNCell.State

    def __init__(self, cell: gr.ResidualCell) -> None:
        super().__init__(cell.inputs, cell.cell.hidden)
        self.cell = cell

    def project(self, x: Tensor) -> Tensor:
        return self.cell.project(x)

    def forward(self, x: Tensor, inbox: gr.Inbox, own: Any) -> Any:
        h = self.cell(x, inbox, own).h
        return self.State(h * self.hidden**0.5 / h.norm(dim=1, keepdim=True))


def test_normalisation():
    """(3.12): the recurrence of (3.3), which grows to 13,781, stays where it is; its gradients are small, too."""
    G = torch.diag(exact([0.1, -0.2, -0.1]))
    cell, h_0, steps = Normalised(residual(G, "linear")), random(H), 100
    sizes = states(cell, h_0, steps).norm(dim=1)
    assert_close(sizes, exact([H**0.5] * steps))
    assert norm(jacobian(cell.cell, h_0, steps)) > 1e4
    assert norm(jacobian(cell, h_0, steps)) < 1


def test_clipping():
    """(3.13): the gradients of an exploding run, as torch clips them."""
    c = 0.5
    cell = residual(0.1 * IDENTITY, "linear")
    states(cell, torch.ones(H).double(), 100)[-1].sum().backward()
    weights = [cell.cell.recurrent.weight, cell.cell.input.bias]
    d = torch.cat([weight.grad.flatten() for weight in weights])
    assert d.norm() > 1e4
    nn.utils.clip_grad_norm_(weights, c)
    clipped = torch.cat([weight.grad.flatten() for weight in weights])
    assert_close(clipped, d * min(1, c / d.norm()))
    assert_close(clipped / clipped.norm(), d / d.norm(), "direction")
    nn.utils.clip_grad_norm_(weights, 2 * c)
    assert_close(torch.cat([weight.grad.flatten() for weight in weights]), clipped, "short ones")

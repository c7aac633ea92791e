"""docs/derivations.md, 6-4: gradients of the LSTM written out, and how long its gates keep them."""

import math

import pytest
import torch
from torch import Tensor, nn, sigmoid, tanh

import graphrec as gr
from tests.docs.gated import STEPS, ZERO, D, H, T, Trial, gates, memory_left, product, stacked
from tests.tolerances import assert_all_close, assert_close


class Lstm(Trial):
    """(4.1) in a plain loop."""

    def __init__(self) -> None:
        super().__init__(gr.LSTMCell(D, H))
        W, b = gates(self.cell.input, "ifgo"), gates(self.cell.input, "ifgo", "bias")
        self.U = U = gates(self.cell.recurrent, "ifgo")
        self.h, self.c = [self.initial.h[0]], [self.initial.c[0]]
        self.i, self.f, self.g, self.o = ([None] for _ in range(4))
        for t in STEPS:
            z = {q: W[q] @ self.inputs[t] + U[q] @ self.h[t - 1] + b[q] for q in "ifgo"}
            self.i.append(sigmoid(z["i"]))
            self.f.append(sigmoid(z["f"]))
            self.g.append(tanh(z["g"]))
            self.o.append(sigmoid(z["o"]))
            self.c.append(self.f[t] * self.c[t - 1] + self.i[t] * self.g[t])
            self.h.append(self.o[t] * tanh(self.c[t]))

    def backwards(self) -> tuple[dict[str, dict[int, Tensor]], dict[int, Tensor], dict[int, Tensor]]:
        """(4.2) to (4.7): delta by gate and step, dL/dh and dL/dc by step."""
        e, U, i, f, g, o, c = self.readout.pulls(self.h), self.U, self.i, self.f, self.g, self.o, self.c
        of_h, of_c, delta = {}, {}, {q: {T + 1: ZERO} for q in "ifgo"}
        for t in reversed(STEPS):
            carried = f[t + 1] * of_c[t + 1] if t < T else ZERO
            of_h[t] = e[t] + sum(U[q].T @ delta[q][t + 1] for q in "ifgo")  # (4.2)
            of_c[t] = of_h[t] * o[t] * (1 - tanh(c[t]) ** 2) + carried  # (4.3)
            delta["o"][t] = of_h[t] * tanh(c[t]) * o[t] * (1 - o[t])  # (4.4)
            delta["f"][t] = of_c[t] * c[t - 1] * f[t] * (1 - f[t])  # (4.5)
            delta["i"][t] = of_c[t] * g[t] * i[t] * (1 - i[t])  # (4.6)
            delta["g"][t] = of_c[t] * i[t] * (1 - g[t] ** 2)  # (4.7)
        return delta, of_h, of_c


def test_lstm_gradients():
    """(4.1) to (4.8)"""
    run = Lstm()
    assert_close(run.local.state.h.detach(), torch.stack(run.h[1:]))
    delta, of_h, of_c = run.backwards()
    z_found, h_found, c_found = run.local.gradients(run.loss)
    assert_close(stacked(delta), z_found, "dL/dz")
    assert_close(torch.stack([of_h[t] for t in STEPS]), h_found, "dL/dh")
    by_later = [run.f[t + 1] * of_c[t + 1] if t < T else ZERO for t in STEPS]  # all but the way through h_t
    assert_close(torch.stack(by_later), c_found, "dL/dc")
    by_hand = {
        "recurrent.weight": [sum(torch.outer(d[t], run.h[t - 1]) for t in STEPS) for d in delta.values()],
        "input.weight": [sum(torch.outer(d[t], run.inputs[t]) for t in STEPS) for d in delta.values()],
        "input.bias": [sum(d[t] for t in STEPS) for d in delta.values()],
    }
    assert_all_close({name: torch.cat(parts) for name, parts in by_hand.items()}, run.weights())


def test_lstm_jacobian():
    """(4.9)"""
    run = Lstm()
    U, factors = run.U, []
    for t in STEPS:
        i, f, g, o, c, before = run.i[t], run.f[t], run.g[t], run.o[t], run.c[t], run.c[t - 1]
        A = (
            torch.diag(before * f * (1 - f)) @ U["f"]
            + torch.diag(g * i * (1 - i)) @ U["i"]
            + torch.diag(i * (1 - g**2)) @ U["g"]
        )
        B = torch.diag(o * (1 - tanh(c) ** 2))
        upper = torch.cat([torch.diag(tanh(c) * o * (1 - o)) @ U["o"] + B @ A, B @ torch.diag(f)], dim=1)
        factors.append(torch.cat([upper, torch.cat([A, torch.diag(f)], dim=1)]))
    assert_close(product(factors), run.jacobian())


def test_lstm_gates_that_look_at_x_alone():
    """(4.10)"""
    cell, x = gr.LSTMCell(D, H).double(), torch.randn(T, D).double()
    nn.init.zeros_(cell.recurrent.weight)
    W, b = gates(cell.input, "ifgo")["f"], gates(cell.input, "ifgo", "bias")["f"]
    left = torch.ones(H).double()
    for t in range(T):
        left = left * sigmoid(W @ x[t] + b)
    assert_close(memory_left(cell, "c", x), torch.diag(left))


@pytest.mark.parametrize(("bias", "said"), [(0, "7.9e-31"), (2, "3.1e-06"), (5, "0.51")])
def test_lstm_after_a_hundred_steps(bias, said):
    """(4.11)"""
    cell = gr.LSTMCell(1, H, forget_bias=bias).double()
    nn.init.zeros_(cell.recurrent.weight)
    left = memory_left(cell, "c", torch.zeros(100, 1).double())
    assert_close(left, torch.eye(H).double() * (1 / (1 + math.exp(-bias))) ** 100)
    assert f"{left[0, 0].item():.2g}" == said


def test_lstm_memory_is_bounded():
    """(4.12), and that it is reached: with f = phi and i g near 1 the bound is the value."""
    cell, phi = gr.LSTMCell(1, H, forget_bias=2).double(), 1 / (1 + math.exp(-2))
    nn.init.zeros_(cell.recurrent.weight)
    with torch.no_grad():
        cell.input.weight[H : 2 * H] = -cell.input.weight[H : 2 * H].abs()  # with x > 0, f <= phi
    x, c_0 = torch.rand(30, 1).double(), torch.randn(1, H).double()
    plan, start = gr.schedule(gr.chain(30)), gr.LSTMCell.State(torch.zeros(1, H).double(), c_0)
    bound = torch.stack([phi**t * c_0[0].abs() + (1 - phi**t) / (1 - phi) for t in range(1, 31)])
    assert (gr.run(cell, plan, x, start).c.abs() <= bound).all()
    with torch.no_grad():
        cell.input.weight.zero_()
        cell.input.bias[:H] = cell.input.bias[2 * H : 3 * H] = 50.0
        full = gr.run(cell, plan, x, start._replace(c=c_0.abs())).c
    assert_close(full, bound)

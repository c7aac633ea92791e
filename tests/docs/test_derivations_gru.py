"""docs/derivations.md, 6-5: gradients of the GRU written out, in both forms, and how long its gate keeps them."""

import pytest
import torch
from torch import Tensor, nn, sigmoid, tanh

import graphrec as gr
from tests.docs.gated import STEPS, ZERO, D, H, T, Trial, gates, memory_left, product, stacked
from tests.tolerances import assert_all_close, assert_close


class Gru(Trial):
    """(5.1) in a plain loop: in the published form, or in torch's, with the reset after the product."""

    def __init__(self, reset_after: bool) -> None:
        super().__init__(gr.GRUCell(D, H) if reset_after else gr.TextbookGRUCell(D, H))
        cell, self.reset_after = self.cell, reset_after
        W, b = gates(cell.input, "run"), gates(cell.input, "run", "bias")
        if reset_after:
            self.U = gates(cell.recurrent, "run")
            d = gates(cell.recurrent, "run", "bias")  # torch's second bias, of which d["n"] alone matters
            b = {"r": b["r"] + d["r"], "u": b["u"] + d["u"], "n": b["n"]}
            self.d_n = d["n"]
        else:
            self.U = gates(cell.gates, "ru") | {"n": cell.candidate.weight.detach()}
        self.h = [self.initial.h[0]]
        self.r, self.u, self.n = [None], [None], [None]
        for t in STEPS:
            x, before, U = self.inputs[t], self.h[t - 1], self.U
            r, u = (sigmoid(W[q] @ x + U[q] @ before + b[q]) for q in "ru")
            of_h = r * (U["n"] @ before + self.d_n) if reset_after else U["n"] @ (r * before)
            n = tanh(W["n"] @ x + b["n"] + of_h)
            self.r.append(r)
            self.u.append(u)
            self.n.append(n)
            self.h.append(u * before + (1 - u) * n)

    def backwards(self) -> tuple[dict[str, dict[int, Tensor]], dict[int, Tensor]]:
        """(5.2) to (5.5), (5.7), (5.8): delta by gate and step, and eta by step."""
        e, U, r, u, n, h = self.readout.pulls(self.h), self.U, self.r, self.u, self.n, self.h
        delta: dict[str, dict[int, Tensor]] = {q: {} for q in "run"}
        eta = {T: e[T]}
        for t in reversed(STEPS):
            delta["n"][t] = eta[t] * (1 - u[t]) * (1 - n[t] ** 2)  # (5.2)
            delta["u"][t] = eta[t] * (h[t - 1] - n[t]) * u[t] * (1 - u[t])  # (5.3)
            if self.reset_after:
                delta["r"][t] = delta["n"][t] * (U["n"] @ h[t - 1] + self.d_n) * r[t] * (1 - r[t])  # (5.7)
                through_n = U["n"].T @ (r[t] * delta["n"][t])
            else:
                rho = U["n"].T @ delta["n"][t]  # (5.2)
                delta["r"][t] = rho * h[t - 1] * r[t] * (1 - r[t])  # (5.4)
                through_n = r[t] * rho
            through_gates = U["r"].T @ delta["r"][t] + U["u"].T @ delta["u"][t]
            eta[t - 1] = e.get(t - 1, ZERO) + u[t] * eta[t] + through_n + through_gates  # (5.5), (5.8)
        return delta, eta


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_gradients(reset_after):
    """(5.1) to (5.5), (5.7), (5.8)"""
    run = Gru(reset_after)
    assert_close(run.local.state.h.detach(), torch.stack(run.h[1:]))
    delta, eta = run.backwards()
    z_found, h_found = run.local.gradients(run.loss)
    assert_close(stacked(delta), z_found, "dL/dz")
    assert_close(torch.stack([eta[t] for t in STEPS]), h_found, "dL/dh")


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_gradients_of_weights(reset_after):
    """(5.6), (5.9)"""
    run = Gru(reset_after)
    (delta, _), r, h = run.backwards(), run.r, run.h
    of_U = {q: sum(torch.outer(delta[q][t], h[t - 1]) for t in STEPS) for q in "ru"}
    by_hand = {
        "input.weight": [sum(torch.outer(d[t], run.inputs[t]) for t in STEPS) for d in delta.values()],
        "input.bias": [sum(d[t] for t in STEPS) for d in delta.values()],
    }
    if reset_after:
        of_U["n"] = sum(torch.outer(r[t] * delta["n"][t], h[t - 1]) for t in STEPS)
        of_d_n = sum(r[t] * delta["n"][t] for t in STEPS)
        by_hand["recurrent.weight"] = list(of_U.values())
        by_hand["recurrent.bias"] = [
            *by_hand["input.bias"][:2],
            of_d_n,
        ]  # b_r and d_r are added, as b_u and d_u
    else:
        by_hand["gates.weight"] = list(of_U.values())
        by_hand["candidate.weight"] = [sum(torch.outer(delta["n"][t], r[t] * h[t - 1]) for t in STEPS)]
    assert_all_close({name: torch.cat(parts) for name, parts in by_hand.items()}, run.weights())


def test_gru_jacobian():
    """(5.10)"""
    run, factors = Gru(reset_after=False), []
    U = run.U
    for t in STEPS:
        r, u, n, before = run.r[t], run.u[t], run.n[t], run.h[t - 1]
        factors.append(
            torch.diag(u)
            + torch.diag((before - n) * u * (1 - u)) @ U["u"]
            + torch.diag((1 - u) * (1 - n**2))
            @ U["n"]
            @ (torch.diag(r) + torch.diag(before * r * (1 - r)) @ U["r"])
        )
    assert_close(product(factors), run.jacobian())


def test_gru_gates_that_look_at_x_alone():
    """(5.11)"""
    cell, x = gr.TextbookGRUCell(D, H).double(), torch.randn(T, D).double()
    nn.init.zeros_(cell.gates.weight)
    nn.init.zeros_(cell.candidate.weight)
    W, b = gates(cell.input, "run")["u"], gates(cell.input, "run", "bias")["u"]
    left = torch.ones(H).double()
    for t in range(T):
        left = left * sigmoid(W @ x[t] + b)
    assert_close(memory_left(cell, "h", x), torch.diag(left))


@pytest.mark.parametrize("make", [gr.GRUCell, gr.TextbookGRUCell])
@pytest.mark.parametrize("start", [0.1, 3.0])
def test_gru_state_cannot_grow(make, start):
    """(5.12), with weights ten times as large as usual, so that both sides meet."""
    cell, x = make(D, H).double(), torch.randn(50, D).double()
    with torch.no_grad():
        for weight in cell.parameters():
            weight *= 10
    h_0 = torch.full((1, H), start).double()
    h = gr.run(cell, gr.schedule(gr.chain(50)), x, h_0).h
    assert h.abs().max() <= max(start, 1)
    assert h.abs().max() > 0.9

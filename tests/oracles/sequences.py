"""Equations of nodes that have one source, the step before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, sigmoid, tanh

from .recursion import Equations, Inbox, State, zeros


def before(inbox: Inbox, *like: Tensor) -> list[Tensor]:
    """The fields of the state one step ago; zeros, as long as each of `like` has rows, where there is none."""
    return list(inbox[0][1]) if inbox else [zeros(weight) for weight in like]


def srn(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Elman (1990): h_t = f(W x_t + U h_{t-1} + b)."""
    W, U, b = cell.input.weight, cell.recurrent.weight, cell.input.bias
    (h,) = before(inbox, U)
    return (tanh(W @ x + U @ h + b),)


def jordan_logistic(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Jordan (1986): h_t = f(W x_t + U y_{t-1} + b), y_t = g(V h_t + c), with a logistic g."""
    W, U, b = cell.input.weight, cell.feedback.weight, cell.input.bias
    V, c = cell.output.weight, cell.output.bias
    _, y = before(inbox, W, V)
    h = tanh(W @ x + U @ y + b)
    return h, sigmoid(V @ h + c)


def second_order(cell: Any, u: Tensor, inbox: Inbox) -> State:
    """Giles et al. (1992), equation (1): x_k(n+1) = f(b_k + sum_ij w_kij x_i(n) u_j(n)), f logistic."""
    w, b = cell.pairs.weight, cell.pairs.bias
    H, D = len(w), len(u)
    (x,) = before(inbox, w)
    pairs = [(i, j) for i in range(H) for j in range(D)]  # the columns of w
    v = [b[k] + sum(w[k, n] * x[i] * u[j] for n, (i, j) in enumerate(pairs)) for k in range(H)]
    return (sigmoid(torch.stack(v)),)


def residual(of: Equations) -> Equations:
    """He et al. (2016): h_t = h_{t-1} + g(x_t, h_{t-1}); where a node has several sources, h_{t-1} is their sum."""

    def equations(cell: Any, x: Tensor, inbox: Inbox) -> State:
        change, *others = of(cell.cell, x, inbox)
        return sum((h for _, (h, *_) in inbox), change), *others

    return equations


def series(*of: Equations) -> Equations:
    """h^l_t = cell_l(h^{l-1}_t, h^l_{t-1}), h^0_t = x_t; the state has the fields of the top cell first."""

    def equations(cell: Any, x: Tensor, inbox: Inbox) -> State:
        widths = [len(part.State._fields) for part in cell.cells]
        begins = [sum(widths[-1:]) + sum(widths[:layer]) for layer in range(len(widths) - 1)] + [0]
        states: list[State] = []
        for layer, part_of in enumerate(of):
            fields = slice(begins[layer], begins[layer] + widths[layer])
            here = [(slot, state[fields]) for slot, state in inbox]
            states.append(part_of(cell.cells[layer], states[-1][0] if states else x, here))
        *below, top = states
        return sum(below, top)

    return equations


def lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Gers, Schmidhuber & Cummins (2000), equations (2) to (6), with tanh for g and for the output."""
    W_i, W_f, W_g, W_o = cell.input.weight.chunk(4)
    U_i, U_f, U_g, U_o = cell.recurrent.weight.chunk(4)
    b_i, b_f, b_g, b_o = cell.input.bias.chunk(4)
    h, c = before(inbox, W_i, W_i)
    i = sigmoid(W_i @ x + U_i @ h + b_i)
    f = sigmoid(W_f @ x + U_f @ h + b_f)
    g = tanh(W_g @ x + U_g @ h + b_g)
    o = sigmoid(W_o @ x + U_o @ h + b_o)
    c = f * c + i * g
    return o * tanh(c), c


def projected_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Sak, Senior & Beaufays (2014), equations (7) to (12), without peepholes: r_t = W_rm m_t is what comes back."""
    W_ix, W_fx, W_cx, W_ox = cell.input.weight.chunk(4)
    W_ir, W_fr, W_cr, W_or = cell.recurrent.weight.chunk(4)
    b_i, b_f, b_c, b_o = cell.input.bias.chunk(4)
    W_rm = cell.projection.weight
    r, c = before(inbox, W_rm, W_ix)
    i = sigmoid(W_ix @ x + W_ir @ r + b_i)
    f = sigmoid(W_fx @ x + W_fr @ r + b_f)
    c = f * c + i * tanh(W_cx @ x + W_cr @ r + b_c)
    m = sigmoid(W_ox @ x + W_or @ r + b_o) * tanh(c)
    return W_rm @ m, c


def no_forget_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Hochreiter & Schmidhuber (1997), section 4: s_c(t) = s_c(t-1) + y_in g(net_c), y_c = y_out h(s_c)."""
    W_in, W_c, W_out = cell.input.weight.chunk(3)
    U_in, U_c, U_out = cell.recurrent.weight.chunk(3)
    b_in, b_c, b_out = cell.input.bias.chunk(3)
    y_c, s_c = before(inbox, W_c, W_c)
    y_in = sigmoid(W_in @ x + U_in @ y_c + b_in)
    y_out = sigmoid(W_out @ x + U_out @ y_c + b_out)
    s_c = s_c + y_in * tanh(W_c @ x + U_c @ y_c + b_c)
    return y_out * tanh(s_c), s_c


def peephole_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Greff et al. (2017), section II: z, i, f, c, o, y with peepholes p."""
    W_i, W_f, W_z, W_o = cell.input.weight.chunk(4)
    R_i, R_f, R_z, R_o = cell.recurrent.weight.chunk(4)
    b_i, b_f, b_z, b_o = cell.input.bias.chunk(4)
    p_i, p_f, p_o = cell.peephole
    y, c = before(inbox, W_i, W_i)
    z = tanh(W_z @ x + R_z @ y + b_z)
    i = sigmoid(W_i @ x + R_i @ y + p_i * c + b_i)
    f = sigmoid(W_f @ x + R_f @ y + p_f * c + b_f)
    c = z * i + c * f
    o = sigmoid(W_o @ x + R_o @ y + p_o * c + b_o)
    return tanh(c) * o, c


def coupled_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Greff et al. (2017), variant CIFG, f = 1 - i; without peepholes."""
    W_i, W_z, W_o = cell.input.weight.chunk(3)
    R_i, R_z, R_o = cell.recurrent.weight.chunk(3)
    b_i, b_z, b_o = cell.input.bias.chunk(3)
    y, c = before(inbox, W_i, W_i)
    z = tanh(W_z @ x + R_z @ y + b_z)
    i = sigmoid(W_i @ x + R_i @ y + b_i)
    f = 1 - i
    o = sigmoid(W_o @ x + R_o @ y + b_o)
    c = z * i + c * f
    return tanh(c) * o, c


def gru(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """`torch.nn.GRU`'s documentation: the reset comes after the matrix product, and after its bias."""
    W_ir, W_iz, W_in = cell.input.weight.chunk(3)
    W_hr, W_hz, W_hn = cell.recurrent.weight.chunk(3)
    b_ir, b_iz, b_in = cell.input.bias.chunk(3)
    b_hr, b_hz, b_hn = cell.recurrent.bias.chunk(3)
    (h,) = before(inbox, W_ir)
    r = sigmoid(W_ir @ x + b_ir + W_hr @ h + b_hr)
    z = sigmoid(W_iz @ x + b_iz + W_hz @ h + b_hz)
    n = tanh(W_in @ x + b_in + r * (W_hn @ h + b_hn))
    return ((1 - z) * n + z * h,)


def textbook_gru(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Cho et al. (2014), equations (5) to (8), with biases."""
    W_r, W_z, W = cell.input.weight.chunk(3)
    b_r, b_z, b = cell.input.bias.chunk(3)
    U_r, U_z = cell.gates.weight.chunk(2)
    U = cell.candidate.weight
    (h,) = before(inbox, U)
    r = sigmoid(W_r @ x + U_r @ h + b_r)
    z = sigmoid(W_z @ x + U_z @ h + b_z)
    candidate = tanh(W @ x + U @ (r * h) + b)
    return (z * h + (1 - z) * candidate,)


def diagonal_srn(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Li et al. (2018), equation (2): h_t = sigma(W x_t + u * h_{t-1} + b)."""
    W, u, b = cell.input.weight, cell.recurrent, cell.input.bias
    (h,) = before(inbox, W)
    return (tanh(W @ x + torch.diag(u) @ h + b),)


def lru(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Orvieto et al. (2023), equations (5) to (8), in complex numbers: x_k = Lambda x_{k-1} + gamma * (B u_k)."""
    B = torch.complex(*cell.input.weight.chunk(2))
    Lambda = torch.exp(torch.complex(-torch.exp(cell.nu), torch.exp(cell.theta)))
    (h,) = before(inbox, cell.input.weight)
    h = torch.diag(Lambda) @ torch.complex(*h.chunk(2)) + torch.exp(cell.log_gamma) * (B @ (x + 0j))
    return (torch.cat([h.real, h.imag]),)


def elementwise_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """The LSTM with a diagonal U for each gate."""
    W_i, W_f, W_g, W_o = cell.input.weight.chunk(4)
    U_i, U_f, U_g, U_o = map(torch.diag, cell.recurrent.chunk(4))
    b_i, b_f, b_g, b_o = cell.input.bias.chunk(4)
    h, c = before(inbox, W_i, W_i)
    i, f = sigmoid(W_i @ x + U_i @ h + b_i), sigmoid(W_f @ x + U_f @ h + b_f)
    g, o = tanh(W_g @ x + U_g @ h + b_g), sigmoid(W_o @ x + U_o @ h + b_o)
    c = f * c + i * g
    return o * tanh(c), c


def leaky_srn(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Murray (2019), equation (1): h(t+1) = h(t) + (1 / tau) (-h(t) + phi(W h(t) + W_in x(t+1)))."""
    W, W_in, b = cell.recurrent.weight, cell.input.weight, cell.input.bias
    (h,) = before(inbox, W)
    return (h + cell.alpha * (-h + tanh(W @ h + W_in @ x + b)),)


def layer_norm(a: Tensor, of: nn.LayerNorm) -> Tensor:
    """Ba et al. (2016), equation (4): g / sigma * (a - mu) + b (with what torch adds to the variance)."""
    mu = a.sum() / len(a)
    sigma = (((a - mu) ** 2).sum() / len(a) + of.eps).sqrt()
    return of.weight / sigma * (a - mu) + of.bias


def layer_norm_srn(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Ba et al. (2016), equation (4): h_t = f(LN(W_hh h_{t-1} + W_xh x_t))."""
    W_xh, W_hh = cell.input.weight, cell.recurrent.weight
    (h,) = before(inbox, W_hh)
    return (tanh(layer_norm(W_hh @ h + W_xh @ x, cell.norm)),)


def layer_norm_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Ba et al. (2016), supplementary material, equations (20) to (22)."""
    W_x, W_h = cell.input.weight, cell.recurrent.weight
    U_i, *_ = W_h.chunk(4)
    h, c = before(inbox, U_i, U_i)
    gates = layer_norm(W_h @ h, cell.norm_recurrent) + layer_norm(W_x @ x, cell.norm_input)
    i, f, g, o = gates.chunk(4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(layer_norm(c, cell.norm_memory)), c


def layer_norm_gru(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Ba et al. (2016), supplementary material, equations (26) to (28)."""
    W_rx, W_zx, W = cell.input.weight.chunk(3)
    W_rh, W_zh, U = cell.recurrent.weight.chunk(3)
    (h,) = before(inbox, U)
    of_h = layer_norm(torch.cat([W_rh @ h, W_zh @ h]), cell.norm_recurrent)
    of_x = layer_norm(torch.cat([W_rx @ x, W_zx @ x]), cell.norm_input)
    r, z = (of_h + of_x).chunk(2)
    n = tanh(layer_norm(W @ x, cell.norm_candidate) + sigmoid(r) * layer_norm(U @ h, cell.norm_reset))
    return ((1 - sigmoid(z)) * h + sigmoid(z) * n,)


def min_gru(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Feng et al. (2024), algorithm 1: h_t = (1 - z_t) h_{t-1} + z_t h~_t; of several sources their sum."""
    return _min_gru(cell, x, inbox, lambda z: z)


def min_gru_positive(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Feng et al. (2024), algorithm 5."""
    return _min_gru(cell, x, inbox, _positive)


def min_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Feng et al. (2024), algorithm 3, with f' = f / (f + i) and i' = i / (f + i)."""
    return _min_lstm(cell, x, inbox, lambda z: z)


def min_lstm_positive(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Feng et al. (2024), algorithm 7."""
    return _min_lstm(cell, x, inbox, _positive)


def _min_gru(cell: Any, x: Tensor, inbox: Inbox, g: Callable[[Tensor], Tensor]) -> State:
    W_z, W_h = cell.input.weight.chunk(2)
    b_z, b_h = cell.input.bias.chunk(2)
    before = sum((h for _, (h,) in inbox), zeros(W_h))
    z = sigmoid(W_z @ x + b_z)
    return ((1 - z) * before + z * g(W_h @ x + b_h),)


def _min_lstm(cell: Any, x: Tensor, inbox: Inbox, g: Callable[[Tensor], Tensor]) -> State:
    W_f, W_i, W_h = cell.input.weight.chunk(3)
    b_f, b_i, b_h = cell.input.bias.chunk(3)
    before = sum((h for _, (h,) in inbox), zeros(W_h))
    f, i = sigmoid(W_f @ x + b_f), sigmoid(W_i @ x + b_i)
    return (f / (f + i) * before + i / (f + i) * g(W_h @ x + b_h),)


def _positive(z: Tensor) -> Tensor:
    """g(z) = z + 0.5 where z >= 0, else sigmoid(z)."""
    return torch.stack([number + 0.5 if number >= 0 else sigmoid(number) for number in z])

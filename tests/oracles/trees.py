"""Equations of nodes that have several sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, sigmoid, tanh

from .recursion import Inbox, State, slots_of, zeros


def recnn(cell: Any, x: Tensor, inbox: Inbox, f: Callable[[Tensor], Tensor] = tanh) -> State:
    """Sperduti & Starita (1997): h = f(W x + sum_k U_k h_k + b)."""
    W, b = cell.input.weight, cell.input.bias
    U = slots_of(cell.recurrent.weight)
    return (f(W @ x + sum((U[k] @ h for k, (h,) in inbox), zeros(W)) + b),)


def recnn_logistic(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """The same with the logistic function."""
    return recnn(cell, x, inbox, sigmoid)


def rntn(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Socher et al. (2013): h_k = f([a; b]^T V^[k] [a; b] + U_k [a; b] + W_k x + bias_k)."""
    W, bias, U = cell.input.weight, cell.input.bias, cell.recurrent.weight
    H = len(W)
    children = {k: h for k, (h,) in inbox}
    ab = torch.cat([children.get(0, zeros(W)), children.get(1, zeros(W))])
    V = [cell.tensor.weight[k * 2 * H : (k + 1) * 2 * H] for k in range(H)]  # V^[1] … V^[H], 2H × 2H each
    return (torch.stack([tanh(ab @ V[k] @ ab + U[k] @ ab + W[k] @ x + bias[k]) for k in range(H)]),)


def child_sum_tree_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Tai, Socher & Manning (2015), equations (2) to (8)."""
    W_i, W_o, W_u, W_f = cell.input.weight.chunk(4)
    b_i, b_o, b_u, b_f = cell.input.bias.chunk(4)
    U_i, U_o, U_u = cell.iou.weight.chunk(3)
    U_f = cell.forget.weight
    h_sum = sum((h for _, (h, _) in inbox), zeros(U_f))
    i = sigmoid(W_i @ x + U_i @ h_sum + b_i)
    o = sigmoid(W_o @ x + U_o @ h_sum + b_o)
    u = tanh(W_u @ x + U_u @ h_sum + b_u)
    c = i * u
    for _, (h_k, c_k) in inbox:
        f_k = sigmoid(W_f @ x + U_f @ h_k + b_f)
        c = c + f_k * c_k
    return o * tanh(c), c


def nary_tree_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Tai, Socher & Manning (2015), equations (9) to (14)."""
    W_i, W_o, W_u, W_f = cell.input.weight.chunk(4)
    b_i, b_o, b_u, b_f = cell.input.bias.chunk(4)
    U_i, U_o, U_u, *U_f = [slots_of(U) for U in cell.recurrent.weight.split(len(W_i))]  # U_f[k][j]
    nothing = zeros(W_i)
    i = sigmoid(W_i @ x + sum((U_i[j] @ h for j, (h, _) in inbox), nothing) + b_i)
    o = sigmoid(W_o @ x + sum((U_o[j] @ h for j, (h, _) in inbox), nothing) + b_o)
    u = tanh(W_u @ x + sum((U_u[j] @ h for j, (h, _) in inbox), nothing) + b_u)
    c = i * u
    for k, (_, c_k) in inbox:
        f_k = sigmoid(W_f @ x + sum((U_f[k][j] @ h for j, (h, _) in inbox), nothing) + b_f)
        c = c + f_k * c_k
    return o * tanh(c), c


def tree_gru(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Cho et al. (2014), equations (5) to (8), with children's states summed and a reset gate for each."""
    W_z, W_r, W_n = cell.input.weight.chunk(3)
    b_z, b_r, b_n = cell.input.bias.chunk(3)
    U_z, U_r, U_n = cell.update.weight, cell.reset.weight, cell.candidate.weight
    h_sum = sum((h for _, (h,) in inbox), zeros(U_z))
    z = sigmoid(W_z @ x + U_z @ h_sum + b_z)
    kept = zeros(U_z)
    for _, (h_k,) in inbox:
        r_k = sigmoid(W_r @ x + U_r @ h_k + b_r)
        kept = kept + r_k * h_k
    n = tanh(W_n @ x + U_n @ kept + b_n)
    return (z * h_sum + (1 - z) * n,)


def nary_tree_gru(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """The same with weights for each slot, and gates that see all slots, as in the N-ary Tree-LSTM."""
    W_z, W_r, W_n = cell.input.weight.chunk(3)
    b_z, b_r, b_n = cell.input.bias.chunk(3)
    U_z, *U_r = [slots_of(U) for U in cell.gates.weight.split(len(W_z))]  # U_r[k][j]
    U_n = slots_of(cell.candidate.weight)
    nothing = zeros(W_z)
    z = sigmoid(W_z @ x + sum((U_z[j] @ h for j, (h,) in inbox), nothing) + b_z)
    n = W_n @ x + b_n
    for k, (h_k,) in inbox:
        r_k = sigmoid(W_r @ x + sum((U_r[k][j] @ h for j, (h,) in inbox), nothing) + b_r)
        n = n + U_n[k] @ (r_k * h_k)
    return (z * sum((h for _, (h,) in inbox), nothing) + (1 - z) * tanh(n),)

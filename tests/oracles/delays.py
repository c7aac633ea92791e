"""Equations of nodes that have a source for each lag."""

from __future__ import annotations

from typing import Any

from torch import Tensor, tanh

from .recursion import Inbox, State, zeros


def tdnn(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Waibel et al. (1989): f of a weighted sum of the input now and at each delay."""
    W_0, b = cell.input.weight, cell.input.bias
    W = cell.past.weight.split(len(x), dim=1)
    return tanh(W_0 @ x + sum((W[k] @ u for k, (_, u) in inbox), zeros(W_0)) + b), x


def ar(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Yule (1927): y_t = b + sum_k A_k y_{t-k}. The last of x says whether the rest, or y, stands for y_t later."""
    b = cell.past.bias
    A = cell.past.weight.split(len(b), dim=1)
    y = b + sum((A[k] @ seen for k, (_, seen) in inbox), zeros(b))
    *_, known = x
    return y, x[:-1] if known > 0 else y


def narx(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Lin et al. (1996), equations (1) to (4): a layer of neurons over inputs and outputs, then a linear one.

    x is the input u, the true output, and whether later nodes see that or the computed one.
    """
    W_0, b = cell.input.weight, cell.input.bias
    V, c = cell.output.weight, cell.output.bias
    D, Y = W_0.shape[1], len(V)
    of_inputs, of_outputs = cell.past.weight.split([D * cell.input_lags, Y * cell.output_lags], dim=1)
    W, U = of_inputs.split(D, dim=1), of_outputs.split(Y, dim=1)
    u, true, known = x[:D], x[D : D + Y], x[D + Y]
    a = W_0 @ u + b
    for k, (_, seen_before, u_before) in inbox:
        if k < len(W):
            a = a + W[k] @ u_before
        if k < len(U):
            a = a + U[k] @ seen_before
    y = V @ tanh(a) + c
    return y, true if known > 0 else y, u

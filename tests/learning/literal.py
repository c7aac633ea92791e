"""Rules written down literally, for one chain: whole Jacobians by autograd, one step after the other, no engine."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.functional import jacobian

Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # (theta [P], x [D], state [K]) -> state [K]


def srn(hidden: int, inputs: int) -> Step:
    """tanh(W x + U h + b), theta = (U, W, b) as in `flat`."""

    def step(theta: Tensor, x: Tensor, h: Tensor) -> Tensor:
        W, b, U = theta.split([hidden * inputs, hidden, hidden * hidden])
        return torch.tanh(W.view(hidden, inputs) @ x + U.view(hidden, hidden) @ h + b)

    return step


def lstm(hidden: int, inputs: int) -> Step:
    """The state is (h, c)."""

    def step(theta: Tensor, x: Tensor, state: Tensor) -> Tensor:
        h, c = state.chunk(2)
        W, b, U = theta.split([4 * hidden * inputs, 4 * hidden, 4 * hidden * hidden])
        i, f, g, o = (W.view(4 * hidden, inputs) @ x + U.view(4 * hidden, hidden) @ h + b).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.cat([torch.sigmoid(o) * torch.tanh(c), c])

    return step


def flat(tensors) -> Tensor:
    """`[P]`."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def sensitivities(step: Step, thetas: list[Tensor], xs: Tensor, width: int):
    """S_t = J_t S_{t-1} + I_t for each t, `[K, P]`, with the weights that each step had, and the states."""
    state, S = xs.new_zeros(width), xs.new_zeros(width, len(thetas[0]))
    found = []
    for theta, x in zip(thetas, xs, strict=True):
        of_theta, of_state = jacobian(lambda t, s, x=x: step(t, x, s), (theta, state))
        S = of_state @ S + of_theta
        state = step(theta, x, state)
        found.append((state, S))
    return found

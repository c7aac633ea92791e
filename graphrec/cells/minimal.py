"""Gated units whose gates read the input alone, so that the recurrence is linear."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..structure.checks import as_widths
from .activation import Activation, activation_function
from .affine import AffineCell


class Minimal(AffineCell):
    """What `MinGRUCell` and `MinLSTMCell` have in common: all gates are projected, once for all nodes."""

    elementwise = True

    def __init__(self, inputs: int, hidden: int, gates: int, activation: str | Activation) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.activation: Activation = activation_function(activation)
        self.input: nn.Linear = nn.Linear(inputs, (gates + 1) * hidden)  # W and b of the gates and of h~

    def factor(self, x: Tensor) -> Tensor:
        """How much of h_{t-1} is kept."""
        return x[:, : self.hidden]

    def term(self, x: Tensor) -> Tensor:
        """The candidate, as far as it enters."""
        return x[:, self.hidden :]


class MinGRUCell(Minimal):
    """The minimal gated recurrent unit.

        z_t  = sigmoid(W_z x_t + b_z)
        h~_t = g(W_h x_t + b_h)
        h_t  = (1 - z_t) * h_{t-1} + z_t * h~_t

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, *Were RNNs all we needed?*, arXiv 2410.01201 (2024), algorithms 1
    (g linear) and 5 (g positive). Where several edges enter a node, h_{t-1} is the sum of its sources' states.

    Args:
        inputs: D.
        hidden: H.
        activation: g: `"linear"`, the paper's first form, whose candidates may have either sign; `"positive"`, the g
            of its second form, `z + 0.5` from zero on and a sigmoid below, which keeps states positive for scans in
            log-space (here nothing needs that); `"tanh"`, …, or an elementwise function.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "linear") -> None:
        super().__init__(inputs, hidden, 1, activation)

    def project(self, x: Tensor) -> Tensor:
        """1 - z, and z * h~."""
        z, candidate = self.input(x).chunk(2, dim=-1)
        # (1 - sigmoid(z) would be zero from z = 17 on, in float32.)
        return torch.cat([torch.sigmoid(-z), torch.sigmoid(z) * self.activation(candidate)], dim=-1)


class MinLSTMCell(Minimal):
    """The minimal LSTM, with gates that add up to one.

        f_t  = sigmoid(W_f x_t + b_f)
        i_t  = sigmoid(W_i x_t + b_i)
        h~_t = g(W_h x_t + b_h)
        h_t  = f_t / (f_t + i_t) * h_{t-1} + i_t / (f_t + i_t) * h~_t

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, *Were RNNs all we needed?*, arXiv 2410.01201 (2024), algorithms 3
    (g linear) and 7 (g positive), "length independence scaling". Where several edges enter a node, h_{t-1} is the sum
    of its sources' states.

    Args:
        inputs: D.
        hidden: H.
        activation: g, as in `MinGRUCell`.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "linear") -> None:
        super().__init__(inputs, hidden, 2, activation)

    def project(self, x: Tensor) -> Tensor:
        """f / (f + i), and i / (f + i) * h~."""
        f, i, candidate = self.input(x).chunk(3, dim=-1)
        # f / (f + i) = sigmoid(log f - log i), which is right where both gates are so small that they are zero.
        keep = F.logsigmoid(f) - F.logsigmoid(i)
        return torch.cat([torch.sigmoid(keep), torch.sigmoid(-keep) * self.activation(candidate)], dim=-1)

"""Cells whose units do not see each other: recurrences with diagonal Jacobians, for which RTRL is cheap."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_list, as_number, as_widths
from .activation import Activation, activation_function
from .affine import AffineCell
from .lstm import LSTMState, set_forget_bias


class HiddenState(NamedTuple):
    """The hidden units."""

    h: Tensor


class DiagonalSRNCell(Cell):
    """A simple recurrent network whose units see the input and themselves, and no other unit.

        h_t = f(W x_t + u * h_{t-1} + b)

    Mozer, *A focused backpropagation algorithm for temporal pattern recognition*, Complex Systems 3 (1989); as IndRNN
    in Li, Li, Cook, Zhu & Gao, *Independently recurrent neural network*, CVPR 2018, equation (2).

    Args:
        inputs: D.
        hidden: H.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, `"linear"`, or an elementwise function.

    Shapes: x `[N, D]`; State `h` `[N, H]`. A node has one predecessor at most (slot 0).
    """

    State: Any = HiddenState
    arity = 1
    reads_edges: Any = ()
    elementwise = True

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "tanh") -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.activation: Activation = activation_function(activation)
        self.input: nn.Linear = nn.Linear(inputs, hidden)  # W, b
        self.recurrent: nn.Parameter = nn.Parameter(torch.empty(hidden))  # u
        self.init_parameters()

    def init_parameters(self) -> None:
        """u between -1 and 1."""
        nn.init.uniform_(self.recurrent, -1, 1)

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> HiddenState:
        """One step."""
        return self.State(self.activation(x + self.recurrent * inbox.sum(inbox.h)))


class LRUCell(AffineCell):
    """The linear recurrent unit: independent complex units that rotate and decay.

        h_t = lambda * h_{t-1} + gamma * (B x_t)
        lambda = exp(-exp(nu) + i exp(theta)),  |lambda| < 1

    Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De, *Resurrecting recurrent neural networks for long sequences*,
    ICML 2023, equations (5) to (8), without the skip connection; Re(C h_t) is here a linear layer on h, which has
    the real and the imaginary parts.

    Args:
        inputs: D.
        hidden: H, the number of complex units.
        radii: the bounds of the initial |lambda|, which is uniform over the area of the ring.
        phase: the upper bound of the initial angle of lambda.

    Shapes: x `[N, D]`; State `h` `[N, 2 H]`, real parts and then imaginary ones. A node has one predecessor at most
    (slot 0).
    """

    nu: nn.Parameter
    theta: nn.Parameter
    log_gamma: nn.Parameter

    radii: tuple[float, float]
    phase: float

    State: Any = HiddenState
    arity = 1
    elementwise = True

    def __init__(
        self,
        inputs: int,
        hidden: int,
        radii: tuple[float, float] = (0.0, 1.0),
        phase: float = 2 * math.pi,
    ) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        ring = [as_number("radii", radius) for radius in as_list("radii", radii)]
        if len(ring) != 2 or not 0 <= ring[0] < ring[1] <= 1:
            raise ValueError(f"radii must be two numbers, 0 <= low < high <= 1, got {radii}.")
        if not as_number("phase", phase) >= 0:
            raise ValueError(f"phase must be an angle from 0 on, got {phase}.")
        self.radii, self.phase = (ring[0], ring[1]), phase
        self.input: nn.Linear = nn.Linear(inputs, 2 * hidden, bias=False)  # B, real and imaginary parts
        self.nu, self.theta, self.log_gamma = (nn.Parameter(torch.empty(hidden)) for _ in range(3))
        self.init_parameters()

    def init_parameters(self) -> None:
        """lambda on a ring, gamma for states of the input's size, B with variance 1 / (2 D)."""
        low, high = self.radii
        with torch.no_grad():
            squared = torch.empty_like(self.nu).uniform_(low**2, high**2).clamp(1e-6, 1 - 1e-6)
            self.nu.copy_((-0.5 * squared.log()).log())
            self.theta.copy_((self.phase * torch.rand_like(self.theta)).clamp(min=1e-6).log())
            self.log_gamma.copy_(0.5 * (1 - squared).log())
            self.input.weight.normal_(0, (2 * (self.inputs or 1)) ** -0.5)

    def shapes(self) -> list[tuple[int, ...]]:
        """Real and imaginary parts."""
        return [(2 * self.hidden,)]

    def project(self, x: Tensor) -> Tensor:
        """gamma * (B x)."""
        return self.log_gamma.exp().repeat(2) * self.input(x)

    def factor(self, x: Tensor) -> Tensor:
        """lambda, a rotation of (real, imaginary) that all nodes have in common."""
        radius, angle = torch.exp(-self.nu.exp()), self.theta.exp()
        re, im = radius * torch.cos(angle), radius * torch.sin(angle)
        return torch.stack([re, -im, im, re]).view(1, 2, 2, self.hidden)

    def term(self, x: Tensor) -> Tensor:
        """gamma * (B x)."""
        return x


class ElementwiseLSTMCell(Cell):
    """Long short-term memory whose gates read only their own hidden unit: U is a vector for each gate.

        i_t = sigmoid(W_i x_t + u_i * h_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + u_f * h_{t-1} + b_f)
        g_t = tanh(W_g x_t + u_g * h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + u_o * h_{t-1} + b_o)
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    After Irie, Gopalakrishnan & Schmidhuber, *Exploring the promise and limits of real-time recurrent learning*, ICLR
    2024, section 3, who make the recurrence elementwise so that RTRL scales (with fewer gates). With a diagonal U it
    is `LSTMCell`.

    Args:
        inputs: D.
        hidden: H.
        forget_bias: as in `LSTMCell`.

    Shapes: as `LSTMCell`.
    """

    State: Any = LSTMState
    arity = 1
    reads_edges: Any = ()
    elementwise = True

    def __init__(self, inputs: int, hidden: int, *, forget_bias: float | None = None) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input: nn.Linear = nn.Linear(inputs, 4 * hidden)  # W and b of i, f, g, o
        self.recurrent: nn.Parameter = nn.Parameter(torch.empty(4 * hidden))  # u of i, f, g, o
        self.forget_bias = forget_bias
        self.init_parameters()

    def init_parameters(self) -> None:
        """u between -1 and 1, and b_f."""
        nn.init.uniform_(self.recurrent, -1, 1)
        set_forget_bias(self.input, self.hidden, self.forget_bias)

    def project(self, x: Tensor) -> Tensor:
        """W x + b of all gates."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> LSTMState:
        """One step."""
        i, f, g, o = (x + self.recurrent * inbox.sum(inbox.h).repeat(1, 4)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * inbox.sum(inbox.c) + torch.sigmoid(i) * torch.tanh(g)
        return self.State(torch.sigmoid(o) * torch.tanh(c), c)

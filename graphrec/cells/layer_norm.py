"""Recurrent cells with layer normalisation."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_widths
from .activation import Activation, activation_function
from .gru import GRUState
from .lstm import LSTMState, set_forget_bias


class LayerNormSRNCell(Cell):
    """The simple recurrent network with layer normalisation.

        h_t = f(LN(W x_t + U h_{t-1}; g, b)),  LN(a; g, b) = g * (a - mean(a)) / std(a) + b

    Ba, Kiros & Hinton, *Layer normalization* (2016), equation (4).

    Args:
        inputs: D.
        hidden: H.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, or a function.

    Shapes: x `[N, D]`; State `h` `[N, H]`. A node has one predecessor at most (slot 0).
    """

    reads_edges: Any = ()

    class State(NamedTuple):
        """The hidden units."""

        h: Tensor

    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "tanh") -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.activation: Activation = activation_function(activation)
        self.input: nn.Linear = nn.Linear(inputs, hidden, bias=False)  # W
        self.recurrent: nn.Linear = nn.Linear(hidden, hidden, bias=False)  # U
        self.norm: nn.LayerNorm = nn.LayerNorm(self.hidden)  # g, b

    def project(self, x: Tensor) -> Tensor:
        """W x."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        return self.State(self.activation(self.norm(x + self.recurrent(inbox.sum(inbox.h)))))


class LayerNormLSTMCell(Cell):
    """Long short-term memory with layer normalisation of both products and of the memory cell.

        (i, f, g, o) = LN(U h_{t-1}; alpha_1, beta_1) + LN(W x_t; alpha_2, beta_2) + b         (20)
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)                                     (21)
        h_t = sigmoid(o) * tanh(LN(c_t; alpha_3, beta_3))                                     (22)

    Ba, Kiros & Hinton, *Layer normalization* (2016), supplementary material, equations (20) to (22).

    Args:
        inputs: D.
        hidden: H.
        forget_bias: the initial value that is added to f (in b).

    Shapes: x `[N, D]`; State `h`, `c` `[N, H]` each. A node has one predecessor at most (slot 0).
    """

    State = LSTMState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)
    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int, *, forget_bias: float | None = None) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input: nn.Linear = nn.Linear(inputs, 4 * hidden, bias=False)  # W of i, f, g, o
        self.recurrent: nn.Linear = nn.Linear(hidden, 4 * hidden, bias=False)  # U of i, f, g, o
        self.norm_recurrent: nn.LayerNorm = nn.LayerNorm(4 * self.hidden)  # alpha_1, beta_1
        self.norm_input: nn.LayerNorm = nn.LayerNorm(4 * self.hidden)  # alpha_2, beta_2 + b
        self.norm_memory: nn.LayerNorm = nn.LayerNorm(self.hidden)  # alpha_3, beta_3
        self.forget_bias = forget_bias
        self.init_parameters()

    def init_parameters(self) -> None:
        """b_f."""
        set_forget_bias(self.norm_input, self.hidden, self.forget_bias)

    def project(self, x: Tensor) -> Tensor:
        """LN(W x) + b."""
        return self.norm_input(self.input(x))

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> LSTMState:
        """One step."""
        i, f, g, o = (x + self.norm_recurrent(self.recurrent(inbox.sum(inbox.h)))).chunk(4, dim=-1)
        c = torch.sigmoid(f) * inbox.sum(inbox.c) + torch.sigmoid(i) * torch.tanh(g)
        return self.State(torch.sigmoid(o) * torch.tanh(self.norm_memory(c)), c)


class LayerNormGRUCell(Cell):
    """The gated recurrent unit with layer normalisation of both products.

        (r, z) = LN(U h_{t-1}; alpha_1, beta_1) + LN(W x_t; alpha_2, beta_2)                   (26)
        n = tanh(LN(W_n x_t; alpha_3, beta_3) + sigmoid(r) * LN(U_n h_{t-1}; alpha_4, beta_4))  (27)
        h_t = (1 - sigmoid(z)) * h_{t-1} + sigmoid(z) * n                                     (28)

    Ba, Kiros & Hinton, *Layer normalization* (2016), supplementary material, equations (26) to (28). Note that z
    weighs the new state, not the previous one as in `GRUCell`.

    Args:
        inputs: D.
        hidden: H.

    Shapes: x `[N, D]`; State `h` `[N, H]`. A node has one predecessor at most (slot 0).
    """

    State = GRUState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)
    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input: nn.Linear = nn.Linear(inputs, 3 * hidden, bias=False)  # W of r, z, n
        self.recurrent: nn.Linear = nn.Linear(hidden, 3 * hidden, bias=False)  # U of r, z, n
        self.norm_recurrent: nn.LayerNorm = nn.LayerNorm(2 * self.hidden)  # alpha_1, beta_1
        self.norm_input: nn.LayerNorm = nn.LayerNorm(2 * self.hidden)  # alpha_2, beta_2
        self.norm_candidate: nn.LayerNorm = nn.LayerNorm(self.hidden)  # alpha_3, beta_3
        self.norm_reset: nn.LayerNorm = nn.LayerNorm(self.hidden)  # alpha_4, beta_4

    def project(self, x: Tensor) -> Tensor:
        """LN(W x) of both gates and LN(W_n x)."""
        rz, n = self.input(x).split([2 * self.hidden, self.hidden], dim=-1)
        return torch.cat([self.norm_input(rz), self.norm_candidate(n)], dim=-1)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> GRUState:
        """One step."""
        previous = inbox.sum(inbox.h)
        x_rz, x_n = x.split([2 * self.hidden, self.hidden], dim=-1)
        u_rz, u_n = self.recurrent(previous).split([2 * self.hidden, self.hidden], dim=-1)
        r, z = torch.sigmoid(self.norm_recurrent(u_rz) + x_rz).chunk(2, dim=-1)
        n = torch.tanh(x_n + r * self.norm_reset(u_n))
        return self.State((1 - z) * previous + z * n)

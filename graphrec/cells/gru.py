"""Gated recurrent units: one state, two gates."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Fused, Inbox
from ..structure.checks import as_widths
from .biases import recurrent_layers
from .plain import is_plain


class GRUState(NamedTuple):
    """The hidden state."""

    h: Tensor


def gated(x: Tensor, u: Tensor, previous: Tensor) -> Tensor:
    """`[n, H]`: the state that follows `previous`, given the two products `[n, 3H]` for r, z and n; see `GRUCell`."""
    x_r, x_z, x_n = x.chunk(3, dim=-1)
    u_r, u_z, u_n = u.chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + u_r), torch.sigmoid(x_z + u_z)
    n = torch.tanh(x_n + r * u_n)
    return n + z * (previous - n)  # (1 - z) n + z h


class GRUCell(Cell):
    """The gated recurrent unit that resets after the matrix product, as `torch.nn.GRU` does.

        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + d_n))
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    Cho et al., *Learning phrase representations using RNN encoder-decoder*, EMNLP 2014, equations (5) to (8), with
    the reset after the product, as cuDNN and torch compute it. `TextbookGRUCell` resets first.

    Args:
        inputs: D.
        hidden: H.
        biases: 2, as in torch; 1, without d_n; 0, none.

    Shapes: x `[N, D]`; State `h` `[N, H]`. A node has one predecessor at most (slot 0).
    """

    input: nn.Linear
    recurrent: nn.Linear

    State = GRUState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)
    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int, biases: int = 2) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input, self.recurrent = recurrent_layers(inputs, hidden, 3, biases)  # W and U of r, z, n

    def project(self, x: Tensor) -> Tensor:
        """W x + b of both gates and of the candidate."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> GRUState:
        """One step."""
        previous = inbox.sum(inbox.h)
        return self.State(gated(x, self.recurrent(previous), previous))

    def fused(self) -> Fused | None:
        """On chains, torch's gru."""
        if not is_plain(self, GRUCell):
            return None
        return Fused("gru", self.input.weight, self.recurrent.weight, self.input.bias, self.recurrent.bias)


class TextbookGRUCell(Cell):
    """The gated recurrent unit as published: the state is reset before the matrix product.

        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)               (5)
        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)               (6)
        n_t = tanh(W_n x_t + U_n (r_t * h_{t-1}) + b_n)          (8)
        h_t = z_t * h_{t-1} + (1 - z_t) * n_t                    (7)

    Cho et al., *Learning phrase representations using RNN encoder-decoder*, EMNLP 2014, equations (5) to (8). With
    r = 1 and z = 0 it is the simple recurrent network; on trees it is `TreeGRUCell`.

    Args:
        inputs: D.
        hidden: H.

    Shapes: as `GRUCell`.
    """

    State = GRUState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("gates", "candidate")
    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input: nn.Linear = nn.Linear(inputs, 3 * hidden)  # W and b of r, z, n
        self.gates: nn.Linear = nn.Linear(hidden, 2 * hidden, bias=False)  # U_r, U_z
        self.candidate: nn.Linear = nn.Linear(hidden, hidden, bias=False)  # U_n

    def project(self, x: Tensor) -> Tensor:
        """W x + b of both gates and of the candidate."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> GRUState:
        """One step."""
        previous = inbox.sum(inbox.h)
        x_rz, x_n = x.split([2 * self.hidden, self.hidden], dim=-1)
        r, z = torch.sigmoid(x_rz + self.gates(previous)).chunk(2, dim=-1)
        n = torch.tanh(x_n + self.candidate(r * previous))
        return self.State(z * previous + (1 - z) * n)

"""Delay networks: nodes that see the inputs, or the outputs, of several earlier nodes.

Each slot is a lag; `graphrec.lagged` makes the structure. The initial state replaces a missing past; its default is 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_count, as_widths
from .activation import Activation, activation_function


class TDNNCell(Cell):
    """A layer of a time-delay neural network: a tapped delay line of inputs, and a neuron over it.

        h_t = f(W_0 x_t + sum_k W_k x_{t - lag k} + b)

    Waibel, Hanazawa, Hinton, Shikano & Lang, *Phoneme recognition using time-delay neural networks*, IEEE Trans.
    Acoustics, Speech, and Signal Processing 37 (1989), section II. With lags 1 … K - 1 it is the causal
    convolution of width K, `torch.nn.Conv1d` over the input padded with K - 1 zeros on the left.

    Nothing here depends on h of earlier nodes, so that one sync round whose round 0 is u = x computes the same as
    async mode node by node; the model `TDNN` uses this.

    Args:
        inputs: D.
        hidden: H.
        lags: how many slots a node has, besides its own input.
        activation: f: `"relu"`, `"tanh"`, `"logistic"`, `"linear"`, or a function.

    Raises:
        ValueError: fewer than one lag.

    Shapes: x `[N, D]`; State `h` `[N, H]`, `u` `[N, D]`, the input, for later nodes to read.
    """

    reads_edges: Any = ()

    class State(NamedTuple):
        """The layer's output, and its input."""

        h: Tensor
        u: Tensor

    def __init__(self, inputs: int, hidden: int, lags: int, activation: str | Activation = "tanh") -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        as_count("lags", lags, 1)
        self.seen = inputs
        self.arity: int = lags
        self.activation: Activation = activation_function(activation)
        self.input: nn.Linear = nn.Linear(inputs, hidden)  # W_0, b
        self.past: nn.Linear = nn.Linear(lags * inputs, hidden, bias=False)  # W_1 … W_lags, side by side

    def shapes(self) -> list[tuple[int, ...]]:
        """h and u."""
        return [(self.hidden,), (self.seen,)]

    def project(self, x: Tensor) -> Tensor:
        """W_0 x + b, and x."""
        return torch.cat([self.input(x), x], dim=-1)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        now, u = x.split([self.hidden, self.seen], dim=-1)
        earlier = inbox.by_slot(inbox.u, self.arity).flatten(1)
        return self.State(self.activation(now + self.past(earlier)), u)


class ARCell(Cell):
    """The autoregressive process: an output that is a linear function of its own past.

        y_t = b + sum_{k=1..K} A_k y_{t-k}

    Yule, *On a method of investigating periodicities in disturbed series*, Phil. Trans. R. Soc. A 226 (1927).

    Args:
        outputs: the width Y of the series.
        lags: K.

    Raises:
        ValueError: fewer than one lag.

    Shapes: x `[N, Y + 1]`, the true y_t, and 1 where later nodes read it or 0 where they read the
    computed one; State `y` `[N, Y]`, computed, and `seen` `[N, Y]`, what later nodes read.
    """

    reads_edges: Any = ()

    class State(NamedTuple):
        """The computed output, and the one that later nodes read."""

        y: Tensor
        seen: Tensor

    def __init__(self, outputs: int, lags: int) -> None:
        super().__init__(as_count("outputs", outputs, 1) + 1, outputs)
        as_count("lags", lags, 1)
        self.arity: int = lags
        self.past: nn.Linear = nn.Linear(lags * outputs, outputs)  # A_1 … A_K side by side, b

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        true, known = x.split([self.hidden, 1], dim=-1)
        y = self.past(inbox.by_slot(inbox.seen, self.arity).flatten(1))
        return self.State(y, torch.where(known > 0, true, y))


class NARXCell(Cell):
    """Nonlinear autoregression with exogenous inputs: a neuron layer over lags of inputs and outputs.

        h_t = f(W_0 x_t + sum_{k=1..K_x} W_k x_{t-k} + sum_{k=1..K_y} U_k y_{t-k} + b)
        y_t = V h_t + c

    Lin, Horne, Tiňo & Giles, *Learning long-term dependencies in NARX recurrent neural networks*, IEEE Trans.
    Neural Networks 7 (1996), equations (1) to (4). The choice of y_{t-k}, the true output (series-parallel) or
    the network's own (parallel), is after Narendra & Parthasarathy, *Identification and control of dynamical
    systems using neural networks*, IEEE Trans. Neural Networks 1 (1990), section V; see the model `NARX`.

    Args:
        inputs: D, the width of the exogenous input.
        hidden: H.
        outputs: the width Y of the output.
        input_lags, output_lags: K_x (may be 0) and K_y. A node has as many slots as the larger of the two.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, `"linear"`, or a function.

    Raises:
        ValueError: input_lags below 0, output_lags below 1.

    Shapes: x `[N, D + Y + 1]`: x_t, the true y_t, and 1 where later nodes read that or 0 where they
    read the computed one; State `y` `[N, Y]`, computed, `seen` `[N, Y]`, what later nodes read, `u` `[N, D]`, x_t.
    """

    exogenous: int
    outputs: int
    input_lags: int
    output_lags: int

    reads_edges: Any = ()

    class State(NamedTuple):
        """The computed output, the output that later nodes read, and the exogenous input."""

        y: Tensor
        seen: Tensor
        u: Tensor

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        input_lags: int,
        output_lags: int,
        activation: str | Activation = "tanh",
    ) -> None:
        super().__init__(as_count("inputs", inputs) + as_count("outputs", outputs, 1) + 1, hidden)
        as_count("input_lags", input_lags, 0)
        as_count("output_lags", output_lags, 1)
        self.exogenous, self.outputs = inputs, outputs
        self.input_lags, self.output_lags = input_lags, output_lags
        self.arity: int = max(input_lags, output_lags)
        self.activation: Activation = activation_function(activation)
        self.input: nn.Linear = nn.Linear(inputs, hidden)  # W_0, b
        width = input_lags * inputs + output_lags * outputs
        self.past: nn.Linear = nn.Linear(width, hidden, bias=False)  # W_1 … W_Kx, U_1 … U_Ky, side by side
        self.output: nn.Linear = nn.Linear(hidden, outputs)  # V, c

    def shapes(self) -> list[tuple[int, ...]]:
        """y, seen and u."""
        return [(self.outputs,), (self.outputs,), (self.exogenous,)]

    def project(self, x: Tensor) -> Tensor:
        """W_0 x_t + b, and the given output with its mark."""
        return torch.cat([self.input(x[:, : self.exogenous]), x], dim=-1)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        now, u, true, known = x.split([self.hidden, self.exogenous, self.outputs, 1], dim=-1)
        inputs = inbox.by_slot(inbox.u, self.arity)[:, : self.input_lags].flatten(1)
        outputs = inbox.by_slot(inbox.seen, self.arity)[:, : self.output_lags].flatten(1)
        h = self.activation(now + self.past(torch.cat([inputs, outputs], dim=1)))
        y = self.output(h)
        return self.State(y, torch.where(known > 0, true, y), u)

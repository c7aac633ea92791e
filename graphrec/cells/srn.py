"""The simple recurrent networks: of hidden units, and of outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Fused, Inbox
from ..structure.checks import as_count, as_widths
from .activation import Activation, activation_function
from .biases import recurrent_layers
from .plain import is_plain


class SRNCell(Cell):
    """Elman's simple recurrent network: the hidden units see the input and their own previous values.

        h_t = f(W x_t + U h_{t-1} + b)

    The network of Elman, *Finding structure in time*, Cognitive Science 14 (1990), figure 2, whose context units
    hold the hidden units' previous values; f is logistic there, and tanh by default here, as in `torch.nn.RNN`.

    Args:
        inputs: D.
        hidden: H.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, or a function.
        biases: 0, 1, or 2 as in torch (which adds them).

    Shapes: x `[N, D]`; State `h` `[N, H]`. A node has one predecessor at most (slot 0).
    """

    input: nn.Linear
    recurrent: nn.Linear

    reads_edges: Any = ()

    class State(NamedTuple):
        """The hidden units."""

        h: Tensor

    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)

    def __init__(
        self, inputs: int, hidden: int, activation: str | Activation = "tanh", biases: int = 1
    ) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.activation: Activation = activation_function(activation)
        self.input, self.recurrent = recurrent_layers(inputs, hidden, 1, biases)  # W and b, U

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        return self.State(self.activation(x + self.recurrent(inbox.sum(inbox.h))))

    def fused(self) -> Fused | None:
        """On chains, torch's rnn_tanh or rnn_relu."""
        operators = {torch.tanh: "rnn_tanh", torch.relu: "rnn_relu"}
        if not is_plain(self, SRNCell) or self.activation not in operators:
            return None
        operator = operators[self.activation]
        return Fused(operator, self.input.weight, self.recurrent.weight, self.input.bias, self.recurrent.bias)


class JordanCell(Cell):
    """Jordan's network: the hidden units see the input and the previous *output*.

        h_t = f(W x_t + U y_{t-1} + b)
        y_t = g(V h_t + c)

    Jordan, *Serial order: a parallel distributed processing approach*, ICS report 8604, UC San Diego (1986), figure
    3, whose plan and state units are x and y here (without the state units' own decay).

    Args:
        inputs: D.
        hidden: H.
        outputs: the width Y of the output.
        activation, output: f and g: `"tanh"`, `"logistic"`, `"relu"`, `"linear"`, or a function.

    Shapes: x `[N, D]`; State `h` `[N, H]`, `y` `[N, Y]`. A node has one predecessor at most (slot 0). An initial
    state has both, of which only y matters.
    """

    activation: Activation
    output_activation: Activation

    reads_edges: Any = ()

    class State(NamedTuple):
        """The hidden units and the output."""

        h: Tensor
        y: Tensor

    arity = 1

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        activation: str | Activation = "tanh",
        output: str | Activation = "linear",
    ) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.outputs: int = as_count("outputs", outputs, 1)
        self.activation, self.output_activation = activation_function(activation), activation_function(output)
        self.input: nn.Linear = nn.Linear(inputs, hidden)  # W, b
        self.feedback: nn.Linear = nn.Linear(outputs, hidden, bias=False)  # U
        self.output: nn.Linear = nn.Linear(hidden, outputs)  # V, c

    def shapes(self) -> list[tuple[int, ...]]:
        """h and y."""
        return [(self.hidden,), (self.outputs,)]

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        h = self.activation(x + self.feedback(inbox.sum(inbox.y)))
        return self.State(h, self.output_activation(self.output(h)))

"""The simple recurrent network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from .activation import Activation, activation_function
from .cell import Cell

if TYPE_CHECKING:
    from ..engine.inbox import Inbox


class SRNCell(Cell):
    """Elman's simple recurrent network: the hidden units see the input and their own values one step ago.

    h_t = f(W x_t + U h_{t-1} + b)

    The network of Elman, *Finding structure in time*, Cognitive Science 14 (1990), figure 2, whose context units
    hold the hidden units' last values; f is logistic there, and tanh by default here, as in `torch.nn.RNN`
    (whose two biases appear as their sum only).

    Args:
        inputs: D.
        hidden: H.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, or a function.

    Shapes: x `[N, D]`; State `h` `[N, H]`. A node has one predecessor at most (slot 0).
    """

    class State(NamedTuple):
        """The hidden units."""

        h: Tensor

    arity = 1

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "tanh") -> None:
        super().__init__(inputs, hidden)
        self.activation = activation_function(activation)
        self.input = nn.Linear(inputs, hidden)  # W, b
        self.recurrent = nn.Linear(hidden, hidden, bias=False)  # U

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        return self.State(self.activation(x + self.recurrent(inbox.sum(inbox.h))))

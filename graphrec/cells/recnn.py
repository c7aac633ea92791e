"""Recursive networks with a weight per child."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_count, as_widths
from .activation import Activation, activation_function


class RecNNCell(Cell):
    """The recursive neural network: a weight matrix for each slot.

        h_v = f(W x_v + sum_k U_k h_{child k of v} + b)

    The generalised recursive neuron of Sperduti & Starita, *Supervised neural networks for the classification of
    structures*, IEEE Trans. Neural Networks 8 (1997), section III; with two slots and no x at inner nodes the
    composition of Socher et al. (2013), section 4.1, p = f(W [b; c]). With one slot it is the SRN.

    Args:
        inputs: D.
        hidden: H.
        arity: how many slots a node has; an empty one counts as a zero state.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, or a function.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    reads_edges: Any = ()

    class State(NamedTuple):
        """The node's vector."""

        h: Tensor

    def __init__(
        self, inputs: int, hidden: int, arity: int = 2, activation: str | Activation = "tanh"
    ) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.arity: int = as_count("arity", arity, 1)
        self.activation: Activation = activation_function(activation)
        self.input: nn.Linear = nn.Linear(inputs, hidden)  # W, b
        self.recurrent: nn.Linear = nn.Linear(
            arity * hidden, hidden, bias=False
        )  # U_1 … U_arity, side by side

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        children = inbox.slots(self.arity).flatten(1)
        return self.State(self.activation(x + self.recurrent(children)))


class RNTNCell(Cell):
    """The recursive neural tensor network: children also meet each other, through a tensor.

        h_v = f([a; b]^T V^[1:H] [a; b] + U [a; b] + W x_v + bias),  a and b the states of the two children

    Socher, Perelygin, Wu, Chuang, Manning, Ng & Potts, *Recursive deep models for semantic compositionality over
    a sentiment treebank*, EMNLP 2013, section 4.3 (there without x and bias at inner nodes: give x = 0 there).
    A missing child counts as a zero state, so that a leaf is f(W x + bias).

    Args:
        inputs: D.
        hidden: H. The tensor has 4 H^3 entries.
        activation: f: `"tanh"` (as in the paper), `"logistic"`, `"relu"`, or a function.

    Shapes: x `[N, D]`; State `h` `[N, H]`. A node has two slots.
    """

    reads_edges: Any = ()

    class State(NamedTuple):
        """The node's vector."""

        h: Tensor

    arity = 2

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "tanh") -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.activation: Activation = activation_function(activation)
        self.input: nn.Linear = nn.Linear(inputs, hidden)  # W, bias
        self.recurrent: nn.Linear = nn.Linear(2 * hidden, hidden, bias=False)  # U
        self.tensor: nn.Linear = nn.Linear(
            2 * hidden, hidden * 2 * hidden, bias=False
        )  # V, its H slices stacked

    def project(self, x: Tensor) -> Tensor:
        """W x + bias."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        ab = inbox.slots(2).flatten(1)  # [n, 2H]
        v_ab = self.tensor(ab).unflatten(1, (self.hidden, 2 * self.hidden))  # [n, H, 2H]: V^[k] [a; b]
        bilinear = (v_ab * ab.unsqueeze(1)).sum(2)
        return self.State(self.activation(bilinear + self.recurrent(ab) + x))

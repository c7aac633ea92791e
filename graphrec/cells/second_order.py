"""The second-order recurrent network."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_widths
from .activation import Activation, activation_function


class SecondOrderCell(Cell):
    """The second-order network, whose neurons weigh products of a state and an input.

        v_k(n)   = b_k + sum_ij w_kij x_i(n) u_j(n)
        x_k(n+1) = f(v_k(n)),  f logistic

    Giles et al., *Learning and extracting finite state automata with second-order recurrent neural networks*,
    Neural Computation 4 (1992), equation (1); with the bias of Haykin, *Neural Networks and Learning Machines*
    (2009), equations (15.8) and (15.9). With one-hot states and inputs a large w_kij means that the automaton goes
    from state i on symbol j to state k: delta(x_i, u_j) = x_k. Node n has the input u(n), and its state is
    x(n+1).

    Give the run an initial state (the start state, e.g. `[1, 0, …, 0]`): without one the first input meets a zero
    state and is lost. And begin training with larger weights than linear layers have, e.g. `nn.init.normal_(
    cell.pairs.weight)` (the paper draws them from -1 to 1): with small ones all neurons stay at about 1/2.

    Args:
        inputs: D, how many u_j there are.
        hidden: H, how many x_i; there are H * H * D weights.
        activation: f: `"logistic"` (as in the paper), `"tanh"`, `"relu"`, or a function.

    Shapes: x `[N, D]`; State `h` `[N, H]`. A node has one predecessor at most (slot 0).
    """

    reads_edges: Any = ()

    class State(NamedTuple):
        """The state neurons."""

        h: Tensor

    arity = 1

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "logistic") -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.activation: Activation = activation_function(activation)
        self.pairs: nn.Linear = nn.Linear(hidden * inputs, hidden)  # w[k, i * D + j], b

    @property
    def weight(self) -> Tensor:
        """w, `[H, H, D]`: to state k, from state i, on input j."""
        return self.pairs.weight.unflatten(1, (self.hidden, self.pairs.in_features // self.hidden))

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        previous = inbox.sum(inbox.h)
        products = previous.unsqueeze(2) * x.unsqueeze(1)  # [n, H, D]: x_i u_j
        return self.State(self.activation(self.pairs(products.flatten(1))))

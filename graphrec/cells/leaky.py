"""The leaky simple recurrent network."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..cell import Inbox
from ..structure.checks import as_number
from .activation import Activation
from .srn import SRNCell


class LeakySRNCell(SRNCell):
    """A simple recurrent network whose units move part of the way to their new value: leaky integrators.

        h_t = (1 - alpha) h_{t-1} + alpha f(W x_t + U h_{t-1} + b)

    Jaeger, Lukosevicius, Popovici & Siewert, *Optimization and applications of echo state networks with
    leaky-integrator neurons*, Neural Networks 20 (2007); Murray (2019), equation (1), with alpha = 1 / tau. With
    alpha = 1 it is the SRN.

    Args:
        inputs: D.
        hidden: H.
        alpha: in (0, 1].
        activation, biases: as in `SRNCell`.

    Raises:
        ValueError: another alpha.

    Shapes: as `SRNCell`.
    """

    reads_edges: Any = ()

    def __init__(
        self,
        inputs: int,
        hidden: int,
        alpha: float = 0.5,
        activation: str | Activation = "tanh",
        biases: int = 1,
    ) -> None:
        super().__init__(inputs, hidden, activation, biases)
        self.alpha = as_number("alpha", alpha)
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must lie in (0, 1], the part of the way that units move, got {alpha}.")

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step."""
        previous = inbox.sum(inbox.h)
        new = self.activation(x + self.recurrent(previous))
        return self.State((1 - self.alpha) * previous + self.alpha * new)

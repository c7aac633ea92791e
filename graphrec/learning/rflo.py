"""Random-feedback local online learning, and feedback through random weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cell import Cell
from ..cells import LeakySRNCell
from ..structure.checks import as_count, as_flag
from .eprop import EProp
from .reach import say_wrong
from .traced import Trace


class RFLO(EProp):
    """Random-feedback local online learning: for the leaky SRN, one trace for each weight that decays as the unit does.

        p_t = (1 - alpha) p_{t-1} + alpha f'(z_t) (input of the weight)_t
        dL/dtheta ~ sum_t (learning signal)_t p_t

    Murray, *Local online learning in recurrent networks with random feedback*, eLife 8 (2019), equations (3) and (4).
    The learning signal comes through the readout, by its own weights, or by random ones where the readout is a
    `FeedbackLinear`. Exact without recurrent weights and with the readout's own.

    Raises:
        ValueError: another cell than a `LeakySRNCell`.
    """

    def trace(self, cell: Cell, with_initial: bool = False) -> Trace:
        """The traces; see `ForwardRule.trace`."""
        if not isinstance(cell, LeakySRNCell):
            raise ValueError(
                f"RFLO is for leaky simple recurrent networks (graphrec.LeakySRNCell), got {type(cell).__name__}: "
                f"EProp() is the same idea for other cells."
            )
        return super().trace(cell, with_initial)


class FeedbackLinear(nn.Linear):
    """A linear layer whose input gets its gradient through fixed random weights instead of the layer's own.

        y = W h + b,   "dL/dh" = B' dL/dy

    Lillicrap, Cownden, Tweed & Akerman, *Random synaptic feedback weights support error backpropagation for deep
    learning*, Nature Communications 7 (2016). The gradients of W and b are the true ones.

    Shapes: as `nn.Linear`; `feedback` `[outputs, inputs]`.
    """

    feedback: Tensor

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        inputs, outputs = as_count("inputs", inputs, 1), as_count("outputs", outputs, 1)
        super().__init__(inputs, outputs, as_flag("bias", bias))
        self.register_buffer("feedback", torch.empty_like(self.weight).uniform_(-1, 1) / inputs**0.5)

    def forward(self, input: Tensor) -> Tensor:
        """y; the second term is zero, but has a gradient."""
        back = F.linear(input, self.feedback)
        if not torch.compiler.is_compiling():
            say_wrong(back, "biased: behind a FeedbackLinear, which sends errors back through random weights")
        return F.linear(input.detach(), self.weight, self.bias) + (back - back.detach())

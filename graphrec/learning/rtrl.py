"""Real-time recurrent learning: exact, and computed forwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..structure.checks import as_count
from .by_hand import derived, push
from .forward import ForwardRule
from .layout import Layout
from .refusals import check_size
from .step_function import LocalStep, StepFunction
from .traced import Trace

LIMIT = 10_000_000  # sensitivities of a node: 80 MB in float64


class RTRL(ForwardRule):
    """Real-time recurrent learning: the sensitivities S_v = dstate_v/dtheta travel along with the states.

        S_v = sum_(u in inbox of v) (dstate_v/dstate_u) S_u + (the step's own) dstate_v/dtheta
        dL/dtheta = sum_v dL/dstate_v S_v

    Williams & Zipser, *A learning algorithm for continually running fully recurrent neural networks*, Neural
    Computation 1 (1989), equations (1) to (8), for any cell, on chains, trees and DAGs; for the plain SRN, LSTM and
    GRU the step is derived by hand. Its gradients are those of BPTT, to round-off, and memory does not grow with the
    length of a stream.

    The cost: K P numbers for each node of a step, K being the width of the whole state and P the number of weights,
    and K^2 P operations for each edge: O(H^4) for an SRN of H units. A cell with an elementwise recurrence
    (`Cell.elementwise`, as in `LRUCell`, `DiagonalSRNCell`, `ElementwiseLSTMCell`) has one number for each weight and
    field instead, at the cost of the step itself times the width of a weight's row: the form that scales.

    Args:
        limit: how many sensitivities a node may have; more are refused.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        super().__init__()
        self.limit = as_count("limit", limit)

    def trace(self, cell: Cell, with_initial: bool = False) -> Trace:
        """The sensitivities; see `ForwardRule.trace`."""
        function = StepFunction(cell)
        layout = Layout(function, cell.hidden if cell.elementwise else 1, with_initial)
        check_size("RTRL", layout, self.limit)
        return Sensitivities(function, layout)

    def verdict(self, cell: Cell) -> str:
        """Exact."""
        return ""


class Sensitivities(Trace):
    """dstate/dtheta, `[F, U, Q]` for each node."""

    names: tuple[str, ...] = ("sensitivity",)

    def begin(self) -> tuple[Tensor, ...]:
        """The sensitivities of the initial state to itself."""
        return (self.layout.begin(),)

    def after(self, step: LocalStep, inbox: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """By the chain rule."""
        by_hand = derived(step.function.cell) if self.layout.units == 1 else None
        if by_hand is not None:
            state, sensitivity = push(by_hand, step.function.cell, self.layout, step.x, inbox)
            return state, (sensitivity,)
        return step.value(), (self.layout.push(step, inbox.sensitivity),)

    def gradient(self, grad: Tensor, sent: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """grad S."""
        grad = grad.view(-1, self.layout.fields, self.layout.units)
        total = torch.einsum("nfu,nfuq->uq", grad, sent[0])
        of_initial = sent[0][..., self.layout.size - self.layout.initial_size :]
        return total, torch.einsum("nfu,nfug->ngu", grad, of_initial).flatten(1)

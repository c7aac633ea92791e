"""SnAp-1: sensitivities with the sparsity of one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from .forward import ForwardRule
from .layout import Layout
from .refusals import check_units
from .rtrl import Sensitivities
from .step_function import LocalStep, StepFunction
from .traced import Trace


class SnAp1(ForwardRule):
    """Sparse n-step approximation with n = 1: of RTRL's sensitivities only those that are non-zero after one step.

        S_v = sum_(u in inbox of v) D_u S_u + (the step's own) dstate_v/dtheta

    D_u is dstate_v/dstate_u without the effect of units on *other* units: a weight is followed in its own unit,
    over all fields of the state (h and c of an LSTM).

    Menick, Elsen, Evci, Osindero, Simonyan & Graves, *A practical sparse approximation for real time recurrent
    learning*, ICLR 2021, section 3; there a field that a weight does not reach within one step (c, by the output gate)
    has no entry, while here a unit is kept as a whole. So it is exact where the recurrence is elementwise, and for one
    step. It keeps a number for each weight and field, and a step costs K times as much as the cell's backward pass.
    """

    def trace(self, cell: Cell, with_initial: bool = False) -> Trace:
        """The sensitivities; see `ForwardRule.trace`."""
        function = StepFunction(cell)
        return _OfOwnUnit(
            function, Layout(function, check_units("SnAp1", function, _OTHERWISE), with_initial)
        )

    def verdict(self, cell: Cell) -> str:
        """Exact for elementwise recurrences."""
        return "" if cell.elementwise else "biased: what units do to other units is left out"


_OTHERWISE = "take RTRL() or UORO()."


class _OfOwnUnit(Sensitivities):
    """The sensitivities to each weight of its own unit."""

    with_sources = False
    otherwise = _OTHERWISE

    def after(self, step: LocalStep, inbox: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The diagonal blocks, one for each unit."""
        blocks = step.own_units(self.layout.units)
        come = torch.einsum("efgu,eguq->efuq", blocks, inbox.sensitivity)
        return step.value(), (inbox.sum_unmasked(come) + self.layout.push(step, None),)

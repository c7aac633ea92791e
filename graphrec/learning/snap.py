"""SnAp-1: the sensitivities of one step's sparsity."""

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
    """Sparse n-step approximation with n = 1: of RTRL's sensitivities those that one step makes, and no others.

    S_v = sum_(u in inbox of v) D_u S_u + (the step's own) dstate_v/dtheta

    D_u is dstate_v/dstate_u without what units do to *other* units: a weight is followed in the unit that it belongs
    to, over all fields of the state (h and c of an LSTM).

    Menick, Elsen, Evci, Osindero, Simonyan & Graves, *A practical sparse approximation for real time recurrent
    learning*, ICLR 2021, section 3; there a field that a weight does not reach within one step (c, by the output gate)
    has no entry, while here a unit is kept whole. So it is exact where the recurrence is elementwise, and for one
    step. It keeps a number for each weight and field, and a step costs K times as much as the cell's, backwards.
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
    """Those of each weight in its own unit."""

    with_sources = False
    otherwise = _OTHERWISE

    def after(self, step: LocalStep, inbox: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Blocks on the diagonal, one for each unit."""
        blocks = step.own_units(self.layout.units)
        come = torch.einsum("efgu,eguq->efuq", blocks, inbox.sensitivity)
        return step.value(), (inbox.sum_unmasked(come) + self.layout.push(step, None),)

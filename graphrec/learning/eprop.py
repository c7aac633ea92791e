"""e-prop: eligibility traces."""

from __future__ import annotations

from ..cell import Cell
from .forward import ForwardRule
from .layout import Layout
from .refusals import check_units
from .rtrl import Sensitivities
from .step_function import StepFunction
from .traced import Trace


class EProp(ForwardRule):
    """e-prop: an eligibility trace for each weight, along what a unit keeps itself, not along recurrent weights.

        e_v = sum_(u in inbox of v) (dstate_v/dstate_u without the recurrent layers) e_u
              + (the step's own) dstate_v/dtheta
        dL/dtheta ~ sum_v dL/dstate_v e_v

    What the recurrent layers read of the sources counts as a constant: traces pass through the memory cell c of an
    LSTM by its forget gate, through a GRU's update gate, through the leak of a leaky network, and stop at each step of
    an SRN.

    Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein & Maass, *A solution to the learning dilemma for recurrent
    networks of spiking neurons*, Nature Communications 11 (2020), equations (1) and (13), with the learning signal
    dL/dstate of the readout (symmetric e-prop). Exact where no path leads through a recurrent layer, as in cells
    with an elementwise recurrence. It keeps a number for each weight and field.
    """

    def trace(self, cell: Cell, with_initial: bool = False) -> Trace:
        """The eligibility traces; see `ForwardRule.trace`."""
        name = type(self).__name__
        if not cell.elementwise and not cell.recurrent_layers:
            raise ValueError(
                f"{name} takes a cell that names its recurrent_layers, or is elementwise, got {type(cell).__name__}: "
                f'say which layers multiply the states of sources, recurrent_layers = ("...",).'
            )
        function = StepFunction(cell, cut=cell.recurrent_layers)
        return _Eligibility(function, Layout(function, check_units(name, function, _OTHERWISE), with_initial))

    def verdict(self, cell: Cell) -> str:
        """Exact without recurrent layers."""
        return "biased: paths through recurrent layers are left out" if cell.recurrent_layers else ""


_OTHERWISE = "take SnAp1(), RTRL() or UORO()."


class _Eligibility(Sensitivities):
    """The sensitivities to each weight of its own unit, which without recurrent layers does not see the others."""

    otherwise = _OTHERWISE

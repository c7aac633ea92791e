"""A cell that adds to the previous state."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..cell import Cell, Inbox
from .wrapping import Wrapping


class ResidualCell(Wrapping):
    """Residual recurrence: a cell computes what is added to the state.

        h_t = h_{t-1} + g(x_t, h_{t-1})

    He, Zhang, Ren & Sun, *Deep residual learning for image recognition*, CVPR 2016, equation (1), unrolled in time
    with shared weights (Liao & Poggio, *Bridging the gaps between residual learning, recurrent neural networks and
    visual cortex*, 2016). Where several edges enter a node, h_{t-1} is the sum of their states.

    Args:
        cell: g, any cell; the first field of its state is h, other fields are left as it makes them (so a `JordanCell`
            computes its output from the increment alone).

    Raises:
        ValueError: a cell whose nodes do not send their h.

    Shapes: those of the cell.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        h = cell.State._fields[0]
        if cell.Message is not None and h not in cell.Message._fields:
            raise ValueError(
                f"what is added to is the sum of the sources' {h}, but nodes of {type(cell).__name__} send others only "
                f"{', '.join(cell.Message._fields)}: add its rows outside of it, h + graphrec.GNN([cell])(h, s)."
            )

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step."""
        change = self.cell(x, inbox, own)
        previous = inbox.sum(getattr(inbox, self.State._fields[0]))
        return change._replace(**{self.State._fields[0]: previous + change[0]})

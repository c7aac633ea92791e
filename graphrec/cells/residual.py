"""A cell that adds to what was there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from .cell import Cell, check_cell

if TYPE_CHECKING:
    from ..engine.inbox import Inbox


class ResidualCell(Cell):
    """Residual recurrence: a cell computes what is to be added to the state.

    h_t = h_{t-1} + g(x_t, h_{t-1})

    He, Zhang, Ren & Sun, *Deep residual learning for image recognition*, CVPR 2016, equation (1), unrolled in time
    with shared weights (Liao & Poggio, *Bridging the gaps between residual learning, recurrent neural networks and
    visual cortex*, 2016). Where several edges enter a node, h_{t-1} is the sum of their states.

    Args:
        cell: g, any cell; the first field of its state is h, other fields are left as it makes them.

    Shapes: those of the cell.
    """

    def __init__(self, cell: Cell) -> None:
        check_cell(cell)
        super().__init__(cell.inputs)
        self.cell = cell
        self.State = cell.State
        self.arity = cell.arity

    def shapes(self) -> list[tuple[int, ...]]:
        """Those of the cell."""
        return self.cell.shapes()

    def check(self, structure: Any) -> None:
        """As the cell."""
        self.cell.check(structure)

    def project(self, x: Tensor) -> Tensor:
        """As the cell."""
        return self.cell.project(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step."""
        change = self.cell(x, inbox, own)
        before = inbox.sum(getattr(inbox, self.State._fields[0]))
        return change._replace(**{self.State._fields[0]: before + change[0]})

"""What cells made of one other cell have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from .cell import Cell, check_cell

if TYPE_CHECKING:
    from ..structure import Structure


class Wrapping(Cell):
    """A cell that does something before or after another one, whose state it has.

    Args:
        cell: the other.
    """

    def __init__(self, cell: Cell) -> None:
        check_cell(cell)
        super().__init__()
        self.inputs, self.cell = cell.inputs, cell
        self.reads_edges = cell.reads_edges
        self.arity, self.edges, self.relations = cell.arity, cell.edges, cell.relations
        self.begins_with_x, self.constants = cell.begins_with_x, cell.constants

    # Looked up, not kept: a type that stands in the body of a class cannot be pickled with the cells around it.
    @property
    def State(self) -> Any:
        """That of the cell."""
        return self.cell.State

    def shapes(self) -> list[tuple[int, ...]]:
        """Those of the cell."""
        return self.cell.shapes()

    def check(self, structure: Structure) -> None:
        """As the cell."""
        self.cell.check(structure)

    def initialize(self, x: Tensor, s: Structure) -> None:
        """As the cell."""
        self.cell.initialize(x, s)

    @property
    def Shown(self) -> Any:
        """That of the cell."""
        return self.cell.Shown

    def project(self, x: Tensor) -> Tensor:
        """As the cell."""
        return self.cell.project(x)

    def project_edges(self, edge_attr: Any) -> Any:
        """As the cell."""
        return self.cell.project_edges(edge_attr)

    def edge_rows(self, s: Structure) -> Tensor | None:
        """As the cell."""
        return self.cell.edge_rows(s)

    def before(self, x: Tensor, s: Structure) -> Any:
        """As the cell."""
        return self.cell.before(x, s)

    def show(self, state: Any) -> Any:
        """As the cell."""
        return self.cell.show(state)

"""What cells made of other cells have in common."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from ..cell import Cell, check_cell
from ..structure import Structure


class Wrapping(Cell):
    """A cell that does something before or after another one, whose state it shares.

    Args:
        cell: the other.
    """

    inputs: Any
    cell: Cell
    arity: Any
    edges: Any
    relations: Any
    kinds: Any
    begins_with_x: bool
    constants: tuple[str, ...]

    def __init__(self, cell: Cell) -> None:
        check_cell(cell)
        super().__init__()
        self.inputs, self.cell = cell.inputs, cell
        self.reads_edges: Any = cell.reads_edges
        self.arity, self.edges, self.relations, self.kinds = (
            cell.arity,
            cell.edges,
            cell.relations,
            cell.kinds,
        )
        self.begins_with_x, self.constants = cell.begins_with_x, cell.constants

    # Looked up, not stored: a type in the body of a class cannot be pickled with the cells around it.
    @property
    def State(self) -> Any:
        """The State of the cell."""
        return self.cell.State

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the cell."""
        return self.cell.shapes()

    def check(self, structure: Structure) -> None:
        """As the cell."""
        self.cell.check(structure)

    def initialize(self, x: Tensor, s: Structure) -> None:
        """As the cell."""
        self.cell.initialize(x, s)

    @property
    def Message(self) -> Any:
        """As in the cell."""
        return self.cell.Message

    def project(self, x: Tensor) -> Tensor:
        """As the cell."""
        return self.cell.project(x)

    def project_edges(self, edge_attr: Any) -> Any:
        """As the cell."""
        return self.cell.project_edges(edge_attr)

    def edge_rows(self, s: Structure, edges: Tensor | None = None) -> Tensor | None:
        """As the cell."""
        return self.cell.edge_rows(s, edges)

    def initial_from_x(self, x: Tensor, s: Structure) -> Any:
        """As the cell."""
        return self.cell.initial_from_x(x, s)

    def as_message(self, state: Any) -> Any:
        """As the cell."""
        return self.cell.as_message(state)


def with_message(cell: Cell, state: Any) -> Any:
    """A state as a cell's `own`, which also has the fields that its nodes send."""
    if cell.Message is None:
        return state
    return SimpleNamespace(**{**cell.as_message(state)._asdict(), **state._asdict()})


def check_sends_its_state(cell: Any) -> None:
    """Raise unless a cell can be a part of one whose nodes send other messages."""
    check_cell(cell)
    if cell.Message is not None or cell.begins_with_x or cell.edges is not None:
        raise ValueError(
            f"{type(cell).__name__} is a cell for graphs (it begins with x, sends something other than its state, or "
            f"reads edge attributes), and cannot be a part of another cell: stack models instead (graphrec.Stacked, "
            f"graphrec.GNN)."
        )


def edges_read(cells: Iterable[Cell]) -> set[str] | None:
    """What cells read of edges, of `"edge_attr"` and `"edge_weight"`; None where one of them does not declare it."""
    found: set[str] = set()
    for cell in cells:
        if cell.reads_edges is None:
            return None
        found.update(cell.reads_edges, () if cell.edges is None else ("edge_attr",))
    return found

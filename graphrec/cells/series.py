"""Several cells as one."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure import Structure
from ..structure.checks import as_list
from .wrapping import check_sends_its_state, edges_read


class SeriesCell(Cell):
    """A stack of cells within one node: each reads the state of the cell below in the same node.

        h^1_t = cell_1(x_t, h^1_{t-1}),  h^l_t = cell_l(h^{l-1}_t, h^l_{t-1})

    The same as `Stacked` layer by layer and `GridCell` on a grid, but node by node: for those who need the top state
    of one node to feed the next, as decoders do.

    Args:
        cells: from the input up; each but the first takes inputs as wide as the first field of the state below it.

    Raises:
        ValueError: no cells, a series among them, or one that does not accept the state of the cell below it.

    Shapes: x `[N, D]`; State the fields of the top cell, and those of the others with their layer's number
    appended: `h`, `c`, `h0`, `c0`, `h1`, … .
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        cells = as_list("cells", cells)
        if not cells:
            raise ValueError("expected at least one cell, got none.")
        for cell in cells:
            check_sends_its_state(cell)
            if isinstance(cell, SeriesCell):
                raise ValueError("a series within a series is one series: give its cells one by one.")
        for layer, (below, cell) in enumerate(pairwise(cells)):
            width = below.shapes()[0][-1]
            if cell.inputs is not None and cell.inputs != width:
                raise ValueError(
                    f"cell {layer + 1} takes inputs of width {cell.inputs}, but the state of the cell below it has "
                    f"width {width}: make one of them fit."
                )
        super().__init__()
        self.inputs: Any = cells[0].inputs
        self.cells: nn.ModuleList = nn.ModuleList(cells)
        self.reads_edges: Any = edges_read(cells)
        self.arity: Any = min((cell.arity for cell in cells if cell.arity is not None), default=None)

    @property
    def State(self) -> Any:
        """The fields of all cells, those of the top one first."""
        return _state_type(tuple(cell.State._fields for cell in self._parts))

    @property
    def _parts(self) -> list[Any]:
        return list(self.cells)

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of all cells, the top one's first."""
        *below, top = self._parts
        return [shape for cell in (top, *below) for shape in cell.shapes()]

    def check(self, structure: Structure) -> None:
        """As in the cells."""
        for cell in self._parts:
            cell.check(structure)

    def project(self, x: Tensor) -> Tensor:
        """As in the first cell."""
        return self._parts[0].project(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step."""
        states = []
        for layer, cell in enumerate(self._parts):
            names = _names(cell.State._fields, layer, len(self.cells))
            here = inbox.renamed(dict(zip(cell.State._fields, names, strict=True)))
            previous = cell.State(*(getattr(own, name) for name in names))
            states.append(cell(cell.project(states[-1][0]) if layer else x, here, previous))
        return self.join(states)

    def join(self, states: Sequence[Any]) -> Any:
        """One state from the states of the cells, from the input up."""
        *below, top = states
        return self.State(*top, *(value for state in below for value in state))


def _names(fields: tuple[str, ...], layer: int, layers: int) -> list[str]:
    return [name if layer == layers - 1 else f"{name}{layer}" for name in fields]


@cache
def _state_type(fields: tuple[tuple[str, ...], ...]) -> Any:
    layers = len(fields)
    names = [_names(names, layer, layers) for layer, names in enumerate(fields)]
    return namedtuple("State", [name for layer in (names[-1], *names[:-1]) for name in layer])

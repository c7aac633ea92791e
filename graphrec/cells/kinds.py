"""Several cells in one run, one for each kind of node, and so one for each layer of a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cell import Cell, Inbox, check_cell
from ..structure import EdgeFeatures, Structure
from ..structure.checks import as_list
from ..structure.edge_widths import relation_widths
from .edges import check_edges
from .wrapping import Wrapping, check_sends_its_state, edges_read, with_message

_ANY = 2**31  # more slots than there can be: any number of edges may enter


class PerKind(Cell):
    """A cell for each kind of node: nodes of kind k follow `cells[k]`.

    Args:
        cells: one for each kind, all with states of the same fields and widths, and inputs of one width.

    Raises:
        ValueError: no cells, or states or inputs that differ.
    """

    cells: nn.ModuleList

    kinds: Any

    def __init__(self, cells: Sequence[Cell]) -> None:
        if isinstance(cells, Cell):
            raise TypeError(f"expected a list of cells, one for each kind, got one {type(cells).__name__}.")
        cells = as_list("cells", cells)
        if not cells:
            raise ValueError("expected a cell for each kind of node, got none.")
        for cell in cells:
            check_cell(cell)
        super().__init__()
        self.inputs: Any = _common_inputs(cells)
        self.cells, self.kinds = nn.ModuleList(cells), len(cells)
        self.reads_edges: Any = edges_read(cells)
        self._by_relation = any(relation_widths(cell.edges) is not None for cell in cells)
        self.begins_with_x: bool = any(cell.begins_with_x for cell in cells)
        self.constants: tuple[str, ...] = tuple(
            name for name in cells[0].constants if all(name in cell.constants for cell in cells)
        )
        if any(isinstance(cell, PerKind) for cell in cells):
            raise ValueError("the cells of kinds cannot have kinds of their own: give one list of cells.")
        layouts = [dict(zip(cell.State._fields, cell.shapes(), strict=True)) for cell in cells]
        for kind, layout in enumerate(layouts):
            if layout != layouts[0]:
                raise ValueError(
                    f"the cells of all kinds must have states of the same fields and widths, but kind 0 has "
                    f"{layouts[0]} and kind {kind} has {layout}."
                )

    @property
    def State(self) -> Any:
        """The State of all cells."""
        return self._parts[0].State

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of all cells."""
        return self._parts[0].shapes()

    def initial_from_x(self, x: Tensor, s: Structure) -> Any:
        """For nodes of each kind the initial state of their cell; zero, for cells that do not begin with x."""
        given = [cell.initial_from_x(x, s) for cell in self._parts]
        if s.kind is None or all(state is None for state in given):
            return None
        zero = [x.new_zeros(s.num_nodes, *shape) for shape in self.shapes()]
        fields = []
        for number, total in enumerate(zero):
            for kind, state in enumerate(given):
                if state is not None:
                    is_of_kind = (s.kind == kind).view(-1, *[1] * (total.dim() - 1))
                    total = torch.where(is_of_kind, state[number], total)
            fields.append(total)
        return self.State(*fields)

    def check(self, structure: Structure) -> None:
        """Refuse a structure without kinds, with more kinds than cells, or with slots that a cell does not have."""
        if not structure.num_nodes:
            return
        if structure.kind is None:
            raise ValueError(
                "the cell has equations for each kind of node, but the structure has no kinds: build it with kind=...."
            )
        low, high = (int(v) for v in torch.aminmax(structure.kind))
        if low < 0 or high >= len(self.cells):
            raise ValueError(
                f"there are cells for the kinds 0 to {len(self.cells) - 1}, but the structure has nodes of kind "
                f"{low if low < 0 else high}: give a cell for each kind."
            )
        self._check_slots(structure, structure.kind)
        for kind, cell in enumerate(self._parts):
            check_edges(cell, structure, (structure.kind[structure.target] == kind).nonzero().flatten())
            cell.check(structure)

    def _check_slots(self, structure: Structure, kind: Tensor) -> None:
        arities = [_ANY if cell.arity is None else cell.arity for cell in self._parts]
        most = max((arity for arity in arities if arity != _ANY), default=0)
        target, slot = structure.target, structure.slot
        allowed = torch.tensor(arities, device=structure.device)[kind[target]]
        counted = (allowed != _ANY) & (slot < allowed)
        index = torch.where(counted, target * most + slot, structure.num_nodes * most)
        twice = counted & (torch.bincount(index)[index] > 1)
        faults = twice | (slot >= allowed)
        if not bool(faults.any()):
            return
        edge = int(faults.nonzero()[0])
        where = f"slot {int(slot[edge])} of node {int(target[edge])}"
        if bool(twice[edge]):
            raise ValueError(
                f"two edges fill {where}: give each its own with s.replace(slot=...), or nodes of kind "
                f"{int(kind[target[edge]])} a cell that sums its inbox."
            )
        count = int(allowed[edge])
        raise ValueError(
            f"the cell of kind {int(kind[target[edge]])} has {count} slot{'s' * (count != 1)}, but the structure fills "
            f"{where}: make it with an arity of at least {int(slot[edge]) + 1}, or use one that sums its inbox."
        )

    def initialize(self, x: Tensor, s: Structure) -> None:
        """As in all cells."""
        for cell in self._parts:
            cell.initialize(x, s)
        if self._projects_first(s):
            none = s.slot.new_zeros(0)
            with torch.no_grad():
                rows = [cell.edge_rows(s, none) for cell in self._parts]
            self._edge_shapes = [None if part is None else part.shape[1:] for part in rows]

    def edge_rows(self, s: Structure, edges: Tensor | None = None) -> Tensor | None:
        """`[E, ·]`: the edges as projected by the cells of their targets' kinds, flat and padded to the widest.

        Features of equal width for all edges are left as they are: each cell projects its own in its step.
        """
        if not self._projects_first(s):
            return s.edge_attr
        assert s.kind is not None
        kind = s.kind[s.target]
        into = [(kind == number).nonzero().flatten() for number in range(len(self.cells))]
        rows = [cell.edge_rows(s, part) for cell, part in zip(self._parts, into, strict=True)]
        made = [
            (part, flat.reshape(len(part), prod(flat.shape[1:])))
            for part, flat in zip(into, rows, strict=True)
            if flat is not None
        ]
        if not made:
            return None
        width = max(flat.shape[1] for _, flat in made)
        flat = torch.cat([F.pad(flat, (0, width - flat.shape[1])) for _, flat in made])
        return flat.new_zeros(s.num_edges, width).index_copy(0, torch.cat([part for part, _ in made]), flat)

    def _projects_first(self, s: Structure) -> bool:
        return self._by_relation or isinstance(s.edge_attr, EdgeFeatures)

    def _reader(self, kind: int, s: Structure) -> Callable[[Tensor], Tensor]:
        """The function from rows of `edge_rows` to a cell's features of edges."""
        cell = self._parts[kind]
        if not self._projects_first(s):
            return cell.project_edges

        def read(rows: Tensor) -> Tensor:
            shape = self._edge_shapes[kind]
            if shape is None:
                raise ValueError(
                    f"the cell of kind {kind} reads inbox.edge_attr, which has another width in each relation: give it "
                    f"edges, the widths."
                )
            return rows[:, : prod(shape)].reshape(len(rows), *shape)

        return read

    @property
    def _parts(self) -> list[Any]:
        return list(self.cells)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step, kind by kind."""
        parts = list(inbox.parts())
        sizes = [messages.num_nodes for _, messages in parts]
        rows = x.split(sizes)
        owns = zip(*(field.split(sizes) for field in own), strict=True)
        cells, states = self._parts, []
        for (kind, messages), x_of_kind, own_of_kind in zip(parts, rows, owns, strict=True):
            cell = cells[kind]
            own_now = with_message(cell, self.State(*own_of_kind))
            states.append(
                cell(
                    cell.project(x_of_kind),
                    messages.read_by(cell, self._reader(kind, inbox.structure)),
                    own_now,
                )
            )
        return self.State(*map(torch.cat, zip(*states, strict=True)))


def _common_inputs(cells: list[Cell]) -> int | None:
    widths = sorted({cell.inputs for cell in cells if cell.inputs is not None})
    if len(widths) > 1:
        raise ValueError(
            f"the cells of all kinds must take inputs of one width, got {' and '.join(map(str, widths))}: x has the "
            f"same for all nodes."
        )
    return widths[0] if widths else None


class GridCell(PerKind):
    """A stack of cells on a grid: layer 0 reads x, every other layer the layer below it at the same time.

        h^0_t = cell_0(x_t, h^0_{t-1}),   h^l_t = cell_l(h^{l-1}_t, h^l_{t-1})

    The recurrent multilayer perceptron of Puskorius & Feldkamp as in Haykin, *Neural Networks and Learning
    Machines* (2009), equation (15.4), if the cells are simple recurrent networks. `Stacked` computes the same
    layer by layer, and faster.

    Args:
        cells: one per layer, with states of the same fields and widths; each but the first takes inputs as wide
            as h.

    Shapes: x `[N, D]` over `graphrec.grid`, of which only the rows of layer 0 count. An initial state with a row per
    graph is used by all layers; with a row per node (those at the beginnings count) each layer has its own.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        cells = as_list("cells", cells)
        for cell in cells:
            check_sends_its_state(cell)
        super().__init__([*cells[:1], *map(_Above, cells[1:])])


class _Above(Wrapping):
    """A cell whose input is the state of the node below it (slot 1), and whose predecessor is in slot 0."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        width = cell.shapes()[0][-1]
        if cell.inputs is not None and cell.inputs != width:
            raise ValueError(
                f"a cell above another takes inputs as wide as that one's state, {width}, got one for {cell.inputs}."
            )
        self.inputs, self.arity = None, 2

    def project(self, x: Tensor) -> Tensor:
        """x is not read."""
        return x

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        below = getattr(inbox.of_slot(1, 2), self.State._fields[0])
        return self.cell(self.cell.project(below), inbox.of_slot(0, 2), own)

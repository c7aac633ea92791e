"""What cells read of the features of edges, which may be of another width in each relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..structure.checks import as_count
from ..structure.features import EdgeFeatures, split_by_relation
from .weights import Resettable

if TYPE_CHECKING:
    from ..structure import Structure
    from .cell import Cell

Widths = int | Sequence[int | None] | Mapping[int, int | None]


class PerRelation(Resettable):
    """A linear layer for each relation, by which features of different widths become rows of one.

    y_e = W_r e + b_r,  r the relation of the edge; zero where its edges have no features

    Args:
        edges: the width of each relation's features, None where it has none: a list, or a dictionary by relation.
        outputs: the width of the result.
        bias: whether there is a b.

    Shapes: `EdgeFeatures` of E edges → `[E, outputs]`.
    """

    def __init__(self, edges: Widths, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.edges = relation_widths(edges)
        self.outputs = as_count("outputs", outputs, 1)
        if self.edges is None:
            raise TypeError(f"edges must be a list of widths, one for each relation, got {edges!r}.")
        self.layers = nn.ModuleDict(
            {
                str(relation): nn.Linear(width, outputs, bias)
                for relation, width in enumerate(self.edges)
                if width is not None
            }
        )

    def forward(self, features: EdgeFeatures) -> Tensor:
        """One row for each edge."""
        parts = [(features.of(int(relation)), layer) for relation, layer in self.layers.items()]
        made = [(part.edges, layer(part.rows)) for part, layer in parts if part is not None]
        if not made:
            return next(self.parameters()).new_zeros(len(features), self.outputs)
        edges, rows = (torch.cat(values) for values in zip(*made, strict=True))
        return rows.new_zeros(len(features), self.outputs).index_copy(0, edges, rows)


def edge_layer(edges: Any, outputs: int, bias: bool = True) -> nn.Module:
    """What makes rows of one width of edges' features: a linear layer, or one for each relation."""
    if relation_widths(edges) is not None:
        return PerRelation(edges, outputs, bias)
    return nn.Linear(as_count("edges", edges), outputs, bias)


def relation_widths(edges: Any) -> tuple[int | None, ...] | None:
    """The width of each relation's features; None where a cell reads such of one width, or none at all."""
    if isinstance(edges, Mapping):
        highest = max((as_count("a relation in edges", relation) for relation in edges), default=-1)
        edges = [edges.get(relation) for relation in range(highest + 1)]
    if not isinstance(edges, list | tuple):
        return None
    if all(width is None for width in edges):
        raise ValueError(
            "edges, the widths of features for each relation, must name one at least; None: there are none."
        )
    return tuple(
        None if width is None else as_count(f"edges[{relation}]", width)
        for relation, width in enumerate(edges)
    )


def read_edges(cell: Cell, s: Structure, edges: Tensor | None = None) -> Tensor | EdgeFeatures | None:
    """The features of edges as a cell's `project_edges` takes them; None where it takes none.

    Args:
        cell, s: what reads, and what is read.
        edges: the numbers of those that count, `[e]`, ascending; None: all.
    """
    given, widths = s.edge_attr, relation_widths(cell.edges)
    if given is None and not s.num_edges:
        given = EdgeFeatures(0, ())
    if isinstance(given, Tensor):
        given = given if edges is None else given.index_select(0, edges)
        if widths is None:
            return given
        relation = s.relation if edges is None or s.relation is None else s.relation[edges]
        return split_by_relation(given, relation, len(widths))
    if given is None or cell.edges is None:
        return None
    given = given if edges is None else given.select(edges)
    return given if widths is not None else _of_one_width(given, cell, s.device)


def project_rows(cell: Cell, s: Structure, edges: Tensor | None = None) -> Tensor | None:
    """`[e, ...]`: what a cell makes of them; arguments as in `read_edges`."""
    given = read_edges(cell, s, edges)
    if given is None:
        return None
    rows = cell.project_edges(given)
    if not isinstance(rows, Tensor) or rows.shape[:1] != (len(given),):
        got = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        how = ": graphrec.PerRelation makes them" if isinstance(given, EdgeFeatures) else ""
        raise ValueError(
            f"{type(cell).__name__}.project_edges must return one row per edge, {len(given)}, got {got}{how}."
        )
    return rows


def _of_one_width(features: EdgeFeatures, cell: Cell, device: torch.device) -> Tensor:
    parts = [part for part in features.relations if part is not None and len(part.edges)]
    if not parts:
        like = next(cell.parameters(), torch.zeros(()))
        return torch.zeros(0, cell.edges, dtype=like.dtype, device=device)
    edges = torch.cat([part.edges for part in parts])
    return torch.cat([part.rows for part in parts]).index_select(0, torch.argsort(edges))


def check_edges(cell: Cell, s: Structure, edges: Tensor | None = None) -> None:
    """Raise ValueError unless edges have the features and relations that a cell reads; arguments as in `read_edges`."""
    widths = relation_widths(cell.edges)
    if widths is not None or (cell.relations or 0) > 1:
        _check_relations(cell.relations if widths is None else len(widths), s, edges)
    if cell.edges is None:
        return
    if s.edge_attr is None and s.num_edges:
        raise ValueError(
            f"the cell reads edge attributes of width {cell.edges}, but the structure has none: build it with "
            f"edge_attr=...."
        )
    _check_dtype(cell, s)
    if isinstance(s.edge_attr, Tensor) and widths is None:
        if s.edge_attr.shape[1:] != (cell.edges,):
            raise ValueError(
                f"edge_attr must have shape [{s.num_edges}, {cell.edges}] for this cell, got "
                f"{tuple(s.edge_attr.shape)}."
            )
    elif s.edge_attr is not None:
        relation = torch.zeros_like(s.slot) if s.relation is None else s.relation
        for number in torch.unique(relation if edges is None else relation[edges]).tolist():
            wanted = cell.edges if widths is None else widths[number]
            if _shape(s.edge_attr, number) != (None if wanted is None else (wanted,)):
                known = [_shape(s.edge_attr, r) for r in range(int(relation.max()) + 1)]
                found = [None if shape is None else shape[0] if len(shape) == 1 else shape for shape in known]
                raise ValueError(
                    f"the cell reads {_said(wanted)} of edges of relation {number}, but these have "
                    f"{_said(found[number])}: make it with the widths of all relations, edges={found}."
                )


def _check_dtype(cell: Cell, s: Structure) -> None:
    weight = next((p for p in cell.parameters() if p.is_floating_point()), None)
    if weight is None or torch.is_autocast_enabled(weight.device.type):
        return
    given, widths = s.edge_attr, relation_widths(cell.edges)
    read = [given]
    if isinstance(given, EdgeFeatures):
        parts = given.relations if widths is None else given.relations[: len(widths)]
        read = [part.rows for part in parts if part is not None]
    for rows in read:
        if rows is not None and rows.dtype != weight.dtype:
            raise TypeError(
                f"edge_attr is {rows.dtype}, but the cell's parameters are {weight.dtype}: convert one, "
                f"edge_attr.to({weight.dtype}) or cell.to({rows.dtype})."
            )


def _shape(features: Tensor | EdgeFeatures | None, relation: int) -> tuple[int, ...] | None:
    """The shape of one edge's features."""
    if isinstance(features, EdgeFeatures):
        part = features.of(relation)
        return None if part is None else tuple(part.rows.shape[1:])
    return None if features is None else tuple(features.shape[1:])


def _said(width: Any) -> str:
    return "no features" if width is None else f"features of width {width}"


def _check_relations(count: int, s: Structure, edges: Tensor | None) -> None:
    if s.relation is None:
        if count == 1 or not s.num_edges:
            return
        raise ValueError(
            f"the cell has weights for {count} relations, but the structure has none: build it with relation=...."
        )
    numbers = torch.arange(s.num_edges, device=s.device) if edges is None else edges
    relation = s.relation[numbers]
    bad = numbers[(relation < 0) | (relation >= count)]
    if len(bad):
        edge = int(bad[0])
        raise ValueError(
            f"the cell has weights for the relations 0 to {count - 1}, but edge {edge} is of relation "
            f"{int(s.relation[edge])}: make the cell with more relations, or correct the edge."
        )

"""What cells read of edge features, whose width may differ from relation to relation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..structure import Structure
from ..structure.checks import as_count, as_flag
from ..structure.edge_widths import Widths, relation_widths
from ..structure.features import EdgeFeatures
from ..structure.outside import is_autocast
from ..weights import Resettable


class PerRelation(Resettable):
    """A linear layer for each relation, which maps features of different widths to rows of one width.

        y_e = W_r e + b_r,  r the relation of the edge; zero where its edges have no features

    Args:
        edges: the width of each relation's features, None where it has none: a list, or a dictionary by relation.
        outputs: the width of the result.
        bias: whether there is a b.

    Shapes: `EdgeFeatures` of E edges → `[E, outputs]`.
    """

    def __init__(self, edges: Widths, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.edges: tuple[int | None, ...] | None = relation_widths(edges)
        bias = as_flag("bias", bias)
        self.outputs: int = as_count("outputs", outputs, 1)
        if self.edges is None:
            raise TypeError(f"edges must be a list of widths, one for each relation, got {edges!r}.")
        self.layers: nn.ModuleDict = nn.ModuleDict(
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
    """A layer that maps edge features to rows of one width: one linear layer, or one for each relation."""
    if relation_widths(edges) is not None:
        return PerRelation(edges, outputs, bias)
    return nn.Linear(as_count("edges", edges), outputs, bias)


def check_edges(cell: Cell, s: Structure, edges: Tensor | None = None) -> None:
    """Raise ValueError unless edges have the features and relations that a cell reads; edges: `[e]`, or all."""
    widths = relation_widths(cell.edges)
    if widths is not None or (cell.relations or 0) > 1:
        _check_relations(cell.relations if widths is None else len(widths), s, edges)
    check_features(cell, s, edges)


def check_features(cell: Cell, s: Structure, edges: Tensor | None = None) -> None:
    """The same of features alone."""
    widths = relation_widths(cell.edges)
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
                    f"the cell reads {_described(wanted)} of edges of relation {number}, but these have "
                    f"{_described(found[number])}: make it with the widths of all relations, edges={found}."
                )


def _check_dtype(cell: Cell, s: Structure) -> None:
    weight = next((p for p in cell.parameters() if p.is_floating_point()), None)
    if weight is None or is_autocast(weight.device):
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


def _described(width: Any) -> str:
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

"""Features of edges as their readers expect them: of one width, or of one for each relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .checks import as_count
from .features import EdgeFeatures, split_by_relation
from .structure import Structure

Widths = int | Sequence[int | None] | Mapping[int, int | None]


def relation_widths(edges: Any) -> tuple[int | None, ...] | None:
    """The width of each relation's features; None where features of one width are read, or none at all."""
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


def read_features(
    s: Structure, read: Any, dtype: torch.dtype, edges: Tensor | None = None
) -> Tensor | EdgeFeatures | None:
    """The features of edges, a tensor or by relation, as they are read; None where none are read.

    Args:
        s: whose edges.
        read: the width, that of each relation, or None.
        dtype: of the result, where no features have one.
        edges: the numbers of the edges wanted, `[e]`, ascending; None: all.
    """
    given, widths = s.edge_attr, relation_widths(read)
    if given is None and not s.num_edges:
        given = EdgeFeatures(0, ())
    if isinstance(given, Tensor):
        given = given if edges is None else given.index_select(0, edges)
        if widths is None:
            return given
        relation = s.relation if edges is None or s.relation is None else s.relation[edges]
        return split_by_relation(given, relation, len(widths))
    if given is None or read is None:
        return None
    given = given if edges is None else given.select(edges)
    if widths is not None:
        return given
    return _of_one_width(given, torch.zeros(0, read, dtype=dtype, device=s.device))


def _of_one_width(features: EdgeFeatures, none: Tensor) -> Tensor:
    parts = [part for part in features.relations if part is not None and len(part.edges)]
    if not parts:
        return none
    edges = torch.cat([part.edges for part in parts])
    return torch.cat([part.rows for part in parts]).index_select(0, torch.argsort(edges))

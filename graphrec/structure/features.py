"""Features of edges whose width differs from relation to relation, or that only some relations have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


class RelationFeatures(NamedTuple):
    """The features of one relation.

    Attributes:
        edges: `[E_r]` long, the numbers of its edges, ascending.
        rows: `[E_r, ...]`, a row for each of them.
    """

    edges: Tensor
    rows: Tensor


@dataclass(frozen=True, eq=False)
class EdgeFeatures:
    """Features of E edges by relation, each with its own width: nothing is padded.

    Attributes:
        num_edges: E.
        relations: for each relation, from 0 on, its edges and their rows; None where it has no features.
    """

    num_edges: int
    relations: tuple[RelationFeatures | None, ...]

    def __len__(self) -> int:
        return self.num_edges

    def of(self, relation: int) -> RelationFeatures | None:
        """The edges of a relation and their features; None where it has none."""
        return self.relations[relation] if relation < len(self.relations) else None

    def select(self, edges: Tensor) -> EdgeFeatures:
        """The features of some edges, `[e]` long and ascending, which are renumbered from 0 on."""
        number = edges.new_full((self.num_edges,), -1)
        number[edges] = torch.arange(len(edges), device=edges.device)

        def selected(part: RelationFeatures) -> RelationFeatures:
            new = number[part.edges]
            return RelationFeatures(new[new >= 0], part.rows[new >= 0])

        return EdgeFeatures(len(edges), self._mapped(selected))

    def to(self, device: torch.device) -> EdgeFeatures:
        """The same on another device."""
        return EdgeFeatures(
            self.num_edges,
            self._mapped(lambda part: RelationFeatures(part.edges.to(device), part.rows.to(device))),
        )

    def followed_by(self, count: int) -> EdgeFeatures:
        """The same with `count` more edges, which have no features."""
        return EdgeFeatures(self.num_edges + count, self.relations)

    def both_ways(self, count: int) -> EdgeFeatures:
        """The same with a second copy of every edge; the copies of relation r have relation `count` + r."""
        back = self._mapped(lambda part: RelationFeatures(part.edges + self.num_edges, part.rows))
        between = (None,) * (count - len(self.relations))
        return EdgeFeatures(2 * self.num_edges, (*self.relations, *between, *back))

    def __eq__(self, other: object) -> bool:
        """Same edges with the same features."""
        if not isinstance(other, EdgeFeatures):
            return NotImplemented
        mine, others = self._there(), other._there()
        return (
            self.num_edges == other.num_edges
            and mine.keys() == others.keys()
            and all(
                part.rows.dtype == others[relation].rows.dtype
                and all(map(torch.equal, part, others[relation]))
                for relation, part in mine.items()
            )
        )

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def _there(self) -> dict[int, RelationFeatures]:
        return {r: part for r, part in enumerate(self.relations) if part is not None and len(part.edges)}

    def _mapped(
        self, function: Callable[[RelationFeatures], RelationFeatures]
    ) -> tuple[RelationFeatures | None, ...]:
        return tuple(None if part is None else function(part) for part in self.relations)


def features_by_relation(relation: Tensor | None, rows: Sequence[Tensor | None]) -> EdgeFeatures:
    """Features from a list: for each relation a tensor with a row for each of its edges, as listed, or None.

    Raises:
        ValueError, TypeError: edges without relations; another number of rows; anything else than tensors.
    """
    if relation is None:
        raise ValueError(
            "edge_attr is a list, of features for each relation, but the edges have no relations: give relation=..., "
            "or one tensor with a row for each edge."
        )
    parts: list[RelationFeatures | None] = []
    for number, (edges, values) in enumerate(zip(edges_by_relation(relation, len(rows)), rows, strict=True)):
        if values is not None and not isinstance(values, Tensor):
            raise TypeError(
                f"edge_attr[{number}] must be a tensor with a row for each edge of relation {number}, or None, got "
                f"{type(values).__name__}."
            )
        if values is not None and (values.dim() < 1 or len(values) != len(edges)):
            raise ValueError(
                f"edge_attr[{number}] must have a row for each of the {len(edges)} edges of relation {number}, got "
                f"shape {tuple(values.shape)}."
            )
        parts.append(None if values is None else RelationFeatures(edges, values))
    return EdgeFeatures(len(relation), tuple(parts))


def split_by_relation(rows: Tensor, relation: Tensor | None, count: int | None = None) -> EdgeFeatures:
    """Features of one width, `[E, ...]`, by relation; without relations all edges are of relation 0."""
    relation = torch.zeros(len(rows), dtype=torch.long, device=rows.device) if relation is None else relation
    count = (int(relation.max()) + 1 if len(relation) else 0) if count is None else count
    parts = edges_by_relation(relation, count)
    return EdgeFeatures(len(rows), tuple(RelationFeatures(edges, rows[edges]) for edges in parts))


def edges_by_relation(relation: Tensor, count: int) -> Sequence[Tensor]:
    """The numbers of the edges of each of the relations 0 to `count` - 1, ascending."""
    sizes = torch.bincount(relation.clamp(min=-1) + 1, minlength=count + 1).tolist()
    return torch.argsort(relation, stable=True).split(sizes)[1 : count + 1]


def join_features(members: Sequence[EdgeFeatures]) -> EdgeFeatures:
    """Those of several structures side by side.

    Raises:
        ValueError: features of a relation that differ in width or dtype from member to member.
    """
    first = [0]
    for member in members:
        first.append(first[-1] + len(member))
    relations = []
    for number in range(max((len(member.relations) for member in members), default=0)):
        parts = [
            (part, n) for m, n in zip(members, first, strict=False) if (part := m.of(number)) is not None
        ]
        # A member without edges of a relation need not say what their features would have been.
        parts = [(part, n) for part, n in parts if len(part.edges)] or parts[:1]
        shapes = {f"{list(part.rows.shape[1:])} {part.rows.dtype}" for part, _ in parts}
        if len(shapes) > 1:
            raise ValueError(
                f"edge_attr of relation {number} must have rows of one shape and dtype in all members, got "
                f"{', '.join(sorted(shapes))}."
            )
        relations.append(
            RelationFeatures(
                torch.cat([part.edges + n for part, n in parts]), torch.cat([part.rows for part, _ in parts])
            )
            if parts
            else None
        )
    return EdgeFeatures(first[-1], tuple(relations))


def check_features(features: EdgeFeatures, relation: Tensor | None, device: torch.device) -> None:
    """Raise unless all edges of a relation have features, or none of them has."""
    if relation is None:
        raise ValueError("edges have features by relation, but no relations: give relation=..., too.")
    for number, part in features._there().items():
        if part.edges.device != device or part.rows.device != device:
            raise ValueError(
                f"edge_attr of relation {number} is on {part.rows.device}, but edge_index is on {device}: move one of "
                f"them with .to(...)."
            )
        count = int((relation == number).sum())
        if count != len(part.edges) or not bool((relation[part.edges] == number).all()):
            raise ValueError(
                f"{count} edges are of relation {number}, but {len(part.edges)} have features of that relation: give "
                f"all of them some, or none."
            )


def check_one_width(edge_attr: Tensor | EdgeFeatures | None) -> None:
    """Raise ValueError for features that only a structure and HeteroData can hold."""
    if isinstance(edge_attr, EdgeFeatures):
        raise ValueError(
            "edges have features of another width in each relation, which neither PyG's Data nor networkx' attributes "
            "hold: keep them in a HeteroData, or leave them with s.replace(edge_attr=None)."
        )

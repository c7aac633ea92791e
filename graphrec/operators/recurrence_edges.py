"""The edges of a linear recurrence, and in which orders its nodes can be computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ..structure.outside import outside
from .csr import CSR


class Grid(NamedTuple):
    """Chains side by side, padded to one length.

    Attributes:
        steps, chains: T and B.
        node: `[T * B]`, the node at each place; any node in padding.
        place: `[N]`, the place of each node.
        is_padding: `[T * B]`, or None if there is none.
    """

    steps: int
    chains: int
    node: Tensor
    place: Tensor
    is_padding: Tensor | None


class Level(NamedTuple):
    """The edges that lead to one level, and their ends."""

    edges: Tensor
    begin: Tensor
    to: Tensor


# Nodes, and where their pointers lead.
Jump = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class RecurrenceEdges:
    """E edges between N nodes, and from K given states, which have the numbers from N on.

    Attributes:
        csr: the edges by target, without K among the targets.
        number: `[E]`, for each of these edges its row in a factor of edges; None: its own number.
        order: `[N]`, an order in which nodes come after their sources; None: that of their numbers.
        descending: whether it is to be read from its end.
        by_level: `[N]`, the nodes level by level.
        bounds: where in `by_level` each level begins, and the end; on the host.
    """

    csr: CSR
    number: Tensor | None
    order: Tensor | None
    descending: bool
    by_level: Tensor
    bounds: Tensor

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.csr.offsets.shape[0]

    @property
    def num_given(self) -> int:
        """K."""
        return self.csr.num_sources - self.num_nodes

    @property
    def depth(self) -> int:
        """How many levels there are."""
        return len(self.bounds) - 1

    @cached_property
    def number_or_own(self) -> Tensor:
        """`[E]`: the row of each edge in a factor of edges."""
        if self.number is not None:
            return self.number
        with outside():
            return torch.arange(len(self.csr.source), device=self.csr.source.device)

    @cached_property
    def reversed_number(self) -> Tensor:
        """`[E]`: the same for the edges by source."""
        with outside():
            return self.csr.perm if self.number is None else self.number[self.csr.perm]

    @cached_property
    def place(self) -> Tensor:
        """`[E]`: the edge of each row of a factor of edges."""
        with outside():
            place = torch.empty_like(self.number_or_own)
            place[self.number_or_own] = torch.arange(len(place), device=place.device)
            return place

    @cached_property
    def given_edges(self) -> Tensor:
        """The edges that leave given states."""
        with outside():
            return (self.csr.source >= self.num_nodes).nonzero().flatten()

    @cached_property
    def inner(self) -> Tensor:
        """The edges between nodes."""
        with outside():
            return (self.csr.source < self.num_nodes).nonzero().flatten()

    @cached_property
    def levels(self) -> list[Level]:
        """The edges between nodes by the level of their targets."""
        with outside():
            return self._by_level(self.csr.source, self.csr.target, self.level)

    @cached_property
    def levels_reversed(self) -> list[Level]:
        """The same edges reversed, by the level of their sources, the last first."""
        with outside():
            return self._by_level(self.csr.target, self.csr.source, self.depth - 1 - self.level)

    def _by_level(self, begin: Tensor, to: Tensor, level: Tensor) -> list[Level]:
        level = level[to[self.inner]]
        edges = self.inner[torch.argsort(level, stable=True)]
        counts = torch.bincount(level, minlength=self.depth).tolist()
        parts = (numbers.split(counts) for numbers in (edges, begin[edges], to[edges]))
        return [Level(*part) for part in zip(*parts, strict=True) if len(part[0])]

    @cached_property
    def level(self) -> Tensor:
        """`[N]`: of each node."""
        with outside():
            counts = self.bounds.diff().to(self.by_level.device)
            numbers = torch.arange(self.depth, device=self.by_level.device)
            level = torch.empty_like(self.by_level)
            level[self.by_level] = torch.repeat_interleave(numbers, counts)
            return level

    @cached_property
    def has_one_source(self) -> bool:
        """Whether no node has more than one other as its source."""
        return not _is_repeated(self.csr.target[self.inner], self.num_nodes)

    @cached_property
    def has_one_target(self) -> bool:
        """Whether no node has more than one other as its target."""
        return not _is_repeated(self.csr.source[self.inner], self.num_nodes)

    @cached_property
    def grid(self) -> Grid | None:
        """The nodes as chains side by side, if they are chains, and of nearly equal lengths."""
        if not (self.has_one_source and self.has_one_target):
            return None
        with outside():
            return self._grid()

    def _grid(self) -> Grid | None:
        heads = self.by_level[: int(self.bounds[1])]
        if self.depth * len(heads) > 2 * self.num_nodes:
            return None
        device, count = heads.device, self.num_nodes
        first = torch.arange(count, device=device)
        first[self.csr.target[self.inner]] = self.csr.source[self.inner]
        for _ in range((self.depth - 1).bit_length()):
            first = first[first]
        rank = torch.empty_like(first)
        rank[heads] = torch.arange(len(heads), device=device)
        place = self.level * len(heads) + rank[first]
        node = torch.full((self.depth * len(heads),), -1, device=device)
        node[place] = torch.arange(count, device=device)
        is_padding = None if len(node) == count else node < 0
        return Grid(self.depth, len(heads), node.clamp(min=0), place, is_padding)

    @cached_property
    def jumps(self) -> list[Jump]:
        """Pointers to sources, or where a node may have several of them to targets, that jump twice as far each time.

        Each is a pass: the nodes that have a pointer, and where it leads.
        """
        with outside():
            ends = self.csr.target[self.inner], self.csr.source[self.inner]
            at, to = ends if self.has_one_source else ends[::-1]
            return _jumps(at, to, self.num_nodes)


def _is_repeated(numbers: Tensor, count: int) -> bool:
    with outside():
        return bool(len(numbers)) and int(torch.bincount(numbers, minlength=count).max()) > 1


def _jumps(at: Tensor, to: Tensor, count: int) -> list[Jump]:
    jump = torch.full((count,), -1, device=at.device)
    jump[at] = to
    found, node = [], (jump >= 0).nonzero().flatten()
    while len(node):
        to = jump[node]
        found.append((node, to))
        ahead = jump[to]
        jump[node] = ahead
        node = node[ahead >= 0]
    return found

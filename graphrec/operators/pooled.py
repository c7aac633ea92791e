"""Rows of nodes combined by the graph that each belongs to."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .segments import move, segment_sum, spread


def lowest(dtype: torch.dtype) -> float:
    """The number of a type that none is below."""
    return -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min


class Pooled:
    """The inbox of one more node per graph, in which edge v leaves node v. Nothing is sorted, and no number is read.

    Args:
        h: `[N, ...]`, the nodes' rows.
        graph: `[N]`, of each node.
        num_graphs: G.
    """

    h: Tensor

    def __init__(self, h: Tensor, graph: Tensor, num_graphs: int) -> None:
        self.h, self._graph, self._count = h, graph, num_graphs

    def sum(self, values: Tensor) -> Tensor:
        """`[N, ...] → [G, ...]`; whole numbers and truths are added up as int64, as torch's own sum does."""
        return self._total(values if values.is_floating_point() or values.is_complex() else values.long())

    def _total(self, values: Tensor) -> Tensor:
        return values.new_zeros(self._count, *values.shape[1:]).index_add(0, self._graph, values)

    def mean(self, values: Tensor) -> Tensor:
        """`[N, ...] → [G, ...]`."""
        return self.sum(values) / self._sizes().clamp(min=1).view(-1, *[1] * (values.dim() - 1))

    def max(self, values: Tensor) -> Tensor:
        """`[N, ...] → [G, ...]`; where values tie, they share the gradient equally."""
        if values.dtype == torch.bool:
            return self.max(values.byte()).bool()
        if not values.shape[0]:
            return self._total(values)
        index = self._graph.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
        # (Not from zeros that are left out: where the largest value is zero, torch would share its gradient with them.)
        start = values.new_full((self._count, *values.shape[1:]), lowest(values.dtype))
        highest = start.scatter_reduce(0, index, values, "amax")
        has_nodes = self._sizes().view(-1, *[1] * (values.dim() - 1)) > 0
        return torch.where(has_nodes, highest, torch.zeros_like(highest))

    def softmax(self, scores: Tensor) -> Tensor:
        """`[N, ...] → [N, ...]`: weights that sum to one over each graph."""
        weight = torch.exp(scores - self._to_nodes(self.max(scores.detach())))
        return weight / self._to_nodes(self.sum(weight))

    def _to_nodes(self, rows: Tensor) -> Tensor:
        """`[G, ...] → [N, ...]`: to each node the row of its graph."""
        return rows.index_select(0, self._graph)

    def _sizes(self) -> Tensor:
        """`[G]`: the number of each graph's nodes."""
        return self.sum(torch.ones_like(self._graph))


class Groups(NamedTuple):
    """The nodes of graphs, sorted by graph.

    Attributes:
        there, back: `[N]`, the nodes as sorted, and the place of each; None: they are sorted as they are.
        graph: `[N]`, ascending.
        offsets: `[G]`, where the nodes of each graph begin.
    """

    there: Tensor | None
    back: Tensor | None
    graph: Tensor
    offsets: Tensor


class PooledByGroups(Pooled):
    """The same for nodes that have been sorted by graph: gathers in both passes, where those above scatter.

    Args:
        h, graph, num_graphs: as above.
        groups: the nodes, sorted.
    """

    def __init__(self, h: Tensor, graph: Tensor, num_graphs: int, groups: Groups) -> None:
        super().__init__(h, graph, num_graphs)
        self._groups = groups

    def _total(self, values: Tensor) -> Tensor:
        if not values.shape[0]:
            return super()._total(values)
        there, back, graph, offsets = self._groups
        if there is not None and back is not None:
            values = move(values, there, back)
        return segment_sum(values, offsets, graph)

    def _to_nodes(self, rows: Tensor) -> Tensor:
        there, back, graph, offsets = self._groups
        values = spread(rows, offsets, graph)
        return values if there is None or back is None else move(values, back, there)

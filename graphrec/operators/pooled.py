"""Rows of nodes combined by the graph that each belongs to, in any order: nothing is sorted, and no number is read."""

from __future__ import annotations

import torch
from torch import Tensor


class Pooled:
    """What readouts need of the inbox of one more node per graph, in which edge v leaves node v.

    Args:
        h: `[N, ...]`, the nodes' rows.
        graph: `[N]`, of each node.
        num_graphs: G.
    """

    def __init__(self, h: Tensor, graph: Tensor, num_graphs: int) -> None:
        self.h, self._graph, self._count = h, graph, num_graphs

    def sum(self, values: Tensor) -> Tensor:
        """`[N, ...] → [G, ...]`."""
        return values.new_zeros(self._count, *values.shape[1:]).index_add(0, self._graph, values)

    def mean(self, values: Tensor) -> Tensor:
        """`[N, ...] → [G, ...]`."""
        size = self.sum(torch.ones_like(self._graph)).clamp(min=1)
        return self.sum(values) / size.view(-1, *[1] * (values.dim() - 1))

    def max(self, values: Tensor) -> Tensor:
        """`[N, ...] → [G, ...]`; where values tie, they share the gradient equally."""
        index = self._graph.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
        empty = values.new_zeros(self._count, *values.shape[1:])
        return empty.scatter_reduce(0, index, values, "amax", include_self=False)

    def softmax(self, scores: Tensor) -> Tensor:
        """`[N, ...] → [N, ...]`: weights that sum to one over each graph."""
        highest = self.max(scores.detach())
        weight = torch.exp(scores - highest.index_select(0, self._graph))
        return weight / self.sum(weight).index_select(0, self._graph)

    def in_order(self, values: Tensor) -> Tensor:
        """The values: they are in the nodes' order."""
        return values

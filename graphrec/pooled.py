"""Readouts of structures that are inputs of a compiled or exported program: by the graph of each node, sorting nothing.

The operator `graphrec::sinks` is that of `graphrec.backends`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .structure import Structure
from .structure.traced import TracedStructure


class Pooled:
    """The inbox of one more node per graph, with what readouts need of an `Inbox`; edge v leaves node v.

    Args:
        h: `[N, ...]`, the nodes' rows.
        structure: theirs.
    """

    def __init__(self, h: Tensor, structure: Structure) -> None:
        self.h, self._graph, self._count = h, structure.graph, structure.num_graphs

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
        """The values, which are in the nodes' order."""
        return values


def root_of_each(s: Structure) -> Tensor:
    """`[G]`: the only root of each graph, -1 for a graph without nodes; that there is one is checked when it runs."""
    backward = isinstance(s, TracedStructure) and s.backward
    edge_index = s.given.edge_index if isinstance(s, TracedStructure) else s.edge_index
    return torch.ops.graphrec.sinks(edge_index, s.graph, s.num_nodes, s.num_graphs, backward)


def last_of_each(s: Structure) -> Tensor:
    """`[G]`: the node of each graph with the highest number, -1 for a graph without nodes."""
    numbers = torch.ones_like(s.graph).cumsum(0) - 1
    return numbers.new_full((s.num_graphs,), -1).scatter_reduce(0, s.graph, numbers, "amax")

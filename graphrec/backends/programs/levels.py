"""What the executor in PyTorch knows of each level: index tensors, computed once per schedule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ...operators import gather_sum
from ...program.recording import Sort, sorts, sorts_by_kind
from ...schedule import Schedule, degree
from ...schedule.derived import derived
from ...schedule.inboxes import target_position


@dataclass(frozen=True, eq=False)
class Level:
    """The nodes of one sort in a level, or in a round.

    Attributes:
        sort: kind, and whether edges enter.
        nodes, edges: their positions and inbox edges.
        of_sort, edges_of_sort: the same, counted among the nodes and edges of their sort.
        source: `[e]`, the row that each in-edge leaves.
        target: `[e]`, the node that it enters, counted in the level.
        first: `[n]`, where each node's in-edges begin.
        degree: how many in-edges each node has, if all have equally many.
        out, out_first: the out-edges, node by node, and where those of each node begin.
        out_degree: as degree.
    """

    sort: Sort
    nodes: slice
    edges: slice
    of_sort: slice
    edges_of_sort: slice
    source: Tensor
    target: Tensor
    first: Tensor
    degree: int | None
    out: Tensor
    out_first: Tensor
    out_degree: int | None

    @property
    def num_nodes(self) -> int:
        """n."""
        return self.nodes.stop - self.nodes.start

    @cached_property
    def _in_order(self) -> Tensor:
        return torch.arange(len(self.source), device=self.source.device)

    def sum_edges(self, rows: Tensor) -> Tensor:
        """From in-edges to nodes."""
        if self.degree == 1:
            return rows
        if self.degree is not None:
            return rows.reshape(self.num_nodes, self.degree, -1).sum(1)
        return gather_sum(rows.contiguous(), self._in_order, self.first)

    def max_edges(self, rows: Tensor) -> Tensor:
        """From in-edges to nodes, the largest; minus infinity where there are none."""
        if self.degree:
            return rows.reshape(self.num_nodes, self.degree, -1).amax(1)
        empty = rows.new_full((self.num_nodes, rows.shape[1]), -torch.inf)
        return empty.scatter_reduce(0, self.target.unsqueeze(1).expand_as(rows), rows, "amax")

    def to_edges(self, rows: Tensor) -> Tensor:
        """From nodes to in-edges."""
        return rows if self.degree == 1 else rows.index_select(0, self.target)

    def pull(self, rows: Tensor) -> Tensor:
        """From rows of all edges to nodes: the sums over their out-edges."""
        if self.out_degree == 1:
            return rows.index_select(0, self.out)
        return F.embedding_bag(self.out, rows, self.out_first, mode="sum")


@derived
def levels(plan: Schedule) -> list[list[Level]]:
    """The levels, or the one round, of a cell without kinds."""
    return _levels(plan, sorts(plan))


@derived
def levels_by_kind(plan: Schedule) -> list[list[Level]]:
    """The same of a cell with kinds."""
    return _levels(plan, sorts_by_kind(plan))


@derived
def boundary(plan: Schedule) -> Level:
    """The rows that exist before the first step, as a level that no edge enters."""
    count = plan.boundary.shape[0]
    rows = slice(0, count)
    out, first = _out(plan)
    nothing = plan.source[:0]
    zeros = torch.zeros_like(plan.boundary)
    bounds = first[: count + 1].tolist()
    mine = out[bounds[0] : bounds[-1]]
    return Level(
        (0, False),
        rows,
        slice(0, 0),
        rows,
        slice(0, 0),
        nothing,
        nothing,
        zeros,
        0,
        mine,
        first[:count],
        _equal(bounds),
    )


def _out(plan: Schedule) -> tuple[Tensor, Tensor]:
    """The edges sorted by the row that they leave, and where those of each row begin, `[R + 1]`."""
    rows = plan.boundary.shape[0] + (0 if plan.mode == "sync" else plan.num_nodes)
    first = plan.source.new_zeros(rows + 1)
    first[1:] = torch.cumsum(torch.bincount(plan.source, minlength=rows), 0)
    return torch.argsort(plan.source, stable=True), first


def _equal(bounds: list[int]) -> int | None:
    counts = {stop - start for start, stop in zip(bounds, bounds[1:], strict=False)}
    return counts.pop() if len(counts) == 1 else None


def _levels(plan: Schedule, of: list[list[tuple[Sort, slice, slice]]]) -> list[list[Level]]:
    out, out_first = _out(plan)
    # In rounds the nodes are the boundary rows of the next one; else they stand behind those.
    offset = 0 if plan.mode == "sync" else plan.boundary.shape[0]
    target, counts = target_position(plan), degree(plan)
    first = torch.cumsum(counts, 0) - counts
    out_bounds, degrees = out_first.tolist(), counts.tolist()
    nodes_so_far: dict[Sort, int] = {}
    edges_so_far: dict[Sort, int] = {}
    made = []
    for level in of:
        made.append([])
        for sort, nodes, edges in level:
            n, e = nodes.stop - nodes.start, edges.stop - edges.start
            n0, e0 = nodes_so_far.get(sort, 0), edges_so_far.get(sort, 0)
            nodes_so_far[sort], edges_so_far[sort] = n0 + n, e0 + e
            rows = slice(offset + nodes.start, offset + nodes.stop)
            bounds = out_bounds[rows.start : rows.stop + 1]
            here = set(degrees[nodes])
            made[-1].append(
                Level(
                    sort,
                    nodes,
                    edges,
                    slice(n0, n0 + n),
                    slice(e0, e0 + e),
                    plan.source[edges],
                    target[edges] - nodes.start,
                    first[nodes] - edges.start,
                    here.pop() if len(here) == 1 else None,
                    out[bounds[0] : bounds[-1]],
                    out_first[rows] - bounds[0],
                    _equal(bounds),
                )
            )
    return made

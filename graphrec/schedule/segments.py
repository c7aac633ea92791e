"""Runs of nodes without forks or joins, in any acyclic structure, in the layout for running them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..structure import native
from ..structure.outside import outside
from .derived import derived
from .inboxes import target_position
from .levels import longest_paths
from .plan import Schedule
from .side_by_side import SideBySide


@dataclass(frozen=True, eq=False)
class Segments(SideBySide):
    """A schedule as S segments: maximal runs of nodes, each of which has one source, whose only target it is.

    A node continues its source's segment if it has one inbox edge, and if that is the only edge that leaves its source.
    Any other node is the *head* of a segment: one without sources, with several, behind a fork, or with an initial
    state. So what a head reads are boundary rows and the last nodes of other segments, and each segment is a chain.
    A segment's level is the length of the longest path of segments to it. Segments are numbered level by level, in a
    level longest first, and then as their heads' positions.

    Attributes:
        segment: `[N]`, the number of each node's segment.
        length: `[S]`.
        degree: `[S]`, how many inbox edges its head has.
        row: `[S]`, the row of the schedule (boundary rows, then positions) that its head reads, if it is a single
            one; else -1.
        parent: `[S]`, the segment whose last node that is, if it is a node; else -1.
        segment_bounds: `[levels + 1]`, the first segment of each level.
    """

    segment: Tensor
    length: Tensor
    degree: Tensor
    row: Tensor
    parent: Tensor
    segment_bounds: list[int]

    @property
    def num_segments(self) -> int:
        """S."""
        return self.segment_bounds[-1]

    @property
    def num_levels(self) -> int:
        """How many levels of segments there are."""
        return len(self.segment_bounds) - 1

    @cached_property
    def never_joins(self) -> bool:
        """Whether no node has several sources: trees, read downwards."""
        with outside():
            return not bool((self.degree > 1).any())

    @cached_property
    def last_step(self) -> Tensor:
        """`[S]`: the last step of each segment."""
        with outside():
            first, bounds = (
                torch.tensor(at, device=self.perm.device) for at in (self.step_bounds, self.segment_bounds)
            )
            return torch.repeat_interleave(first[:-1], bounds.diff()) + self.length - 1


_ON_HOST = ("counts", "step_bounds", "segment_bounds")


@derived
def segments(plan: Schedule) -> Segments | None:
    """The segments of a schedule in async mode; None where nodes are updated more than once."""
    if plan.mode != "async" or plan.cycles or plan.sweeps:
        return None
    given = (plan.boundary.shape[0], plan.source, target_position(plan), plan.perm)
    found = native.segments(*given) or _by_pointers(plan, *given)
    numbers = {name: value.tolist() if name in _ON_HOST else value for name, value in found._asdict().items()}
    return Segments(**numbers)


def _by_pointers(plan: Schedule, first: int, row: Tensor, target: Tensor, node: Tensor) -> native.Segments:
    device, count = plan.device, plan.num_nodes
    source, every = row - first, torch.arange(count, device=device)
    incoming = torch.bincount(target, minlength=count)
    goes_on = (
        (incoming[target] == 1) & (source >= 0) & (torch.bincount(row, minlength=first + count)[row] == 1)
    )
    head = every.clone()
    head[target[goes_on]] = source[goes_on]
    # Pointers that jump twice as far each time.
    moving = target[goes_on]
    while len(moving):
        further = head[head[moving]]
        is_moving = further != head[moving]
        moving, further = moving[is_moving], further[is_moving]
        head[moving] = further
    heads = (head == every).nonzero().flatten()
    number = torch.empty_like(head)
    number[heads] = torch.arange(len(heads), device=device)
    number = number[head]
    length = torch.bincount(number, minlength=len(heads))
    between = ~goes_on & (source >= 0)
    level = longest_paths(number[source[between]], number[target[between]], len(heads))
    order = torch.argsort(level * (count + 1) - length, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=device)
    heads, level, length, segment = heads[order], level[order], length[order], rank[number]
    widths = torch.bincount(level)
    segment_bounds = _begins(widths)
    step_bounds = _begins(length[segment_bounds[:-1]])
    # A node's only source is on the level below: levels tell how far it is from its head.
    depth = torch.repeat_interleave(torch.arange(len(plan.steps)), plan.steps.nodes.diff()).to(device)
    step = step_bounds[level[segment]] + depth - depth[head]
    counts = torch.bincount(step)
    place = _begins(counts)[step] + segment - segment_bounds[level[segment]]
    perm = torch.empty_like(place)
    perm[place] = node
    degree, read = incoming[heads], torch.full_like(head, -1)
    read[target] = row
    read = torch.where(degree == 1, read[heads], -1)
    return native.Segments(
        perm=perm,
        inv_perm=place[plan.inv_perm],
        segment=segment[plan.inv_perm],
        length=length,
        degree=degree,
        row=read,
        parent=torch.where(read < first, -1, segment[(read - first).clamp(min=0)]),
        segment_bounds=segment_bounds,
        step_bounds=step_bounds,
        counts=counts,
    )


def _begins(counts: Tensor) -> Tensor:
    """Where each group begins, and the total."""
    return torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])

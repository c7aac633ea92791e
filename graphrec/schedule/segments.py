"""Runs of nodes without forks or joins, in any acyclic structure, in the layout for running them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..structure.outside import outside
from .chains import Blocks
from .derived import derived
from .inboxes import degree, target_position
from .levels import longest_paths
from .plan import Schedule


@dataclass(frozen=True, eq=False)
class Segments:
    """A schedule as S segments: maximal runs of nodes, each of which has one source, whose only target it is.

    A node continues its source's segment if it has one inbox edge, and if that is the only edge that leaves its source.
    Any other node is the *head* of a segment: one without sources, with several, behind a fork, or with an initial
    state. So what a head reads are boundary rows and the last nodes of other segments, and each segment is a chain.
    A segment's level is the length of the longest path of segments to it. Segments are numbered level by level, in a
    level longest first, and then as their heads' positions.

    Attributes:
        perm, inv_perm: `[N]`, the nodes level of segments after level, in a level step by step (the heads, what follows
            them, …), in a step as their segments; and the place of each node.
        segment: `[N]`, the number of each node's segment.
        length: `[S]`.
        degree: `[S]`, how many inbox edges its head has.
        source: `[S]`, the row of the schedule (boundary rows, then positions) that its head reads, if it is a single
            one; else -1.
        parent: `[S]`, the segment whose last node that is; else -1.
        segment_bounds: `[levels + 1]`, the first segment of each level.
        step_bounds: `[levels + 1]`, the first step of each level; steps are counted on from level to level.
        counts: how many segments reach each step; never rising in a level.
    """

    perm: Tensor
    inv_perm: Tensor
    segment: Tensor
    length: Tensor
    degree: Tensor
    source: Tensor
    parent: Tensor
    segment_bounds: list[int]
    step_bounds: list[int]
    counts: list[int]

    @property
    def num_segments(self) -> int:
        """S."""
        return self.segment_bounds[-1]

    @property
    def num_levels(self) -> int:
        """How many levels of segments there are."""
        return len(self.segment_bounds) - 1

    @cached_property
    def is_identity(self) -> bool:
        """Whether the nodes are numbered as they stand already."""
        with outside():
            return torch.equal(self.perm, torch.arange(len(self.perm), device=self.perm.device))

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

    @cached_property
    def blocks(self) -> Blocks:
        """The segments of each level in a few blocks of equally long pieces."""
        with outside():
            return Blocks.of(self.perm, self.counts, self.last_step, self.step_bounds)


@derived
def segments(plan: Schedule) -> Segments | None:
    """The segments of a schedule in async mode; None where nodes are updated more than once."""
    if plan.mode != "async" or plan.cycles or plan.sweeps:
        return None
    first, count, device = plan.boundary.shape[0], plan.num_nodes, plan.device
    target, incoming = target_position(plan), degree(plan)
    outgoing = torch.bincount(plan.source, minlength=first + count)
    source = plan.source - first  # positions; boundary rows are below 0
    goes_on = (incoming[target] == 1) & (source >= 0) & (outgoing[plan.source] == 1)
    head = torch.arange(count, device=device)
    head[target[goes_on]] = source[goes_on]
    # A node's only source is on the level below, so that levels tell how far a node is from its head, once that is
    # found by pointers that jump twice as far each time.
    moving = target[goes_on]
    while len(moving):
        further = head[head[moving]]
        is_moving = further != head[moving]
        moving = moving[is_moving]
        head[moving] = further[is_moving]
    heads = (head == torch.arange(count, device=device)).nonzero().flatten()
    number = torch.empty_like(head)
    number[heads] = torch.arange(len(heads), device=device)
    number = number[head]
    length = torch.bincount(number, minlength=len(heads))
    joins = ~goes_on & (source >= 0)
    level = longest_paths(number[source[joins]], number[target[joins]], len(heads))
    # The segments in order; the steps of each level, and how many segments reach them.
    order = torch.argsort(level * (count + 1) - length, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=device)
    level, length, segment = level[order], length[order], rank[number]
    widths = torch.bincount(level)
    of_level = torch.cumsum(widths, 0) - widths
    steps = length[of_level]
    bounds = torch.cumsum(steps, 0) - steps
    depth = torch.repeat_interleave(
        torch.arange(len(plan.steps), device=device), plan.steps.nodes.diff().to(device)
    )
    step = bounds[level[segment]] + depth - depth[head]
    counts = torch.bincount(step)
    place = (torch.cumsum(counts, 0) - counts)[step] + segment - of_level[level[segment]]
    perm = torch.empty_like(place)
    perm[place] = plan.perm
    heads = heads[order]
    row = torch.full_like(head, -1)
    row[target] = plan.source
    degrees = incoming[heads]
    read = torch.where(degrees == 1, row[heads], -1)
    return Segments(
        perm=perm,
        inv_perm=place[plan.inv_perm],
        segment=segment[plan.inv_perm],
        length=length,
        degree=degrees,
        source=read,
        parent=torch.where(read < first, -1, segment[(read - first).clamp(min=0)]),
        segment_bounds=[*of_level.tolist(), len(heads)],
        step_bounds=[*bounds.tolist(), len(counts)],
        counts=counts.tolist(),
    )

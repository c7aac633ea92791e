"""Nodes sorted by level and kind, edges by target and slot: by C where it can, else by torch, with equal results."""

from __future__ import annotations

import torch
from torch import Tensor

from ..structure import native
from ..structure.native import Inboxes, Sorted


def order_of(level: Tensor, kind: Tensor | None) -> Sorted:
    """The nodes by level, in a level by kind, so that a step's nodes of one kind are contiguous, and then by number.

    Args:
        level: `[N]`.
        kind: `[N]`, or None.
    """
    found = native.order(level, kind)
    if found is not None:
        return found
    sizes = torch.bincount(level)
    bounds = torch.cat([sizes.new_zeros(1), torch.cumsum(sizes, 0)])
    if kind is None:
        perm = torch.argsort(level, stable=True)
    else:
        by_kind = torch.argsort(kind, stable=True)
        perm = by_kind[torch.argsort(level[by_kind], stable=True)]
    inv_perm = torch.empty_like(perm)
    inv_perm[perm] = torch.arange(len(perm), device=perm.device)
    return Sorted(perm, inv_perm, bounds, is_identity=bool((perm[1:] > perm[:-1]).all()))


def sorted_edges(
    bounds: Tensor | None,
    num_nodes: int,
    position: Tensor | None,
    source: Tensor,
    target: Tensor,
    slot: Tensor,
    edge: Tensor | None,
    relation: Tensor | None,
) -> Inboxes:
    """The edges sorted as their targets are, and those of one target by slot.

    Args:
        bounds: `[levels + 1]`, the first position of each level, and N; None: there is one level.
        num_nodes: N.
        position: `[N]`, of each node; None: target is positions already, and source rows.
        source, target, slot: `[E]`.
        edge: `[E]`; None: 0, 1, 2, ….
        relation: `[E]`, or None.
    """
    found = native.inboxes(bounds, num_nodes, position, source, target, slot, edge, relation)
    if found is not None:
        return found
    if bounds is None:
        bounds = torch.tensor([0, num_nodes], device=source.device)
    if position is not None:
        source, target = position[source], position[target]
    num_slots = int(slot.max()) + 1 if slot.numel() else 0
    key, perm = torch.sort(target * max(num_slots, 1) + slot, stable=True)
    target = target[perm]
    first_edge, *of_levels = segment_layout(torch.bincount(target, minlength=num_nodes), bounds)
    begin = torch.repeat_interleave(bounds[:-1], bounds.diff())
    return Inboxes(
        source=source[perm],
        target=target - begin[target],
        edge=perm if edge is None else edge[perm],
        slot=slot[perm],
        relation=None if relation is None else relation[perm],
        first_edge=first_edge,
        edge_bounds=of_levels[0],
        fewest=of_levels[1],
        most=of_levels[2],
        num_slots=num_slots,
        distinct_slots=not bool((key[1:] == key[:-1]).any()),
    )


def segment_layout(count: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How segments of `count` items, in groups that begin at `bounds`, are laid out one after another.

    Returns where each segment begins, counted from its group's first item; where each group begins; and for
    each group the lengths of its shortest and longest segments (0 for a group without segments).
    """
    stops = torch.cat([count.new_zeros(1), torch.cumsum(count, 0)])
    size = bounds.diff()
    group = torch.repeat_interleave(torch.arange(size.shape[0], device=count.device), size)
    first = stops[:-1] - stops[bounds[:-1]][group]
    empty = torch.zeros_like(size)
    shortest = empty.scatter_reduce(0, group, count, "amin", include_self=False)
    longest = empty.scatter_reduce(0, group, count, "amax", include_self=False)
    return first, stops[bounds], shortest, longest

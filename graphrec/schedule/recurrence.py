"""A schedule as the edges of a linear recurrence, in the caller's numbering."""

from __future__ import annotations

import torch
from torch import Tensor

from ..operators import CSR, RecurrenceEdges
from ..structure import Structure, native
from .compile import schedule
from .derived import derived
from .inboxes import degree, target_position
from .plan import Schedule


@derived
def recurrence_edges(plan: Schedule) -> RecurrenceEdges:
    """Of a schedule in async mode; the rows of the boundary are given states.

    (A factor of edges has a row for each inbox edge, in the schedule's order.)
    """
    count, given = plan.num_nodes, plan.boundary.shape[0]
    source, target = plan.source, target_position(plan)
    if given:
        source = torch.where(source < given, source + count, source - given)
    number = None
    if plan.is_identity:
        offsets = torch.cumsum(degree(plan), 0) - degree(plan)
    else:
        # From positions to nodes.
        numbers = torch.cat([plan.perm, torch.arange(count, count + given, device=plan.device)])
        target, source, number, offsets = _by_target(numbers[source], plan.perm[target], count)
    inner = source < count if given else slice(None)
    ascends, descends = (bool(found.all()) for found in _directions(source[inner], target[inner]))
    return RecurrenceEdges(
        csr=CSR(source, target, offsets, count + given),
        number=number,
        order=None if ascends or descends else plan.perm,
        descending=descends and not ascends,
        by_level=plan.perm,
        bounds=plan.steps.nodes,
    )


@derived
def without_edges(plan: Schedule) -> Schedule:
    """The nodes alone, all on one level."""
    s = plan.structure
    nothing = torch.zeros(2, 0, dtype=torch.long, device=s.device)
    return schedule(Structure(num_nodes=s.num_nodes, edge_index=nothing))


def _directions(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return source < target, source > target


def _by_target(source: Tensor, target: Tensor, count: int) -> tuple[Tensor, ...]:
    """The edges sorted by target: target, source, number; where each target's begin."""
    found = native.transpose(target, source, count)
    if found is not None:
        number, target, source, offsets = found
        return target, source, number, offsets
    number = torch.argsort(target, stable=True)
    degrees = torch.bincount(target, minlength=count)
    return target[number], source[number], number, torch.cumsum(degrees, 0) - degrees

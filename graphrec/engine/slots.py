"""Whether a cell has the slots that a schedule fills, and what is wrong where it has not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..schedule import Schedule


def slot_fault(plan: Schedule, count: int) -> str:
    """What is wrong with the slots of a schedule, for a cell that has `count` of them."""
    if plan.num_slots > count:
        worst = int(plan.slot.argmax())
        return (
            f"the cell has {count} slot{'s' * (count != 1)}, but the structure fills slot {int(plan.slot[worst])} of "
            f"node {_target_node(plan, worst)}: make the cell with an arity of at least {plan.num_slots}, or use one "
            f"that sums its inbox."
        )
    twice = plan.slot.new_zeros(plan.num_edges, dtype=torch.bool)
    node = _all_targets(plan)
    twice[1:] = (node[1:] == node[:-1]) & (plan.slot[1:] == plan.slot[:-1])
    edge = int(twice.nonzero()[0])
    return (
        f"two edges fill slot {int(plan.slot[edge])} of node {int(node[edge])}: give each its own with "
        f"s.replace(slot=...), or use a cell that sums its inbox."
    )


def _all_targets(plan: Schedule) -> Tensor:
    begins = torch.cat(
        [plan.target.new_full((s.edges.stop - s.edges.start,), s.nodes.start) for s in plan.levels]
    )
    return plan.order[plan.target + begins]


def _target_node(plan: Schedule, edge: int) -> int:
    return int(_all_targets(plan)[edge])


def check_slots(plan: Schedule, cell: Any) -> None:
    """Raise if the structure has edges that the cell has no slot for."""
    arity = getattr(cell, "arity", None)
    if arity is not None and plan.num_edges and (plan.num_slots > arity or not plan.distinct_slots):
        raise ValueError(slot_fault(plan, arity))

"""Lookup tables of inboxes: degrees, loops, the nodes of each kind, and slots."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..operators import CSR
from ..structure.outside import outside
from .derived import derived
from .plan import Schedule, Steps
from .sorting import segment_layout


@derived
def degree(plan: Schedule) -> Tensor:
    """`[N]` long: how many inbox edges each position has."""
    return torch.bincount(target_position(plan), minlength=plan.num_nodes)


@derived
def as_one_step(plan: Schedule) -> Schedule:
    """The same inboxes, for all nodes together (async mode)."""
    each = degree(plan)
    fewest, most = (int(bound) for bound in each.aminmax())
    steps = Steps([0, plan.num_nodes], [0, plan.num_edges], [fewest], [most], len(plan.boundary), None)
    return replace(plan, steps=steps, target=target_position(plan), first_edge=each.cumsum(0) - each)


@derived
def is_loop(plan: Schedule) -> Tensor | None:
    """`[E]` bool: whether an inbox edge leaves the node that it enters; None if none does."""
    s = plan.structure
    loops = s.source == s.target
    return loops[plan.edge.clamp(min=0)] & (plan.edge >= 0) if bool(loops.any()) else None


@derived
def round_csr(plan: Schedule) -> CSR:
    """The edges of a round (sync mode)."""
    return CSR(plan.source, plan.target, plan.first_edge, plan.num_nodes)


def pair_csr(plan: Schedule, num_targets: int) -> CSR:
    """The edges of a round to the first `num_targets` nodes from the others, which are counted from 0."""
    name = f"pair of {num_targets}"
    if name not in plan.cache:
        with outside():
            source, first = plan.source - num_targets, plan.first_edge[:num_targets]
            plan.cache[name] = CSR(source, plan.target, first, plan.num_nodes - num_targets)
    return plan.cache[name]


class Part(NamedTuple):
    """The nodes of one kind in a step, which are contiguous, and their inboxes.

    Attributes:
        kind: of these nodes.
        nodes, edges: counted from the step's first node and first inbox edge.
        degree: how many edges each of the nodes receives, if all receive equally many.
        num_slots: one more than the highest slot among them.
        distinct_slots: whether no two edges fill the same slot of the same node.
    """

    kind: int
    nodes: slice
    edges: slice
    degree: int | None
    num_slots: int
    distinct_slots: bool


@derived
def parts(plan: Schedule) -> list[list[Part]]:
    """For each level the parts that it consists of; in sync mode of one round only, since all are alike.

    Raises:
        ValueError: the structure has no kinds.
    """
    kind = plan.structure.kind
    if not plan.num_nodes:  # a cell of any kind makes no rows of no nodes
        return [[Part(0, slice(0, 0), slice(0, 0), 0, 0, True)] for _ in plan.levels]
    if kind is None:
        raise ValueError(
            "the cell has equations for each kind of node, but the structure has no kinds: build it with kind=...."
        )
    kind = kind[plan.perm]
    levels = plan.steps.node_bounds
    begins = torch.ones_like(kind, dtype=torch.bool)
    begins[1:] = kind[1:] != kind[:-1]
    begins[plan.steps.nodes[:-1].to(plan.device)] = True
    firsts = begins.nonzero().flatten()
    bounds = [*firsts.tolist(), len(kind)]
    position = target_position(plan)
    count = torch.bincount(position, minlength=len(kind))
    part_of_edge = (torch.cumsum(begins, 0) - 1)[position]
    nothing = torch.zeros_like(firsts)
    slots = nothing.scatter_reduce(0, part_of_edge, plan.slot + 1, "amax").tolist()
    shared = nothing.scatter_add(0, part_of_edge, fills_slot_again(plan).long()).tolist()
    layout = segment_layout(count, torch.tensor(bounds, device=plan.device))
    edges, fewest, most = (numbers.tolist() for numbers in layout[1:])
    found: list[list[Part]] = []
    first_node = first_edge = 0
    for number, of_kind in enumerate(kind[firsts].tolist()):
        if bounds[number] == levels[len(found)]:
            first_node, first_edge = bounds[number], edges[number]
            found.append([])
        nodes = slice(bounds[number] - first_node, bounds[number + 1] - first_node)
        inbox = slice(edges[number] - first_edge, edges[number + 1] - first_edge)
        each = fewest[number] if fewest[number] == most[number] else None
        found[-1].append(Part(of_kind, nodes, inbox, each, slots[number], not shared[number]))
    return found


def fills_slot_again(plan: Schedule) -> Tensor:
    """`[E]` bool: whether the preceding inbox edge fills the same slot of the same node."""
    position, again = target_position(plan), torch.zeros_like(plan.slot, dtype=torch.bool)
    again[1:] = (position[1:] == position[:-1]) & (plan.slot[1:] == plan.slot[:-1])
    return again


def slot_fault(plan: Schedule, count: int) -> str:
    """What is wrong with the slots of a schedule, for a cell that has `count` of them."""
    node = plan.perm[target_position(plan)]
    if plan.num_slots > count:
        worst = int(plan.slot.argmax())
        return (
            f"the cell has {count} slot{'s' * (count != 1)}, but the structure fills slot {int(plan.slot[worst])} of "
            f"node {int(node[worst])}: make the cell with an arity of at least {plan.num_slots}, or use one "
            f"that sums its inbox."
        )
    edge = int(fills_slot_again(plan).nonzero()[0])
    return (
        f"two edges fill slot {int(plan.slot[edge])} of node {int(node[edge])}: give each its own with "
        f"s.replace(slot=...), or use a cell that sums its inbox."
    )


def target_position(plan: Schedule) -> Tensor:
    """`[E]`: the position of each inbox edge's target."""
    nodes, edges = (bounds.to(plan.device) for bounds in (plan.steps.nodes, plan.steps.edges))
    return plan.target + torch.repeat_interleave(nodes[:-1], edges.diff())

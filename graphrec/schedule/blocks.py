"""A schedule cut into blocks of steps, each a schedule of its own that begins with states of earlier ones."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..structure import Structure
from ..structure.outside import outside
from .compile import schedule
from .inboxes import target_position
from .plan import Schedule

# Of the rows of a tensor, some.
Rows = Tensor | slice


class Block(NamedTuple):
    """Some steps of a schedule, as a run of their own.

    Attributes:
        plan: their schedule. What they read of others are its boundary rows, of which the first are initial states and
            the others kept rows. In async mode its nodes are positions, counted from the first; in sync mode it is
            over the whole structure, with fewer rounds. Equal blocks that follow each other share it.
        nodes: the nodes that are updated, by the structure's numbers.
        edge: `[e]`, the structure's edge behind each edge of the plan, by the plan's numbers (-1: there is none).
        given: `[I]`, the nodes whose initial states are read.
        read: the kept rows that are read.
        kept: the kept rows that are its own.
        leaving: which of its states these are, counted from its first.
        is_shown: whether its states are part of the result.
    """

    plan: Schedule
    nodes: Rows
    edge: Tensor
    given: Tensor
    read: Rows
    kept: slice
    leaving: Tensor
    is_shown: bool


class Blocks(NamedTuple):
    """A schedule in blocks, and how many states are kept, from the blocks that make them for those that read them."""

    blocks: list[Block]
    num_kept: int


def blocks_of(plan: Schedule, size: int) -> Blocks:
    """The schedule in blocks of `size` steps: levels, or rounds; computed once.

    Together the blocks have as many nodes and edges as the schedule (in sync mode they are those of one round).
    """
    name = f"blocks of {size}"
    if name not in plan.cache:
        with outside():
            plan.cache[name] = _of_levels(plan, size) if plan.mode == "async" else _of_rounds(plan, size)
    return plan.cache[name]


def _of_rounds(plan: Schedule, size: int) -> Blocks:
    rounds, count = plan.rounds or 1, plan.num_nodes
    nothing, every = plan.perm[:0], torch.arange(plan.structure.num_edges, device=plan.device)
    made = []
    for number, begin in enumerate(range(0, rounds, size)):
        is_last = begin + size >= rounds
        made.append(
            Block(
                plan=schedule(plan.structure, "sync", min(size, rounds - begin)),
                nodes=slice(None),
                edge=every,
                given=nothing if number else plan.boundary,
                read=slice((number - 1) * count, number * count) if number else slice(0, 0),
                kept=slice(number * count, (number + (not is_last)) * count),
                leaving=nothing if is_last else plan.boundary,
                is_shown=is_last,
            )
        )
    return Blocks(made, (len(made) - 1) * count)


def _of_levels(plan: Schedule, size: int) -> Blocks:
    levels, boundary = len(plan.steps), plan.boundary.shape[0]
    cuts = [*range(0, levels, size), levels]
    nodes, edges = plan.steps.nodes[cuts].tolist(), plan.steps.edges[cuts].tolist()
    # (Block by block, so that nothing but the marks is as long as all rows or edges.)
    crosses = torch.zeros(plan.num_rows, dtype=torch.bool, device=plan.device)
    for first, *of_edges in zip(nodes[:-1], edges[:-1], edges[1:], strict=True):
        source = plan.source[slice(*of_edges)]
        crosses[source[source < boundary + first]] = True
    crosses = crosses[boundary:]
    number = torch.cumsum(crosses, 0) - 1
    every = torch.arange(max(plan.num_edges, plan.num_nodes), device=plan.device)
    made: list[Block] = []
    kept = 0
    for at in range(len(cuts) - 1):
        of_nodes, of_edges = slice(*nodes[at : at + 2]), slice(*edges[at : at + 2])
        source = plan.source[of_edges] - (boundary + of_nodes.start)
        is_outer = source < 0
        rows, which = torch.unique(source[is_outer] + of_nodes.start, return_inverse=True)
        inner = (source + len(rows)).masked_scatter(is_outer, which)
        part = _part(plan, slice(*cuts[at : at + 2]), of_nodes, of_edges, inner, len(rows), every)
        if made and _are_alike(made[-1].plan, part):
            part = made[-1].plan
        leaving = crosses[of_nodes].nonzero().flatten()
        made.append(
            Block(
                plan=part,
                nodes=of_nodes if plan.is_identity else plan.perm[of_nodes],
                edge=plan.edge[of_edges],
                given=plan.boundary[rows[rows < 0] + boundary],
                read=number[rows[rows >= 0]],
                kept=slice(kept, kept + len(leaving)),
                leaving=leaving,
                is_shown=True,
            )
        )
        kept += len(leaving)
    return Blocks(made, kept)


def _part(
    plan: Schedule, levels: slice, nodes: slice, edges: slice, source: Tensor, boundary: int, every: Tensor
) -> Schedule:
    """Some levels alone; source: `[e]`, the row of each inbox edge's source, behind so many boundary rows."""
    positions = every[: nodes.stop - nodes.start]
    part = replace(
        plan,
        perm=positions,
        inv_perm=positions,
        source=source,
        target=plan.target[edges],
        edge=every[: len(source)],
        slot=plan.slot[edges],
        relation=None if plan.relation is None else plan.relation[edges],
        boundary=positions.new_full((boundary,), -1),  # (they belong to no node of these levels)
        steps=plan.steps.part(levels.start, levels.stop, boundary),
        is_identity=True,
        first_edge=plan.first_edge[nodes],
        edge_mask=None,
        message_mask=None,
    )
    return replace(part, structure=_structure_within(plan.structure, plan.perm[nodes], part))


def _structure_within(s: Structure, nodes: Tensor, part: Schedule) -> Structure:
    """Some nodes, and the edges between them. (What edges carry is still that of all: a run is given its own rows.)"""
    boundary = part.boundary.shape[0]
    inside = part.source >= boundary
    graph, count = torch.zeros_like(nodes), 1
    if s.num_graphs > 1:  # counted anew: there may be as many graphs as nodes, and as many blocks as levels
        graphs, graph = torch.unique(s.graph[nodes], return_inverse=True)
        count = len(graphs)
    return Structure.counted_out(
        num_nodes=len(nodes),
        edge_index=torch.stack([part.source[inside] - boundary, target_position(part)[inside]]),
        slot=part.slot[inside],
        relation=None if part.relation is None else part.relation[inside],
        edge_attr=s.edge_attr,
        edge_weight=s.edge_weight,
        kind=None if s.kind is None else s.kind[nodes],
        graph=graph,
        num_graphs=count,
        relation_names=s.relation_names,
        kind_names=s.kind_names,
    )


def _are_alike(one: Schedule, other: Schedule) -> bool:
    """Whether what is derived of one schedule serves the other one."""
    return one == other and torch.equal(one.structure.graph, other.structure.graph)

"""A schedule's edges, seen in the other orders in which engines need them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..structure.outside import outside

if TYPE_CHECKING:
    from ..structure import Structure
    from .plan import Schedule


class Paths:
    """E edges from S sources to n targets, and how gradients come back along them: all that a round needs.

    Attributes:
        source: `[E]`.
        target: `[E]`, in ascending order.
        first: `[n]`, the first edge into each target.
        num_sources: S.
    """

    def __init__(self, source: Tensor, target: Tensor, first: Tensor, num_sources: int) -> None:
        self.source, self.target, self.first, self.num_sources = source, target, first, num_sources

    @cached_property
    def order(self) -> Tensor:
        """`[E]`: the edges sorted by source."""
        with outside():
            return torch.argsort(self.source, stable=True)

    @cached_property
    def back(self) -> Paths:
        """The same edges from their targets to their sources."""
        with outside():
            count = torch.bincount(self.source, minlength=self.num_sources)
            first = torch.cumsum(count, 0) - count
            source, target = self.target[self.order], self.source[self.order]
            return Paths(source, target, first, self.first.shape[0])


class Routes(NamedTuple):
    """Which rows of a new state go to which later steps: along which the loop sends its states.

    Attributes:
        row: `[E]`, the source of each edge as a row of its own level, sorted by source level and reading step.
        counts: per level, how many rows go to each of its readers.
        readers: per level, the steps that read it, in ascending order.
        bounds: where in `row` each level begins.
        arrival: `[E]`, for each inbox edge, where in its step's mail it lies.
        is_whole: for each level whether it sends each of its rows once, in their order, to its readers.
        is_sorted: for each step whether its mail comes in the order of its inbox edges.
    """

    row: Tensor
    counts: list[list[int]]
    readers: list[list[int]]
    bounds: list[int]
    arrival: Tensor
    is_whole: list[bool]
    is_sorted: list[bool]

    @staticmethod
    def of(plan: Schedule) -> Routes:
        """Read off a schedule in async mode; level 0 are the given rows, level k + 1 those of step k."""
        rows = torch.tensor(plan.steps.row_bounds, device=plan.device)
        edges = torch.tensor(plan.steps.edge_bounds, device=plan.device)
        level = torch.searchsorted(rows, plan.source, right=True) - 1
        # Empty levels (no given rows) share their bound with the next one; searchsorted finds the last of them.
        step = torch.searchsorted(edges, torch.arange(plan.num_edges, device=plan.device), right=True) - 1
        sent = torch.argsort(level * len(plan.steps) + step, stable=True)
        received = torch.argsort(step * (len(plan.steps) + 1) + level, stable=True)
        arrival = torch.empty_like(received)
        arrival[received] = torch.arange(plan.num_edges, device=plan.device) - edges[step]
        pairs, count = torch.unique_consecutive(
            torch.stack([level, step])[:, sent], dim=1, return_counts=True
        )
        counts: list[list[int]] = [[] for _ in range(len(plan.steps) + 1)]
        readers: list[list[int]] = [[] for _ in range(len(plan.steps) + 1)]
        for (sender, reader), rows_sent in zip(pairs.t().tolist(), count.tolist(), strict=True):
            counts[sender].append(rows_sent)
            readers[sender].append(reader)
        per_level = torch.bincount(level, minlength=len(plan.steps) + 1)
        bounds = [0, *torch.cumsum(per_level, 0).tolist()]
        row = (plan.source - rows[level])[sent]
        is_whole = _count_up(row, torch.tensor(bounds, device=plan.device), rows.diff())
        is_sorted = _count_up(arrival, edges, edges.diff())
        return Routes(row, counts, readers, bounds, arrival, is_whole, is_sorted)


def _count_up(numbers: Tensor, bounds: Tensor, sizes: Tensor) -> list[bool]:
    """For each part of the numbers, from one bound to the next, whether they are 0, 1, 2, … up to its size."""
    counts = bounds.diff()
    part = torch.repeat_interleave(torch.arange(len(counts), device=bounds.device), counts)
    wrong = numbers != torch.arange(len(numbers), device=bounds.device) - bounds[part]
    return ((torch.bincount(part[wrong], minlength=len(counts)) == 0) & (counts == sizes)).tolist()


class Part(NamedTuple):
    """The nodes of one kind in a step, which stand side by side, and their inboxes.

    Attributes:
        kind: of these nodes.
        nodes, edges: counted from the step's first node and first inbox edge.
        degree: how many edges each of the nodes receives, if all receive equally many.
        num_slots: one more than the highest slot of theirs.
        distinct_slots: whether no two edges fill the same slot of the same node.
    """

    kind: int
    nodes: slice
    edges: slice
    degree: int | None
    num_slots: int
    distinct_slots: bool


def parts_of(plan: Schedule) -> list[list[Part]]:
    """For each level the parts that it consists of; in sync mode, where all rounds have the same, of one round."""
    kind = plan.structure.kind
    if not plan.num_nodes:  # of no nodes any cell makes no rows
        return [[Part(0, slice(0, 0), slice(0, 0), 0, 0, True)] for _ in plan.levels]
    if kind is None:
        raise ValueError(
            "the cell has equations for each kind of node, but the structure has no kinds: build it with kind=...."
        )
    kind = kind[plan.order]
    levels = plan.steps.node_bounds
    begins = torch.ones_like(kind, dtype=torch.bool)
    begins[1:] = kind[1:] != kind[:-1]
    begins[torch.tensor(levels[:-1], device=plan.device)] = True
    firsts = begins.nonzero().flatten()
    bounds = [*firsts.tolist(), len(kind)]
    place = place_of_edge(plan)
    count = torch.bincount(place, minlength=len(kind))
    part_of_edge = (torch.cumsum(begins, 0) - 1)[place]
    nothing = torch.zeros_like(firsts)
    slots = nothing.scatter_reduce(0, part_of_edge, plan.slot + 1, "amax").tolist()
    # Inboxes are sorted by target and slot.
    twice = torch.zeros_like(plan.slot)
    twice[1:] = (place[1:] == place[:-1]) & (plan.slot[1:] == plan.slot[:-1])
    shared = nothing.scatter_add(0, part_of_edge, twice).tolist()
    _, edges, fewest, most = segment_layout(count, bounds)
    found: list[list[Part]] = []
    first_node = first_edge = 0
    for number, of_kind in enumerate(kind[firsts].tolist()):
        if bounds[number] == levels[len(found)]:
            first_node, first_edge = bounds[number], edges[number]
            found.append([])
        nodes = slice(bounds[number] - first_node, bounds[number + 1] - first_node)
        inbox = slice(edges[number] - first_edge, edges[number + 1] - first_edge)
        degree = fewest[number] if fewest[number] == most[number] else None
        found[-1].append(Part(of_kind, nodes, inbox, degree, slots[number], not shared[number]))
    return found


class Ends(NamedTuple):
    """Where each graph ends.

    Attributes:
        node: `[G]`, the node that no edge leaves (of several, the one with the highest number), or -1.
        everywhere: whether every graph has one.
        odd: a graph with nodes that has not exactly one such node, or -1.
    """

    node: Tensor
    everywhere: bool
    odd: int

    @staticmethod
    def of(structure: Structure) -> Ends:
        """Read off a structure."""
        leaves = torch.bincount(structure.source, minlength=structure.num_nodes)
        ends = (leaves == 0).nonzero().flatten()
        node = torch.full((structure.num_graphs,), -1, device=structure.device)
        node = node.scatter_reduce(0, structure.graph[ends], ends, "amax")
        count = torch.bincount(structure.graph[ends], minlength=structure.num_graphs)
        wanted = torch.bincount(structure.graph, minlength=structure.num_graphs).clamp(max=1)
        odd = (count != wanted).nonzero().flatten()
        return Ends(node, bool((node >= 0).all()), int(odd[0]) if len(odd) else -1)


def place_of_edge(plan: Schedule) -> Tensor:
    """`[E]`: the place of each inbox edge's target."""
    sizes = torch.tensor(plan.steps.edge_bounds, device=plan.device).diff()
    begins = torch.tensor(plan.steps.node_bounds[:-1], device=plan.device)
    return plan.target + torch.repeat_interleave(begins, sizes)


def segment_layout(count: Tensor, bounds: list[int]) -> tuple[Tensor, list[int], list[int], list[int]]:
    """How segments of `count` items, in groups that begin at `bounds`, lie side by side.

    Returns where each segment begins, counted from its group's first item; where each group begins; and for
    each group the length of its shortest and of its longest segment (0 for a group without segments).
    """
    ends = torch.cat([count.new_zeros(1), torch.cumsum(count, 0)])
    cuts = torch.tensor(bounds, device=count.device)
    size = cuts.diff()
    group = torch.repeat_interleave(torch.arange(size.shape[0], device=count.device), size)
    first = ends[:-1] - ends[cuts[:-1]][group]
    empty = torch.zeros_like(size)
    shortest = empty.scatter_reduce(0, group, count, "amin", include_self=False)
    longest = empty.scatter_reduce(0, group, count, "amax", include_self=False)
    return first, ends[cuts].tolist(), shortest.tolist(), longest.tolist()

"""A schedule's edges, seen in the other orders in which engines need them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .levels import levels

if TYPE_CHECKING:
    from ..structure import Structure
    from .plan import Schedule


class Outbox(NamedTuple):
    """For each row of the state, the inbox edges that read it: what the reverse sweep collects gradients by.

    Level 0 are the given rows, level k + 1 those that step k writes; in sync mode, where all rounds share
    their edges, there is the one level of a round.

    Attributes:
        edge: `[E]`, the inbox edges, sorted by source row.
        first: `[rows]`, where the edges of each row begin, counted from the first of its level.
        only: `[rows]`, the last edge of each row, or E where it has none.
        rows, bounds: where the rows of each level begin, and where its edges do.
        most: for each level the largest number of edges that leave one of its rows.
    """

    edge: Tensor
    first: Tensor
    only: Tensor
    rows: list[int]
    bounds: list[int]
    most: list[int]

    @staticmethod
    def of(plan: Schedule) -> Outbox:
        """Read off a schedule."""
        rows = plan.steps.row_bounds
        count = torch.bincount(plan.source, minlength=rows[-1])
        edge = torch.argsort(plan.source, stable=True)
        only = torch.full_like(count, plan.num_edges)
        only[plan.source] = torch.arange(plan.num_edges, device=plan.device)
        first, bounds, _, most = segment_layout(count, rows)
        return Outbox(edge, first, only, rows, bounds, most)


class Routes(NamedTuple):
    """Which rows of a new state go to which later steps: what the reference loop posts its states by.

    Attributes:
        row: `[E]`, the source of each edge as a row of its own level, sorted by source level and reading step.
        counts: per level, how many rows go to each of its readers.
        readers: per level, the steps that read it, in ascending order.
        bounds: where in `row` each level begins.
        arrival: `[E]`, for each inbox edge, where in its step's mail it lies.
    """

    row: Tensor
    counts: list[list[int]]
    readers: list[list[int]]
    bounds: list[int]
    arrival: Tensor

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
        return Routes((plan.source - rows[level])[sent], counts, readers, bounds, arrival)


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
    place = _place_of_edge(plan)
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


@dataclass(frozen=True, eq=False)
class Chains:
    """A schedule whose structure is a batch of B chains, longest first: each step's nodes follow the first of the last.

    Attributes:
        node: `[N]`, the nodes step by step, those of a step in the order of their chains.
        place: `[N]`, where in that order each node stands.
        chain: `[N]`, the number of each node's chain.
        counts: how many chains reach each step; never rising.
        regular: how far apart nodes that follow each other are numbered, and nodes of neighbouring chains, where
            all chains are equally long and this fills the numbers evenly (`gr.chains`, its reverse, steps side by
            side); else None.
    """

    node: Tensor
    place: Tensor
    chain: Tensor
    counts: list[int]
    regular: tuple[int, int] | None

    @staticmethod
    def of(plan: Schedule) -> Chains | None:
        """Read off a schedule; None where it is anything but chains."""
        s = plan.structure
        if plan.mode != "async" or not _is_chains(s):
            return None
        level = levels(s)
        bounds = plan.steps.node_bounds
        counts = [stop - start for start, stop in pairwise(bounds)]
        # Who is first: pointers that jump twice as far at every turn.
        first = torch.arange(s.num_nodes, device=s.device)
        first[s.target] = s.source
        for _ in range((len(counts) - 1).bit_length()):
            first = first[first]
        length = torch.zeros_like(first).scatter_reduce(0, first, level + 1, "amax")
        heads = (level == 0).nonzero().flatten()
        heads = heads[torch.argsort(length[heads], descending=True, stable=True)]
        rank = torch.empty_like(first)
        rank[heads] = torch.arange(len(heads), device=s.device)
        chain = rank[first]
        node = torch.argsort(level * len(heads) + chain)
        place = torch.empty_like(node)
        place[node] = torch.arange(s.num_nodes, device=s.device)
        return Chains(node, place, chain, counts, _regular(node, counts))

    @property
    def num_chains(self) -> int:
        """B."""
        return self.counts[0]

    @property
    def are_equally_long(self) -> bool:
        """Whether all are."""
        return self.counts[-1] == self.counts[0]

    @property
    def heads(self) -> Tensor:
        """`[B]`: the first node of each chain."""
        return self.node[: self.num_chains]

    @cached_property
    def before(self) -> Tensor:
        """`[N - B]`: for each node behind the heads, in the order of `node`, the place of its predecessor."""
        with torch.inference_mode(False):
            back = torch.tensor(self.counts, device=self.node.device)
            later = torch.arange(self.num_chains, len(self.node), device=self.node.device)
            return later - torch.repeat_interleave(back[:-1], back[1:])

    @cached_property
    def blocks(self) -> Blocks:
        """The same in few blocks of equally long pieces."""
        with torch.inference_mode(False):
            return Blocks.of(self)


# Which share of all nodes the padding of one block may come to.
PADDING = 1 / 16


class Blocks(NamedTuple):
    """Chains cut after some steps, so that what is left of them is nearly equally long in each block, and padded.

    Attributes:
        node: `[P]`, the node at each row of the blocks, step by step; where a chain has ended, its last one again.
        row: `[N]`, where each node stands.
        is_padding: `[P]`.
        shapes: steps and chains of each block.
    """

    node: Tensor
    row: Tensor
    is_padding: Tensor
    shapes: list[tuple[int, int]]

    @staticmethod
    def of(chains: Chains) -> Blocks:
        """A new block begins where the padding of the last would come to more than `PADDING` of all nodes."""
        most = PADDING * len(chains.node)
        cuts, padding = [0], 0
        for step, count in enumerate(chains.counts):
            padding += chains.counts[cuts[-1]] - count
            if padding > most:
                cuts.append(step)
                padding = 0
        cuts.append(len(chains.counts))
        device = chains.node.device
        counts = torch.tensor(chains.counts, device=device)
        shapes = [(stop - start, chains.counts[start]) for start, stop in pairwise(cuts)]
        widths = torch.repeat_interleave(
            torch.tensor([width for _, width in shapes], device=device),
            torch.tensor([steps for steps, _ in shapes], device=device),
        )
        begins, padded = torch.cumsum(counts, 0) - counts, torch.cumsum(widths, 0) - widths
        step = torch.repeat_interleave(torch.arange(len(counts), device=device), widths)
        chain = torch.arange(len(step), device=device) - padded[step]
        ended = torch.searchsorted(counts.flip(0), torch.arange(chains.num_chains, device=device), right=True)
        last = len(counts) - 1 - ended  # the last step that each chain reaches
        node = chains.node[begins[torch.minimum(step, last[chain])] + chain]
        row = torch.empty_like(chains.node)
        is_padding = chain >= counts[step]
        row[node[~is_padding]] = (~is_padding).nonzero().flatten()
        return Blocks(node, row, is_padding, shapes)


def _is_chains(s: Structure) -> bool:
    """Whether every node has one source and one target at most, in slot 0, and an initial state before its first."""
    if s.num_edges and (
        int(s.slot.max()) > 0
        or int(torch.bincount(s.source).max()) > 1
        or int(torch.bincount(s.target).max()) > 1
    ):
        return False
    return s.past is None or bool((s.past == 1).all())


def _regular(node: Tensor, counts: list[int]) -> tuple[int, int] | None:
    time, chains = len(counts), counts[0]
    if counts[-1] != chains:
        return None
    table = node.view(time, chains)
    start = int(table[0, 0])
    along = int(table[1, 0]) - start if time > 1 else chains
    across = int(table[0, 1]) - start if chains > 1 else time
    if (abs(along), across) not in ((1, time), (chains, 1)):
        return None
    step = torch.arange(time, device=node.device).unsqueeze(1) * along
    even = start + step + torch.arange(chains, device=node.device) * across
    return (along, across) if torch.equal(table, even) else None


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


def _place_of_edge(plan: Schedule) -> Tensor:
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

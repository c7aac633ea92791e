"""Schedules that consist of chains only, in the layout for running them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..structure import Structure
from ..structure.outside import outside
from .derived import derived
from .levels import levels
from .plan import Schedule


@dataclass(frozen=True, eq=False)
class Chains:
    """A schedule whose structure is a batch of B chains, longest first: each step's nodes follow the first of the last.

    Attributes:
        perm, inv_perm: `[N]`, the nodes step by step, within a step as their chains, and the position of each node.
        chain: `[N]`, the number of each node's chain.
        counts: how many chains reach each step; never rising.
    """

    perm: Tensor
    inv_perm: Tensor
    chain: Tensor
    counts: list[int]

    @property
    def num_chains(self) -> int:
        """B."""
        return self.counts[0]

    @cached_property
    def is_identity(self) -> bool:
        """Whether the nodes are numbered step by step already."""
        with outside():
            return torch.equal(self.perm, torch.arange(len(self.perm), device=self.perm.device))

    @property
    def are_equally_long(self) -> bool:
        """Whether all chains have the same length."""
        return self.counts[-1] == self.num_chains

    @property
    def heads(self) -> Tensor:
        """`[B]`: the first node of each chain."""
        return self.perm[: self.num_chains]

    @cached_property
    def predecessor(self) -> Tensor:
        """`[N - B]`: for each position behind the heads the position of its predecessor."""
        with outside():
            back = torch.tensor(self.counts, device=self.perm.device)
            later = torch.arange(self.num_chains, len(self.perm), device=self.perm.device)
            return later - torch.repeat_interleave(back[:-1], back[1:])

    def previous(self, rows: Tensor) -> Tensor:
        """`[N - B, ...]`: of rows that stand step by step, for each one behind the heads its predecessor's."""
        return rows[: -self.num_chains] if self.are_equally_long else rows.index_select(0, self.predecessor)

    @cached_property
    def blocks(self) -> Blocks:
        """The same in a few blocks of equally long pieces."""
        with outside():
            counts = torch.tensor(self.counts, device=self.perm.device)
            chains = torch.arange(self.num_chains, device=self.perm.device)
            ended = torch.searchsorted(counts.flip(0), chains, right=True)
            return Blocks.of(self.perm, self.counts, len(counts) - 1 - ended, [0, len(counts)])


@derived
def chains(plan: Schedule) -> Chains | None:
    """A schedule as chains side by side; None if it is anything else, or has no nodes."""
    s = plan.structure
    if plan.mode != "async" or plan.cycles or plan.sweeps or not s.num_nodes or not _is_chains(s):
        return None
    if (
        plan.num_edges > plan.num_nodes
    ):  # (a block of another structure, whose nodes read more than one earlier state)
        return None
    level = levels(s)
    bounds = plan.steps.node_bounds
    counts = [stop - start for start, stop in pairwise(bounds)]
    # The head of each node's chain: pointers that jump twice as far each time.
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
    perm = torch.argsort(level * len(heads) + chain)
    inv_perm = torch.empty_like(perm)
    inv_perm[perm] = torch.arange(s.num_nodes, device=s.device)
    return Chains(perm, inv_perm, chain, counts)


# How many rows of padding a block may have: about as many as take the time of one more block.
PADDING = 64


class Blocks(NamedTuple):
    """Chains cut at some steps into blocks in which the pieces are nearly equally long, and padded.

    Attributes:
        node: `[P]`, the node at each row of the blocks, step by step; behind the end of a chain its last node again.
        row: `[N]`, the row of each node.
        is_padding: `[P]`.
        shapes: the numbers of steps and of chains of each block.
        bounds: `[levels + 1]`, the first block of each level of chains; chains that begin together are one level.
    """

    node: Tensor
    row: Tensor
    is_padding: Tensor
    shapes: list[tuple[int, int]]
    bounds: list[int]

    @staticmethod
    def of(perm: Tensor, counts: list[int], last: Tensor, step_bounds: list[int]) -> Blocks:
        """A new block begins with each level, and where the previous one would have more than `PADDING` rows of it.

        Args:
            perm: `[N]`, the nodes step by step.
            counts: how many chains reach each step; never rising in a level.
            last: `[S]`, the last step of each chain, level by level, in a level longest first.
            step_bounds: `[levels + 1]`, the first step of each level.
        """
        cuts: list[int] = []
        bounds = [0]
        for first, stop in pairwise(step_bounds):
            cuts.append(first)
            padding = 0
            for step in range(first, stop):
                padding += counts[cuts[-1]] - counts[step]
                if padding > PADDING:
                    cuts.append(step)
                    padding = 0
            bounds.append(len(cuts))
        shapes = [(stop - start, counts[start]) for start, stop in pairwise([*cuts, len(counts)])]
        device, first_chain = perm.device, [0, *accumulate(counts[first] for first in step_bounds[:-1])]
        widths, number = (
            torch.repeat_interleave(
                torch.tensor(of_each, dtype=torch.long, device=device),
                torch.tensor([stop - start for start, stop in pairwise(at)], dtype=torch.long, device=device),
            )
            for of_each, at in (
                ([width for _, width in shapes], [*cuts, len(counts)]),
                (first_chain[:-1], step_bounds),
            )
        )
        reached = torch.tensor(counts, dtype=torch.long, device=device)
        begins, padded = torch.cumsum(reached, 0) - reached, torch.cumsum(widths, 0) - widths
        step = torch.repeat_interleave(torch.arange(len(counts), device=device), widths)
        chain = torch.arange(len(step), device=device) - padded[step]
        node = perm[begins[torch.minimum(step, last[number[step] + chain])] + chain]
        row = torch.empty_like(perm)
        is_padding = chain >= reached[step]
        row[node[~is_padding]] = (~is_padding).nonzero().flatten()
        return Blocks(node, row, is_padding, shapes, bounds)


def _is_chains(s: Structure) -> bool:
    """Whether every node has at most one source and one target, in slot 0, and an initial state fills one slot."""
    if s.num_edges and (
        int(s.slot.max()) > 0
        or int(torch.bincount(s.source).max()) > 1
        or int(torch.bincount(s.target).max()) > 1
    ):
        return False
    return s.past is None or bool((s.past == 1).all())

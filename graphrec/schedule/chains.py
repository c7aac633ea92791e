"""Schedules that consist of chains only, in the layout for running them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from ..structure import Structure
from ..structure.outside import outside
from .derived import derived
from .levels import levels
from .plan import Schedule
from .side_by_side import SideBySide


@dataclass(frozen=True, eq=False)
class Chains(SideBySide):
    """A schedule whose structure is a batch of B chains, longest first: each step's nodes follow the first of the last.

    Attributes:
        chain: `[N]`, the number of each node's chain.
    """

    chain: Tensor

    @property
    def num_chains(self) -> int:
        """B."""
        return self.counts[0]

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
            back = self.reached
            later = torch.arange(self.num_chains, len(self.perm), device=self.perm.device)
            return later - torch.repeat_interleave(back[:-1], back[1:])

    def previous(self, rows: Tensor) -> Tensor:
        """`[N - B, ...]`: of rows that stand step by step, for each one behind the heads its predecessor's."""
        return rows[: -self.num_chains] if self.are_equally_long else rows.index_select(0, self.predecessor)

    @cached_property
    def last_step(self) -> Tensor:
        """`[B]`: the last step of each chain."""
        with outside():
            chains = torch.arange(self.num_chains, device=self.perm.device)
            return len(self.counts) - 1 - torch.searchsorted(self.reached.flip(0), chains, right=True)


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
    return Chains(perm, inv_perm, counts, [0, len(counts)], chain)


def _is_chains(s: Structure) -> bool:
    """Whether every node has at most one source and one target, in slot 0, and an initial state fills one slot."""
    if s.num_edges and (
        int(s.slot.max()) > 0
        or int(torch.bincount(s.source).max()) > 1
        or int(torch.bincount(s.target).max()) > 1
    ):
        return False
    return s.past is None or bool((s.past == 1).all())

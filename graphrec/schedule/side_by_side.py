"""Chains side by side, and how they are cut into blocks in which they are nearly equally long."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..structure.outside import outside

# How many rows of padding a block may have: about as many as take the time of one more block.
PADDING = 64


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Chains that run step by step side by side, level of chains after level.

    Attributes:
        perm, inv_perm: `[N]`, the nodes level by level, in a level step by step, in a step as their chains, of which
            the longest come first; and the place of each node.
        counts: how many chains reach each step, counted on from level to level; never rising in a level.
        step_bounds: `[levels + 1]`, the first step of each level.
    """

    perm: Tensor
    inv_perm: Tensor
    counts: list[int]
    step_bounds: list[int]

    @cached_property
    def last_step(self) -> Tensor:
        """The last step of each chain; they are numbered as they stand, on from level to level."""
        raise NotImplementedError

    @cached_property
    def reached(self) -> Tensor:
        """`counts` as a tensor."""
        with outside():
            return torch.tensor(self.counts, dtype=torch.long, device=self.perm.device)

    @cached_property
    def is_identity(self) -> bool:
        """Whether the nodes are numbered as they stand already."""
        with outside():
            return torch.equal(self.perm, torch.arange(len(self.perm), device=self.perm.device))

    @cached_property
    def blocks(self) -> Blocks:
        """The same in a few blocks of equally long pieces."""
        with outside():
            return Blocks.of(self)


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
    def of(chains: SideBySide) -> Blocks:
        """A new block begins with each level, and where the previous one would have more than `PADDING` such rows."""
        counts = chains.counts
        cuts: list[int] = []
        bounds = [0]
        for first, stop in pairwise(chains.step_bounds):
            cuts.append(first)
            width, padding = counts[first], 0
            for step, count in enumerate(counts[first:stop], first):
                padding += width - count
                if padding > PADDING:
                    cuts.append(step)
                    width, padding = count, 0
            bounds.append(len(cuts))
        shapes = [(stop - start, counts[start]) for start, stop in pairwise([*cuts, len(counts)])]
        if sum(steps * width for steps, width in shapes) == len(chains.perm):
            nothing = torch.zeros_like(chains.perm, dtype=torch.bool)
            return Blocks(chains.perm, chains.inv_perm, nothing, shapes, bounds)
        return Blocks(*_padded(chains, shapes), shapes, bounds)


def _padded(chains: SideBySide, shapes: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """`node`, `row` and `is_padding` of blocks of these shapes."""
    device = chains.perm.device
    counts = chains.reached
    widths = _repeated([width for _, width in shapes], [steps for steps, _ in shapes], device)
    begins, padded = torch.cumsum(counts, 0) - counts, torch.cumsum(widths, 0) - widths
    step = torch.repeat_interleave(torch.arange(len(counts), device=device), widths)
    chain = number = torch.arange(len(step), device=device) - padded[step]
    if len(chains.step_bounds) > 2:  # (chains are numbered on from level to level)
        before = accumulate((chains.counts[first] for first in chains.step_bounds[:-2]), initial=0)
        steps = [stop - start for start, stop in pairwise(chains.step_bounds)]
        number = chain + _repeated(list(before), steps, device)[step]
    node = chains.perm[begins[torch.minimum(step, chains.last_step[number])] + chain]
    row = torch.empty_like(chains.perm)
    is_padding = chain >= counts[step]
    row[node[~is_padding]] = (~is_padding).nonzero().flatten()
    return node, row, is_padding


def _repeated(numbers: list[int], times: list[int], device: torch.device) -> Tensor:
    given = (torch.tensor(each, device=device) for each in (numbers, times))
    return torch.repeat_interleave(*given)

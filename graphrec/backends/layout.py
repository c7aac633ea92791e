"""Where the rows of chains lie while a backend runs over them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..schedule import Chains


class Layout:
    """Where the rows of each step lie: as the caller numbers them if that is evenly, else step by step."""

    def __init__(self, chains: Chains, as_numbered: bool = True) -> None:
        self.chains = chains
        self.regular = chains.regular if as_numbered else None
        self.stays = bool(self.regular) or chains.is_identity

    def enter(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, from the caller's order into this one; maybe the same tensor."""
        return rows if self.stays else rows.index_select(0, self.chains.perm)

    def leave(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, back into the caller's order; maybe the same tensor."""
        return rows if self.stays else rows.index_select(0, self.chains.inv_perm)

    def enter_copy(self, rows: Tensor) -> Tensor:
        """As `enter`, to be written into."""
        return rows.clone(memory_format=torch.contiguous_format) if self.stays else self.enter(rows)

    def steps(self, rows: Tensor) -> Sequence[Tensor]:
        """Each step's rows, as views."""
        if not self.regular:
            return rows.split(self.chains.counts)
        count = self.chains.num_chains
        along, across = self.regular
        views = rows.split(count) if across == 1 else rows.unflatten(0, (count, across)).unbind(1)
        return views if along > 0 else views[::-1]

    def read(self, rows: Tensor) -> Sequence[Tensor]:
        """For each step but the last, those of its rows that the next step reads, as views."""
        if self.chains.are_equally_long:
            return self.steps(rows)[:-1]
        counts = self.chains.counts
        sizes = [size for now, later in pairwise(counts) for size in (later, now - later)]
        return rows.split([*sizes, counts[-1]])[:-1:2]

    def outer(self, later: Tensor, earlier: Tensor, initial: Tensor | None) -> Tensor:
        """`[N, V], [N, H], [B, H] → [V, H]`: Σ later[n] ⊗ earlier[m] over all nodes n, m being the one before n.

        What stands before the first nodes is `initial`, if there is one.
        """
        first = self.steps(later)[0]
        if not self.chains.are_equally_long:
            total = later[len(first) :].t() @ earlier.index_select(0, self.chains.predecessor)
        else:
            # Nodes that follow each other are equally far apart in all chains.
            apart = self.regular[0] if self.regular else len(first)
            kept = first.clone()
            first.zero_()
            if apart > 0:
                total = later[apart:].t() @ earlier[:-apart]
            else:
                total = later[:apart].t() @ earlier[-apart:]
            first.copy_(kept)
        return total if initial is None else total.addmm_(first.t(), initial)

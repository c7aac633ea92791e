"""What backends for chains have in common."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..cell import Fused
from ..schedule import Chains, Schedule, sinks


class Lowered:
    """A run over chains.

    Args:
        plan, chains: what is run over.
        fused: with which weights.
        x: `[N, D]`.
        initial: the fields of the state before each chain, `[B, H]` each, or nothing.
    """

    def __init__(
        self, plan: Schedule, chains: Chains, fused: Fused, x: Tensor, initial: Sequence[Tensor]
    ) -> None:
        self.plan, self.chains, self.fused, self.x, self.initial = plan, chains, fused, x, initial

    def h(self) -> Tensor:
        """`[N, H]`: the first field of the state."""
        raise NotImplementedError

    def state(self) -> tuple[Tensor, ...]:
        """All fields of the state."""
        return (self.h(),)

    def sequence(self) -> tuple[Tensor, list[Tensor]]:
        """h, and all fields where each graph ends, `[G, H]` (a graph without nodes has the row of some other)."""
        state = self.state()
        ends = sinks(self.plan).node.clamp(min=0)
        return state[0], [field.index_select(0, ends) for field in state]

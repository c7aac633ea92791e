"""From equations of one node to the states of all: `graphrec.testing.recursion`, which knows nothing of the engine."""

from __future__ import annotations

from torch import Tensor

from graphrec.testing.recursion import Equations, Inbox, State, evaluate, evaluate_rounds, stack

__all__ = ["Equations", "Inbox", "State", "evaluate", "evaluate_rounds", "slots_of", "stack", "zeros"]


def zeros(weight: Tensor) -> Tensor:
    """A vector of zeros, as long as `weight` has rows."""
    return weight.new_zeros(len(weight))


def slots_of(weight: Tensor) -> tuple[Tensor, ...]:
    """A matrix for each slot, from those of all slots side by side."""
    return weight.split(len(weight), dim=1)

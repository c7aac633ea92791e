"""Linear recurrences: cells whose new state is affine in the states of their sources."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from ..cell import Cell, Inbox


class AffineState(NamedTuple):
    """The hidden state."""

    h: Tensor


class AffineCell(Cell):
    """A cell that says what its sources' states are multiplied by, and what is added.

    h_v = factor_v * sum_u h_u + term_v

    A subclass writes `factor` and `term`, functions of the projected rows of x alone.
    """

    State = AffineState
    reads_edges = ()

    def factor(self, x: Tensor) -> Tensor:
        """`[n, ...] -> [n, H]`: of the projected rows."""
        raise NotImplementedError

    def term(self, x: Tensor) -> Tensor:
        """`[n, ...] -> [n, H]`: of the projected rows."""
        raise NotImplementedError

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> AffineState:
        """One step."""
        return self.State(self.factor(x) * inbox.sum(inbox.h) + self.term(x))

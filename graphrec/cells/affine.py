"""Linear recurrences: cells whose new state is affine in the states of their sources."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..cell import Cell, Inbox
from ..operators import multiplied


class AffineState(NamedTuple):
    """The hidden state."""

    h: Tensor


class AffineCell(Cell):
    """A cell that says what its sources' states are multiplied by, and what is added.

        h_v = factor_v * sum_u h_u + term_v

    A subclass writes `factor` and `term`, functions of the projected rows of x alone, and nothing else: the step
    follows from them, and so do faster ways to run it than step by step (see docs/linear_recurrences.md). What
    both have in common belongs into `project`. Where the factor differs from edge to edge, it writes `edge_factor` in
    place of `factor`: h_v = sum_e factor_e * h_source(e) + term_v.

    Shapes: State `h` `[N, H]`. Any number of edges may enter a node (unless a subclass sets `arity`).
    """

    State = AffineState
    reads_edges: Any = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "edge_factor" in vars(cls) and "reads_edges" not in vars(cls):
            cls.reads_edges = None  # it may read them, and has not declared it

    def factor(self, x: Tensor) -> Tensor:
        """What the states of each node's sources are multiplied by.

        Args:
            x: `[n, ...]`, the projected rows of n nodes.

        Returns:
            `[n, H]`; or blocks `[n, k, k, m]`, where the state is k chunks of m = H / k numbers each and unit j of
            chunk a becomes the sum over b of `factor[:, a, b, j]` times unit j of chunk b. One that all nodes have in
            common is `[1, H]` or `[1, k, k, m]`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no factor(x).")

    def edge_factor(self, x: Tensor, edges: Inbox) -> Tensor:
        """What the state that each edge brings is multiplied by; by default its target's `factor`.

        Args:
            x: `[n, ...]`, the projected rows of n nodes.
            edges: the e edges that enter them, without the states of their sources: `edges.to_edges(x)`, `edges.slot`,
                `edges.relation`, `edges.edge_attr` and so on; see `graphrec.Inbox`.

        Returns:
            `[e, H]` or `[e, k, k, m]`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no edge_factor(x, edges).")

    def term(self, x: Tensor) -> Tensor:
        """What is added, `[n, H]`.

        Args:
            x: `[n, ...]`, the projected rows of n nodes.
        """
        raise NotImplementedError(f"{type(self).__name__} has no term(x).")

    @property
    def has_edge_factor(self) -> bool:
        """Whether the factor differs from edge to edge."""
        return type(self).edge_factor is not AffineCell.edge_factor

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> AffineState:
        """One step."""
        if self.has_edge_factor:
            h = inbox.sum(multiplied(self.checked_edge_factor(x, inbox.renamed({})), inbox.h))
        else:
            h = multiplied(self.checked_factor(x), inbox.sum(inbox.h))
        return self.State(h + self.checked_term(x))

    def checked_factor(self, x: Tensor) -> Tensor:
        """`factor(x)`; raises ValueError or TypeError where its rows or blocks are no factors of a state."""
        factor = self.factor(x)
        self._check_factor("factor", factor)
        return factor

    def checked_edge_factor(self, x: Tensor, edges: Inbox) -> Tensor:
        """`edge_factor(x, edges)`; raises ValueError or TypeError where it returns no factors of a state."""
        factor = self.edge_factor(x, edges)
        self._check_factor("edge_factor", factor)
        return factor

    def checked_term(self, x: Tensor) -> Tensor:
        """`term(x)`; raises ValueError where its rows are not as wide as the state, TypeError where it has none."""
        term, shape = self.term(x), self.shapes()[0]
        self._check_type("term", term)
        if term.shape[1:] != shape:
            raise ValueError(
                f"{type(self).__name__}.term must return rows as wide as the state, [n, {shape[0]}], got shape "
                f"{tuple(term.shape)}."
            )
        return term

    def _check_type(self, name: str, value: Any) -> None:
        dtype = getattr(value, "dtype", None)  # (what is recorded has one, too, and is no tensor)
        if not isinstance(dtype, torch.dtype) or dtype.is_complex:
            got = f"{dtype}" if isinstance(dtype, torch.dtype) else type(value).__name__
            raise TypeError(
                f"{type(self).__name__}.{name} must return a tensor of real numbers (a state of complex ones has real "
                f"and imaginary parts side by side, and factors in blocks [n, 2, 2, H / 2]), got {got}."
            )

    def _check_factor(self, name: str, factor: Tensor) -> None:
        self._check_type(name, factor)
        # (The number of rows is left alone: it must not become a part of what is recorded.)
        shape, width = tuple(factor.shape[1:]), self.shapes()[0][0]
        is_block = len(shape) == 3 and shape[0] == shape[1] and shape[1] * shape[2] == width
        if shape != (width,) and not is_block:
            raise ValueError(
                f"{type(self).__name__}.{name} must return rows as wide as the state, [n, {width}], or blocks "
                f"[n, k, k, {width} / k], got shape {tuple(factor.shape)}."
            )

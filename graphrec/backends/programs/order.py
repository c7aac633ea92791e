"""The order in which an executor has nodes and edges, and the way back to the caller's."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ...schedule import Schedule
from ...schedule.derived import derived


class Order:
    """How rows are permuted.

    Attributes:
        nodes, back: `[N]`, the structure's node at each row, and the row of each node; None: the same.
        edge: `[E]`, the structure's edge at each edge, -1 where there is none.
    """

    nodes: Tensor | None
    back: Tensor | None
    edge: Tensor

    def __init__(self, nodes: Tensor | None, back: Tensor | None, edge: Tensor) -> None:
        self.nodes, self.back, self.edge = nodes, back, edge

    def enter(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, from the caller's order; maybe the same tensor."""
        return rows if self.nodes is None else rows.index_select(0, self.nodes)

    def leave(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, back to the caller's order; maybe the same tensor."""
        return rows if self.back is None else rows.index_select(0, self.back)

    def add_up_edges(self, rows: Tensor, like: Tensor) -> Tensor:
        """`[E, ...]`, back to the structure's edges."""
        real, edge = self._real
        return torch.zeros_like(like).index_add_(
            0, edge, rows.index_select(0, real).reshape(-1, *like.shape[1:])
        )

    @cached_property
    def _real(self) -> tuple[Tensor, Tensor]:
        real = (self.edge >= 0).nonzero().flatten()
        return real, self.edge[real]


@derived
def order_of(plan: Schedule) -> Order:
    """Of a schedule's positions."""
    if plan.is_identity:
        return Order(None, None, plan.edge)
    return Order(plan.perm, plan.inv_perm, plan.edge)

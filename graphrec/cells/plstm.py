"""pLSTM: linear recurrences whose states stand on the edges of a DAG."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Inbox
from ..structure.checks import as_count
from .affine import AffineCell


class PLSTMCell(AffineCell):
    """The recurrence of pLSTM, for the nodes of a line graph, which are the edges of a DAG.

        C_e = sum_{e'} T_{e'e} C_e' + k v^T                                                                  (5)

    for each head, over all edges e' that end where e begins. T, k and v (which the source gate S_e has multiplied)
    are what x holds: they are functions of the node that e leaves, and of e, which `graphrec.PLSTM` computes.

    Pöppel, Freinschlag, Schmied, Lin & Hochreiter, *pLSTM: parallelizable linear source transition mark networks*,
    arXiv 2506.11997 (2025).

    Args:
        heads: how many states an edge has.
        keys, values: the widths of k and v.
        arity: how many slots the node that e leaves has, each with a transition of its own; None: there is one
            transition, for all e'.

    Shapes: x `[N, heads (arity + keys + values)]`: transitions by slot and head, k by head, v by head, with 1 for an
    arity of None; State `h` `[N, heads keys values]`, by head.
    """

    heads: int
    keys: int
    values: int
    arity: Any

    reads_edges: Any = ()

    def __init__(self, heads: int, keys: int, values: int, arity: int | None = None) -> None:
        heads, keys, values = (
            as_count("heads", heads, 1),
            as_count("keys", keys, 1),
            as_count("values", values, 1),
        )
        arity = None if arity is None else as_count("arity", arity, 1)
        super().__init__(heads * ((arity or 1) + keys + values), heads * keys * values)
        self.heads, self.keys, self.values, self.arity = heads, keys, values, arity
        self._each, self._transitions = keys * values, heads * (arity or 1)

    @property
    def has_edge_factor(self) -> bool:
        """Whether each slot has a transition of its own."""
        return self.arity is not None

    def project(self, x: Tensor) -> Tensor:
        """The transitions, and k v^T of each head."""
        sizes = [self._transitions, self.heads * self.keys, self.heads * self.values]
        transition, k, v = x.split(sizes, dim=-1)
        outer = k.unflatten(-1, (self.heads, self.keys, 1)) * v.unflatten(-1, (self.heads, 1, self.values))
        transition = self._wide(transition) if self.arity is None else transition
        return torch.cat([transition, outer.flatten(1)], dim=-1)

    def factor(self, x: Tensor) -> Tensor:
        """T, one for all e'."""
        return x[:, : self.hidden]

    def edge_factor(self, x: Tensor, edges: Inbox) -> Tensor:
        """T, of the slot that e' fills."""
        by_slot = edges.to_edges(x[:, : self._transitions]).unflatten(-1, (self.arity or 1, self.heads))
        slot = edges.slot.view(-1, 1, 1).expand(-1, 1, self.heads)
        return self._wide(torch.take_along_dim(by_slot, slot, 1).squeeze(1))

    def term(self, x: Tensor) -> Tensor:
        """k v^T."""
        return x[:, -self.hidden :]

    def _wide(self, transition: Tensor) -> Tensor:
        """`[n, heads] → [n, H]`."""
        return transition.repeat_interleave(self._each, dim=-1)

"""How much attention nodes pay to each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import check_cell
from ..cells.gat import Attention
from ..cells.wrapping import Wrapping
from ..io import StructureLike
from ..runs import run
from ..schedule import schedule
from .calls import structure_given


def attention_weights(
    cell: Attention, x: Tensor, s: StructureLike, edge_attr: Tensor | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One round of a `GATCell` or `GATv2Cell`, and the attention weight of each edge in it.

    What PyG's layers return if `return_attention_weights` is set: the rows `[N, H]`, and `edge_index` `[2, E']` with
    the weights `[E', K]`, which add up to one over the edges into a node. Where nodes are among their sources
    (`self_loops`), their edges to themselves come after all others, node by node. Dropout affects the rows only.

    Args:
        cell: the attention; in a `GNN` one of its `cells`.
        x, s, edge_attr: as in a model's call.

    Raises:
        TypeError: a cell without attention. ValueError: features or weights of edges that the cell does not read.
    """
    check_cell(cell)
    if not isinstance(cell, Attention):
        raise TypeError(
            f"expected a GATCell or GATv2Cell, got {type(cell).__name__}, which has no attention weights."
        )
    structure = structure_given(cell, x, s, edge_attr)
    plan = schedule(structure, "sync", 1)
    watched = _Watched(cell)
    h = run(watched, plan, x).h
    share, own_share = watched.seen
    share = torch.empty_like(share).index_copy(0, plan.edge, share)
    if own_share is None:
        return h, (structure.edge_index, share)
    others = (structure.source != structure.target).nonzero().flatten()
    nodes = torch.arange(structure.num_nodes, device=structure.device)
    edge_index = torch.cat([structure.edge_index[:, others], nodes.expand(2, -1)], dim=1)
    return h, (edge_index, torch.cat([share[others], own_share.index_select(0, plan.inv_perm)]))


class _Watched(Wrapping):
    """An attention whose weights are read out."""

    cell: Any
    seen: tuple[Tensor, Tensor | None]

    def forward(self, x: Tensor, inbox: Any, own: Any) -> Any:
        self.seen = self.cell.attention(inbox, own)
        return self.cell(x, inbox, own)

"""From PyG's `HeteroData`: node types are kinds, edge types are relations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from .structure import Structure, default_slots


def from_hetero(data: HeteroData) -> Structure:
    """The structure of PyG's `HeteroData`, or of a batch of them.

    Nodes are numbered type by type, in the order of `data.node_types`, whose places are the kinds; edges stand type by
    type in the order of `data.edge_types`, whose places are the relations. Reads `slot`, `edge_attr` and `edge_weight`
    of edges where all types have them, and `batch` of nodes.

    Raises:
        ValueError: a value that some types carry and others do not, or of other widths; an edge type without edges'
            index.
    """
    counts = [int(data[name].num_nodes or 0) for name in data.node_types]
    first = dict(zip(data.node_types, torch.tensor([0, *counts]).cumsum(0).tolist(), strict=False))
    num_nodes = sum(counts)
    stores = [data[name] for name in data.edge_types]
    for name, store in zip(data.edge_types, stores, strict=True):
        if "edge_index" not in store:
            raise ValueError(f"edge type {name} has no edge_index: an edgeless one has shape [2, 0].")
        _check_ends(
            name,
            store.edge_index,
            counts[data.node_types.index(name[0])],
            counts[data.node_types.index(name[2])],
        )
    edges = [
        store.edge_index + torch.tensor([[first[name[0]]], [first[name[2]]]], device=store.edge_index.device)
        for name, store in zip(data.edge_types, stores, strict=True)
    ]
    edge_index = torch.cat(edges, dim=1) if edges else torch.zeros(2, 0, dtype=torch.long)
    sizes = torch.tensor([part.shape[1] for part in edges], device=edge_index.device)
    kinds = torch.arange(len(counts), device=edge_index.device)
    slot = _of_all("slot", data.edge_types, stores)
    found: dict[str, Any] = {
        "slot": default_slots(edge_index[1], num_nodes) if slot is None else slot,
        "edge_attr": _of_all("edge_attr", data.edge_types, stores),
        "edge_weight": _of_all("edge_weight", data.edge_types, stores),
        "relation": torch.repeat_interleave(torch.arange(len(edges), device=edge_index.device), sizes),
        "kind": torch.repeat_interleave(kinds, torch.tensor(counts, device=edge_index.device)),
    }
    nodes = [data[name] for name in data.node_types]
    batch = _of_all("batch", data.node_types, nodes)
    if batch is not None:
        ends = [len(store["ptr"]) - 1 for store in nodes if "ptr" in store]
        found["graph"] = batch
        found["num_graphs"] = max(ends) if ends else int(batch.max()) + 1
    return Structure(num_nodes, edge_index, **found)


def _check_ends(name: tuple[str, str, str], edge_index: Tensor, sources: int, targets: int) -> None:
    for row, count, which in ((edge_index[0], sources, name[0]), (edge_index[1], targets, name[2])):
        if row.numel() and (int(row.min()) < 0 or int(row.max()) >= count):
            raise ValueError(
                f"edge type {name} names node {int(row.max() if row.max() >= count else row.min())} of type "
                f"{which!r}, which has the nodes 0 to {count - 1}."
            )


def _of_all(field: str, names: Iterable[Any], stores: list[Any]) -> Tensor | None:
    have = {name: store[field] for name, store in zip(names, stores, strict=True) if field in store}
    if not have:
        return None
    if len(have) < len(stores):
        missing = next(name for name in names if name not in have)
        raise ValueError(
            f"{missing} has no {field}, while other types have: give it one, or drop it from all."
        )
    shapes = {(tuple(value.shape[1:]), value.dtype) for value in have.values()}
    if len(shapes) > 1:
        raise ValueError(
            f"{field} must have rows of one shape and dtype in all types, got {sorted(map(str, shapes))}."
        )
    return torch.cat(list(have.values()))

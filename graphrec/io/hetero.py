"""From PyG's `HeteroData`: node types are kinds, edge types are relations."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from ..structure import Structure, default_slots
from ..structure.outside import made_outside
from ..structure.written import shown


def from_hetero(data: HeteroData) -> Structure:
    """The structure of PyG's `HeteroData`, or of a batch of them.

    Nodes are numbered type by type, as listed in `data.node_types`, whose indices are the kinds; edges are listed
    type by type as in `data.edge_types`, whose indices are the relations. Reads `edge_attr` of edges, which becomes an
    `EdgeFeatures` where its width differs between types or only some types have it; `slot` and `edge_weight` of
    edges and `batch` of nodes, where all types have them.

    Raises:
        ValueError: a slot or a batch that some types carry and others do not; an edge type without a valid edge_index;
            a node type that does not say how many nodes there are.
    """
    numbers = _numbers(data)
    stores = [data[name] for name in data.edge_types]
    return Structure(
        **numbers,
        edge_attr=_edge_attr(data.edge_types, stores),
        edge_weight=_of_all("edge_weight", data.edge_types, stores),
    )


@made_outside
def _numbers(data: HeteroData) -> dict[str, Any]:
    """All but the edge fields that may require grad."""
    counts = [_num_nodes(data, name) for name in data.node_types]
    first = dict(zip(data.node_types, torch.tensor([0, *counts]).cumsum(0).tolist(), strict=False))
    edges = []
    for name in data.edge_types:
        source, _, target = name
        if not {source, target} <= set(data.node_types):
            raise ValueError(
                f"edge type {name} joins node types that are not all there ({', '.join(data.node_types) or 'none'} "
                f"are): give each its rows, data[type].x, or data[type].num_nodes."
            )
        sizes = [counts[data.node_types.index(end)] for end in (source, target)]
        if "edge_index" not in data[name] and "adj_t" in data[name]:
            raise ValueError(
                f"edge type {name} has a sparse adj_t and no edge_index: make one of it with "
                f"torch_geometric.utils.to_edge_index(adj_t)[0].flip(0), or leave out ToSparseTensor."
            )
        index = _check_edges(name, data[name].get("edge_index"), *sizes)
        edges.append(index + torch.tensor([[first[source]], [first[target]]], device=index.device))
    edge_index = torch.cat(edges, dim=1) if edges else _no_edges(data)
    sizes = torch.tensor([part.shape[1] for part in edges], dtype=torch.long, device=edge_index.device)
    kinds = torch.arange(len(counts), device=edge_index.device)
    slot = _of_all("slot", data.edge_types, [data[name] for name in data.edge_types])
    found: dict[str, Any] = {
        "num_nodes": sum(counts),
        "edge_index": edge_index,
        "slot": default_slots(edge_index[1], sum(counts)) if slot is None else slot,
        "relation": torch.repeat_interleave(torch.arange(len(edges), device=edge_index.device), sizes),
        "kind": torch.repeat_interleave(
            kinds, torch.tensor(counts, dtype=torch.long, device=edge_index.device)
        ),
    }
    nodes = [data[name] for name in data.node_types]
    batch = _of_all("batch", data.node_types, nodes)
    if batch is not None:
        counts = [len(store["ptr"]) - 1 for store in nodes if "ptr" in store]
        found["graph"] = batch
        found["num_graphs"] = max(counts) if counts else int(batch.max()) + 1 if len(batch) else 0
    return found


def _num_nodes(data: HeteroData, name: str) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyG's guess of the number of nodes, with its warning, is not used
        count = data[name].num_nodes if data[name].can_infer_num_nodes else None
    if count is None:
        raise ValueError(
            f"node type {name!r} does not say how many nodes it has: give it a row for each, data[{name!r}].x, or "
            f"data[{name!r}].num_nodes (0, if there are none)."
        )
    return int(count)


def _no_edges(data: HeteroData) -> Tensor:
    like = next(
        (value for store in data.node_stores for value in store.values() if isinstance(value, Tensor)), None
    )
    return torch.zeros(2, 0, dtype=torch.long, device=None if like is None else like.device)


def _check_edges(name: tuple[str, str, str], edge_index: Any, sources: int, targets: int) -> Tensor:
    if edge_index is None:
        raise ValueError(f"edge type {name} has no edge_index: an edgeless one has shape [2, 0].")
    if not isinstance(edge_index, Tensor) or edge_index.dim() != 2 or edge_index.shape[0] != 2:
        got = (
            f"shape {tuple(edge_index.shape)}"
            if isinstance(edge_index, Tensor)
            else type(edge_index).__name__
        )
        raise ValueError(
            f"the edge_index of edge type {name} must be a long tensor of shape [2, E] (sources, targets), got {got}."
        )
    if edge_index.dtype != torch.long:
        raise TypeError(
            f"the edge_index of edge type {name} must be of dtype torch.long, got {edge_index.dtype}: convert it with "
            f".long()."
        )
    for row, count, which in ((edge_index[0], sources, name[0]), (edge_index[1], targets, name[2])):
        if row.numel() and (int(row.min()) < 0 or int(row.max()) >= count):
            raise ValueError(
                f"edge type {name} names node {int(row.max() if row.max() >= count else row.min())} of type "
                f"{which!r}, which has {f'the nodes 0 to {count - 1}' if count else 'no nodes'}."
            )
    return edge_index


def _edge_attr(names: list[tuple[str, str, str]], stores: list[Any]) -> Tensor | list[Tensor | None] | None:
    """One tensor, where all edges have features of one shape and dtype; otherwise a list with one for each type."""
    values = [store.get("edge_attr") for store in stores]
    for name, store, value in zip(names, stores, values, strict=True):
        rows = store.edge_index.shape[1]
        if value is not None and (not isinstance(value, Tensor) or value.dim() < 1 or len(value) != rows):
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"the edge_attr of edge type {name} must have a row for each of {rows} edges, got {got}."
            )
    shapes = {
        None if value is None else (value.shape[1:], value.dtype)
        for store, value in zip(stores, values, strict=True)
        if store.edge_index.shape[1]
    }
    if len(shapes) > 1:
        return values
    if not shapes:  # types without edges need not say what their features would have been
        return next((value for value in values if value is not None), None)
    there = [value for value in values if value is not None and len(value)]
    return torch.cat(there) if there else None


def _of_all(field: str, names: Iterable[Any], stores: list[Any]) -> Tensor | None:
    have = {name: store[field] for name, store in zip(names, stores, strict=True) if field in store}
    if not have:
        return None
    needed = [name for name, store in zip(names, stores, strict=True) if _has_rows(store)]
    missing = next((name for name in needed if name not in have), None)
    if missing is not None:
        raise ValueError(
            f"{missing} has no {field}, while other types have: give it one, or drop it from all."
        )
    shapes = {f"{list(value.shape[1:])} of {value.dtype}" for value in have.values()}
    if len(shapes) > 1:
        raise ValueError(
            f"{field} must have rows of one shape and dtype in all types, got {' and '.join(sorted(shapes))}."
        )
    return torch.cat(list(have.values()))


def _has_rows(store: Any) -> bool:
    """Whether a type has edges, or nodes: without them it need not say what its rows would have been."""
    edge_index = store.get("edge_index")
    return bool(edge_index.shape[1]) if isinstance(edge_index, Tensor) else bool(store.num_nodes)


def rows_by_type(x: Mapping[str, Tensor], s: Any) -> tuple[list[str], list[int], Tensor]:
    """The node types of HeteroData, the number of nodes of each, and the rows of all, `[N, D]`, type by type.

    Raises:
        TypeError: anything but HeteroData. ValueError: not the rows of its nodes, or not of one width.
    """
    if not isinstance(s, HeteroData):
        raise TypeError(f"a dictionary of rows goes with PyG's HeteroData, got {type(s).__name__}.")
    if not isinstance(x, Mapping):
        raise TypeError(f"x must be a dictionary with rows for each node type, got {type(x).__name__}.")
    if set(x) != set(s.node_types):
        raise ValueError(
            f"x must have rows for the node types {', '.join(s.node_types)}, got {', '.join(map(str, x)) or 'none'}."
        )
    types, sizes = list(s.node_types), [s[name].num_nodes for name in s.node_types]
    if not types:
        raise ValueError("expected HeteroData with node types, got none: rows of no nodes have no width.")
    for name, size in zip(types, sizes, strict=True):
        if not isinstance(x[name], Tensor) or x[name].dim() < 1:
            raise TypeError(
                f"x must have a tensor of rows for each node type, got {shown(x[name])} for {name!r}."
            )
        if x[name].shape[0] != size:
            raise ValueError(
                f"x must have a row for each node: expected {size} for node type {name!r}, got shape "
                f"{tuple(x[name].shape)}."
            )
    for name, size in zip(types, sizes, strict=True):
        if x[name].shape[1:] != x[types[0]].shape[1:]:
            raise ValueError(
                f"x must have rows of one width for all node types, got {tuple(x[name].shape)} for the {size} nodes of "
                f"type {name!r} and {tuple(x[types[0]].shape)} for {types[0]!r}: put a linear layer per type before it "
                f"(torch_geometric.nn.HeteroDictLinear)."
            )
    return types, sizes, torch.cat([x[name] for name in types])

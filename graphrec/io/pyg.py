"""To and from PyG."""

from __future__ import annotations

import copy
import json
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData

from ..structure import Structure, check_structure
from ..structure.features import check_one_width
from ..structure.outside import outside, unwrapped
from .hetero import from_hetero
from .matrix import edges_of
from .names import read_names

# The names of a structure's fields on PyG's Data.
PYG_NAMES = {
    "slot": "slot",
    "relation": "edge_type",
    "edge_attr": "edge_attr",
    "edge_weight": "edge_weight",
    "kind": "node_type",
    "past": "past",
    "level": "level",
    "level_reversed": "level_reversed",
}
# All that is read of it, but for texts.
OF_EDGES_AND_NODES = ("edge_index", "batch", *PYG_NAMES.values())


def from_pyg(data: Data | HeteroData) -> Structure:
    """The structure of PyG's `Data` or `HeteroData`, or of a `Batch` of them.

    Reads `edge_index` (or a sparse `adj_t`, whose entries are weights), `num_nodes`, `batch`, and where present
    `slot`, `edge_type` (relation), `edge_attr`, `edge_weight`, `node_type` (kind), `past`, `level` and `level_reversed`
    (see `graphrec.transforms.AddLevels`), the lists of texts `tokens` and `labels`, and `relation_names` and
    `kind_names` as `to_pyg` writes them. For `HeteroData` node types are the kinds and edge types the relations;
    nodes are numbered type by type, as listed in `data.node_types`.
    """
    if isinstance(data, HeteroData):
        return from_hetero(data)
    if not isinstance(data, Data):
        raise TypeError(f"expected PyG Data, HeteroData or Batch, got {type(data).__name__}.")
    data = with_edges(data)
    if data.edge_index is None:
        raise ValueError(
            f"expected PyG data with an edge_index, got {data}: an edgeless graph has one of shape [2, 0]."
        )
    there = set(data.keys())
    # Copied, except what may require grad: a structure does not change when its data are written into.
    parts: dict[str, Any] = {
        name: data[name] if name in ("edge_attr", "edge_weight") else _copy(name, data[name])
        for name in OF_EDGES_AND_NODES
        if name in there
    }
    texts: dict[str, Any] = {}
    for name in ("tokens", "labels"):
        if name in there:
            texts[name] = _texts_of_nodes(data[name], isinstance(data, Batch))
    for name in ("relation_names", "kind_names"):
        if name in there:
            texts[name] = _read_names(name, data[name])
    num_graphs = count_graphs({name: data[name] for name in there})
    return structure_of(parts, int(data.num_nodes or 0), num_graphs, **texts)


def count_graphs(data: dict[str, Any]) -> int:
    """G, from what PyG's `Data` holds."""
    graph, first = data.get("batch"), data.get("ptr")
    if graph is None:
        return 1
    return len(first) - 1 if first is not None else int(graph.max()) + 1 if graph.numel() else 1


def structure_of(parts: dict[str, Any], num_nodes: int, num_graphs: int, **texts: Any) -> Structure:
    """The structure of what PyG's `Data` holds by these names, which it shares."""
    found = {field: parts[name] for field, name in PYG_NAMES.items() if name in parts}
    return Structure(
        num_nodes,
        parts["edge_index"],
        graph=cast(Tensor, parts.get("batch")),
        num_graphs=num_graphs,
        **found,
        **texts,
    )


def _copy(name: str, value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = unwrapped(value, name)
    with outside():
        return value.clone()


def with_edges(data: Data) -> Data:
    """The same with an `edge_index` if it has a sparse `adj_t` instead of one, as `ToSparseTensor` leaves it."""
    if data.edge_index is not None or "adj_t" not in data:
        return data
    count = int(data.num_nodes or 0)
    data = copy.copy(data)
    data.edge_index, weight = edges_of(data.adj_t, count, count)
    if weight is not None:
        data.edge_weight = weight
    return data


def to_pyg(structure: Structure) -> Data:
    """PyG's `Data` with all that the structure carries; `from_pyg` reads it back.

    A batch of several graphs becomes one `Data` with `batch` and `ptr`, as in PyG's `Batch`; without `ptr` where
    the nodes of a graph are not contiguous, which most of PyG's own functions on batches need. Levels, which
    chains know and trees do not, are left to `graphrec.transforms.AddLevels`: a `DataLoader` mixes only samples
    with the same attributes. Names of relations and kinds are written as one text each, since PyG would take a list
    of N or E of them for values of nodes or edges.

    Raises:
        ValueError: nodes of a graph that are not contiguous, and no nodes in the last graph; features of edges
            whose width differs from relation to relation.
    """
    check_structure(structure)
    check_one_width(structure.edge_attr)
    graph, are_side_by_side = structure.graph, bool((structure.graph.diff() >= 0).all())
    if not are_side_by_side and int(graph.max()) + 1 < structure.num_graphs:
        raise ValueError(
            f"PyG's Data cannot say that there are {structure.num_graphs} graphs where the last has no nodes and those "
            f"of the others do not stand side by side: number the nodes graph by graph (chains: batch_first=True)."
        )
    data = Data(edge_index=structure.edge_index, num_nodes=structure.num_nodes)
    for field, name in PYG_NAMES.items():
        if not field.startswith("level") and getattr(structure, field) is not None:
            data[name] = getattr(structure, field)
    for name in ("tokens", "labels"):
        if getattr(structure, name) is not None:
            data[name] = list(getattr(structure, name))
    for name in ("relation_names", "kind_names"):
        if getattr(structure, name) is not None:
            data[name] = json.dumps(getattr(structure, name))
    if structure.num_graphs != 1:
        data.batch = graph
        if are_side_by_side:
            data.ptr = _first_nodes(structure)
    return data


def _first_nodes(structure: Structure) -> Tensor:
    """`[G + 1]`, where each graph's nodes begin: it also gives the number of graphs if the last are empty."""
    sizes = torch.bincount(structure.graph, minlength=structure.num_graphs)
    return torch.cat([sizes.new_zeros(1), torch.cumsum(sizes, 0)])


def _texts_of_nodes(texts: Any, collated: bool) -> tuple[str | None, ...] | None:
    """The texts, unless it is something else of the same name."""
    if collated and isinstance(texts, list) and all(isinstance(part, list | tuple) for part in texts):
        texts = list(chain.from_iterable(texts))  # PyG collates lists into a list of lists
    if not isinstance(texts, list | tuple) or not all(
        text is None or isinstance(text, str) for text in texts
    ):
        return None
    return tuple(texts)


def _read_names(name: str, written: str | list[str]) -> tuple[str, ...]:
    """The names that `json.dumps` wrote; in a batch of PyG they come once for each sample."""
    texts = {written} if isinstance(written, str) else set(written)
    if len(texts) > 1:
        raise ValueError(
            f"{name} must be the same in all samples of a batch, got {', '.join(sorted(texts)):.200}."
        )
    return tuple(read_names(f"the data's {name}", texts.pop()))

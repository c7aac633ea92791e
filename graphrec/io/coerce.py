"""What models and readouts accept instead of a structure, and a cache of the structures made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from torch_geometric.data import Data, HeteroData

from ..structure import Structure, dag
from ..structure.checks import as_count, as_whole_numbers, check_layout, check_no_batch
from ..structure.outside import is_ordinary, is_stand_in, made_outside, outside
from ..structure.traced import TracedStructure
from .matrix import edges_of, is_matrix
from .pyg import OF_EDGES_AND_NODES, count_graphs, from_pyg, structure_of, with_edges

# What models run over; a tensor is an `edge_index` `[2, E]`. (PyG says no types: to checkers its classes are anything.)
if TYPE_CHECKING:
    StructureLike: TypeAlias = Structure | Tensor | Any
else:
    StructureLike = Structure | Data | HeteroData | Tensor

_TEXTS = {"tokens", "labels", "relation_names", "kind_names"}

# PyG's layers are given the same edges again and again, and sorting a large graph takes longer than a layer.
# An entry lives as long as the caller's edge_index; what else was given with it, by name, may be several things.
_remembered = WeakTensorKeyDictionary()


class Known(NamedTuple):
    """A structure, and what it was made of."""

    num_nodes: Any
    parts: dict[str, Any]
    structure: Structure

    def is_of(self, parts: dict[str, Any], num_nodes: Any) -> bool:
        """Whether it would be made of these, too."""
        return (
            self.num_nodes == num_nodes
            and self.parts.keys() == parts.keys()
            and all(_same(self.parts[name], part) for name, part in parts.items())
        )


def as_structure(
    source: StructureLike, rows: Tensor, edge_attr: Tensor | None = None, edge_weight: Tensor | None = None
) -> Structure:
    """What models and readouts accept beside a tensor with a row per node: a structure, PyG data, or an `edge_index`.

    Args:
        source: the structure; one made of PyG data, or of an `edge_index`, is cached as long as that tensor is in use
            and holds the same edges. Also a sparse matrix, a row for each target, whose entries are weights.
        rows: one per node.
        edge_attr, edge_weight: of the edges, `[E, ...]` and `[E]`, beside an `edge_index`.
    """
    if not isinstance(rows, Tensor) or rows.dim() < 1:
        got = "a number" if isinstance(rows, Tensor) else type(rows).__name__
        raise TypeError(f"expected a tensor with one row per node, got {got}.")
    check_layout("x", rows)
    if edge_weight is not None and is_matrix(source):
        raise TypeError(
            "a sparse adjacency matrix carries its own weights: leave out edge_weight, or give an edge_index."
        )
    if edge_attr is not None and not isinstance(source, Tensor):
        raise TypeError(
            f"edge_attr, the third argument, goes with an edge_index; a {type(source).__name__} carries its own: use "
            f"s.replace(edge_attr=...) or data.edge_attr. States go by name: initial=...."
        )
    if edge_weight is not None and not isinstance(source, Tensor):
        raise TypeError(
            f"edge_weight goes with an edge_index; a {type(source).__name__} carries its own: use "
            f"s.replace(edge_weight=...) or data.edge_weight."
        )
    if isinstance(source, Structure):
        return source
    if is_matrix(source):
        source, edge_weight = edges_of(source, rows.shape[0], rows.shape[0])
    if isinstance(source, Tensor):
        if rows.dim() == 3 and source.numel() and rows.shape[0] <= int(source.max()) < rows.shape[1]:
            check_no_batch(rows, rows.shape[1], "[N, F]")
        if is_stand_in(source):
            _check_of_edges(edge_attr=edge_attr, edge_weight=edge_weight)
            parts = {"edge_index": source, "edge_attr": edge_attr, "edge_weight": edge_weight}
            return TracedStructure.of(rows.shape[0], 1, parts)
        return _from_edges(source, rows.shape[0], edge_attr=edge_attr, edge_weight=edge_weight)
    if isinstance(source, HeteroData):
        return from_pyg(source)
    if isinstance(source, Data):
        return _from_data(source)
    has_one = isinstance(getattr(source, "structure", None), Structure)  # as a Trie has
    raise TypeError(
        f"expected a graphrec Structure, a PyG Data, HeteroData or Batch, or an edge_index tensor, got "
        f"{type(source).__name__}{': give its .structure' if has_one else ''}."
    )


def as_pair(
    edge_index: Any,
    num_sources: int,
    num_targets: int,
    edge_attr: Tensor | None = None,
    edge_weight: Tensor | None = None,
) -> Structure:
    """The structure of edges from one set of nodes to another, as PyG's layers take them: n targets, then S sources.

    Args:
        edge_index: `[2, E]`, sources counted in their set and targets in theirs. Cached, as above.
        num_sources, num_targets: S and n.
        edge_attr, edge_weight: of the edges.
    """
    if not isinstance(edge_index, Tensor):
        raise TypeError(
            f"rows of two sets of nodes, (x_source, x_target), go with an edge_index tensor, got "
            f"{type(edge_index).__name__}."
        )
    num_sources, num_targets = as_count("num_sources", num_sources), as_count("num_targets", num_targets)
    _check_of_edges(edge_attr=edge_attr, edge_weight=edge_weight)
    parts = {"edge_index": edge_index, "edge_attr": edge_attr, "edge_weight": edge_weight}

    @made_outside
    def build(parts: dict[str, Any]) -> Structure:
        edges = as_whole_numbers(parts["edge_index"], "edge_index must hold node ids as whole numbers")
        if edges.dim() == 2 and edges.shape[0] == 2:
            for number, (name, count) in enumerate((("source", num_sources), ("target", num_targets))):
                odd = ((edges[number] < 0) | (edges[number] >= count)).nonzero().flatten()
                if len(odd):
                    raise ValueError(
                        f"edge {int(odd[0])} names {name} {int(edges[number, odd[0]])}, but there are {count} {name}s, "
                        f"as x_{name} has rows."
                    )
            edges = edges + torch.tensor([[num_targets], [0]], device=edges.device)
        return dag(num_nodes=num_targets + num_sources, **{**parts, "edge_index": edges})

    return remembered(parts, (num_sources, num_targets), build)


def _from_edges(edge_index: Tensor, num_nodes: int, **of_edges: Tensor | None) -> Structure:
    _check_of_edges(**of_edges)
    parts = {"edge_index": edge_index, **of_edges}
    return remembered(parts, num_nodes, lambda parts: dag(num_nodes=num_nodes, **parts))


def _check_of_edges(**of_edges: Tensor | None) -> None:
    for name, values in of_edges.items():
        if values is not None and not isinstance(values, Tensor):
            raise TypeError(f"{name} must be a tensor with a row per edge, got {type(values).__name__}.")


def _from_data(data: Data) -> Structure:
    data = with_edges(data)
    there = data.to_dict()  # PyG looks each name up in several places
    if not isinstance(there.get("edge_index"), Tensor) or not there.keys().isdisjoint(_TEXTS):
        return from_pyg(data)
    parts = {name: there[name] for name in OF_EDGES_AND_NODES if there.get(name) is not None}
    if not _may_be_kept(parts):
        return from_pyg(data)
    num_nodes, num_graphs = int(data.num_nodes or 0), count_graphs(there)
    return _look_up(parts, (num_nodes, num_graphs), lambda parts: structure_of(parts, num_nodes, num_graphs))


def remembered(parts: dict[str, Any], num_nodes: Any, build: Any) -> Structure:
    """The structure of these tensors: the cached one, if they hold the same numbers.

    They are compared with copies, since torch does not count all ways to write into a tensor (numpy, `.data`).
    """
    return _look_up(parts, num_nodes, build) if _may_be_kept(parts) else build(parts)


def _look_up(parts: dict[str, Any], num_nodes: Any, build: Any) -> Structure:
    with outside():
        of_edges = _remembered.get(parts["edge_index"])
        if of_edges is None:
            of_edges = _remembered[parts["edge_index"]] = {}
        known = of_edges.get(tuple(parts))
        if known is None or not known.is_of(parts, num_nodes):
            copies = {
                name: part.clone() if isinstance(part, Tensor) else part for name, part in parts.items()
            }
            known = Known(num_nodes, copies, build(copies))
            of_edges[tuple(parts)] = known
    return known.structure


def _may_be_kept(parts: dict[str, Any]) -> bool:
    # Features that are being learned are part of a graph of autograd; others may belong to a transform.
    return not any(part.requires_grad or not is_ordinary(part) for part in _tensors(parts))


def _same(known: Any, part: Any) -> bool:
    if not isinstance(part, Tensor) or not isinstance(known, Tensor):
        return known is part
    if (known.dtype, known.device) != (part.dtype, part.device):
        return False
    return torch.equal(known, part)


def _tensors(parts: dict[str, Any]) -> Iterator[Tensor]:
    return (part for part in parts.values() if isinstance(part, Tensor))

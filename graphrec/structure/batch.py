"""Several structures as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

from .build import chains
from .features import EdgeFeatures, join_features, split_by_relation
from .outside import made_outside, outside
from .structure import Structure
from .written import shown


def batch(structures: Sequence[Structure]) -> Structure:
    """Several structures side by side: the nodes of member b are numbered on from those of member b - 1.

    Slots, relations, kinds, edge attributes and weights, tokens and labels are kept; members may be batches themselves.
    Levels that all members know are known to the batch. Of no members it is a batch of no graphs.

    Raises:
        ValueError: a value that some members carry and others do not.
    """
    if isinstance(structures, Structure | Tensor | np.ndarray) or not hasattr(structures, "__iter__"):
        raise TypeError(f"batch takes a list of structures, got {type(structures).__name__}.")
    members = list(structures)
    if not members:
        return chains([])
    for member in members:
        if not isinstance(member, Structure):
            raise TypeError(
                f"batch takes structures, got {type(member).__name__}: build one with graphrec.tree, …"
            )
    nodes = [m.num_nodes for m in members]
    edges = [m.edge_index.shape[1] for m in members]
    graphs = [m.num_graphs for m in members]
    with outside():
        edge_index = _numbered_on([m.edge_index for m in members], nodes, edges)
        graph = _numbered_on([m.graph for m in members], graphs, nodes)
        carried: dict[str, Any] = {name: _join(name, members, edges) for name in ("slot", "relation")}
        carried |= {name: _join(name, members, nodes) for name in ("kind", "past")}
    carried |= {name: _join(name, members, edges) for name in ("edge_attr", "edge_weight")}
    carried |= {f"{name}_names": _join_names(name, members) for name in ("relation", "kind")}
    return Structure.counted_out(
        num_nodes=sum(nodes),
        edge_index=edge_index,
        graph=graph,
        num_graphs=sum(graphs),
        level=_join_levels(m.known_level for m in members),
        level_reversed=_join_levels(m.known_level_reversed for m in members),
        tokens=_join_texts([m.tokens for m in members], members),
        labels=_join_texts([m.labels for m in members], members),
        **carried,
    )


def _numbered_on(numbers: list[Tensor], counts: list[int], columns: list[int]) -> Tensor:
    """The numbers of all members, `[..., columns]` each, with those of each member shifted by the `counts` so far."""
    joined = torch.cat(numbers, dim=-1)
    # (numpy makes a tensor of a list several times as fast as torch does.)
    first = np.repeat(np.cumsum([0, *counts[:-1]], dtype=np.int64), columns)
    return joined.add_(torch.from_numpy(first).to(joined.device))


def _join(name: str, members: list[Structure], counts: list[int]) -> Any:
    # A member without rows (a single node has no edges) need not say what its rows would have been.
    values = [getattr(m, name) for m in members]
    if all(value is None for value in values):
        return None
    with_rows = [value for value, count in zip(values, counts, strict=True) if count]
    have = [value for value in with_rows if value is not None]
    if not have:
        return getattr(members[0], name)
    if len(have) < len(with_rows):
        missing = next(i for i, m in enumerate(members) if counts[i] and getattr(m, name) is None)
        raise ValueError(
            f"member {missing} of the batch has no {name} while others have: give it one, or drop it from all."
        )
    if any(isinstance(value, EdgeFeatures) for value in have):
        return join_features([_by_relation(member) for member in members])
    if len({(value.dtype, value.shape[1:]) for value in have}) > 1:
        widths = ", ".join(sorted({f"{list(value.shape[1:])} {value.dtype}" for value in have}))
        raise ValueError(f"{name} must have rows of one shape and dtype in all members, got {widths}.")
    return torch.cat(have)


def _join_names(name: str, members: list[Structure]) -> tuple[str, ...] | None:
    """The names of the numbers, which must mean the same in all members that have any."""
    values = [getattr(m, name) for m in members]
    numbered = [i for i, value in enumerate(values) if value is not None and len(value)]
    names = {i: getattr(members[i], f"{name}_names") for i in numbered or [0]}
    first, *others = names
    for i in others:
        if names[i] != names[first]:
            raise ValueError(
                f"{name}_names must be the same in all members, for their numbers become those of one batch, but "
                f"members {first} and {i} differ: {shown(names[first])} and {shown(names[i])}. Read "
                f"all with one list, e.g. graphrec.from_networkx(graph, {name}s=[...])."
            )
    return names[first]


def _by_relation(member: Structure) -> EdgeFeatures:
    """The features of edges, by relation or of one width."""
    if isinstance(member.edge_attr, EdgeFeatures) or not member.num_edges:
        return member.edge_attr or EdgeFeatures(0, ())
    return split_by_relation(member.edge_attr, member.relation)


@made_outside
def _join_levels(levels: Iterable[Tensor | None]) -> Tensor | None:
    known = []
    for level in levels:
        if level is None:
            return None
        known.append(level)
    return torch.cat(known)


def _join_texts(
    texts: list[tuple[str | None, ...] | None], members: list[Structure]
) -> tuple[str | None, ...] | None:
    if all(text is None for text in texts):
        return None
    return tuple(t for text, m in zip(texts, members, strict=True) for t in (text or (None,) * m.num_nodes))


def _collate(structures: Sequence[Structure], *, collate_fn_map: Any = None) -> Structure:
    return batch(structures)


# Where torch's DataLoader looks up how to collate samples of a type.
default_collate_fn_map[Structure] = _collate

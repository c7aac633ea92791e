"""The C functions of csrc/schedule.h on integer tensors. Each answers None where there is no library for them.

They do what the code in PyTorch beside each call does, with exactly the same results.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..clib import library
from .outside import has_values

_NUMBER, _ADDRESS = ctypes.c_int64, ctypes.c_void_p


class _Inboxes(ctypes.Structure):
    _fields_ = (
        *((name, _NUMBER) for name in ("nodes", "edges", "levels")),
        *((name, _ADDRESS) for name in ("bounds", "position", "source", "target", "slot", "edge", "relation")),
        *((name, _ADDRESS) for name in ("out_source", "out_target", "out_edge", "out_slot", "out_relation")),
        *((name, _ADDRESS) for name in ("first_edge", "edge_bounds", "fewest", "most")),
        *((name, _NUMBER) for name in ("num_slots", "distinct_slots")),
    )  # fmt: skip


# How many counts each function takes, and then how many arrays.
_ARGUMENTS = {"levels": (2, 3), "order": (2, 5), "transpose": (2, 6), "default_slots": (2, 3)}


@cache
def _functions() -> Any:
    """The library with the types of its arguments set, or None."""
    found = library()
    if found is None or not hasattr(found, "graphrec_inboxes"):
        return None
    for name, (counts, arrays) in _ARGUMENTS.items():
        function = getattr(found, f"graphrec_{name}")
        function.argtypes, function.restype = [_NUMBER] * counts + [_ADDRESS] * arrays, _NUMBER
    found.graphrec_inboxes.argtypes, found.graphrec_inboxes.restype = [ctypes.POINTER(_Inboxes)], _NUMBER
    return found


def _usable(*tensors: Tensor | None) -> Any:
    """The library, if it can read all of these tensors: long numbers in the memory of this process."""
    for tensor in tensors:
        if tensor is not None and (not tensor.is_cpu or tensor.dtype != torch.long or not has_values(tensor)):
            return None
    return _functions()


def _contiguous(*tensors: Tensor | None) -> tuple[Any, ...]:
    return tuple(None if tensor is None else tensor.contiguous() for tensor in tensors)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _numbers(*sizes: int) -> tuple[Sequence[Tensor], list[int]]:
    """Tensors of these sizes, in one piece of memory, and their addresses."""
    whole = torch.empty(sum(sizes), dtype=torch.long)
    addresses, next_one = [], whole.data_ptr()
    for size in sizes:
        addresses.append(next_one)
        next_one += 8 * size
    return whole.split(sizes), addresses


def longest_paths(source: Tensor, target: Tensor, num_nodes: int) -> Tensor | None:
    """`[N]`: the length of the longest path to each node; None also where there is a cycle."""
    c = _usable(source, target)
    if c is None:
        return None
    source, target = _contiguous(source, target)
    level = torch.empty(num_nodes, dtype=torch.long)
    found = c.graphrec_levels(num_nodes, len(source), *map(_address, (source, target, level)))
    return level if found >= 0 else None


class Sorted(NamedTuple):
    """`[N]`: the nodes sorted, and the position of each; `[levels + 1]`: where each level begins."""

    perm: Tensor
    inv_perm: Tensor
    bounds: Tensor
    is_identity: bool


def order(level: Tensor, kind: Tensor | None) -> Sorted | None:
    """The nodes by level, within a level by kind, and then by number."""
    c = _usable(level, kind)
    if c is None:
        return None
    level, kind = _contiguous(level, kind)
    count = len(level)
    levels = int(level.max()) + 1 if count else 0
    parts, addresses = _numbers(count, count, levels + 1)
    found = c.graphrec_order(count, levels, _address(level), _address(kind), *addresses)
    return Sorted(*parts, is_identity=bool(found)) if found >= 0 else None


class Inboxes(NamedTuple):
    """Edges sorted by target and slot; see `struct Inboxes` in csrc/schedule.h."""

    source: Tensor
    target: Tensor
    edge: Tensor
    slot: Tensor
    relation: Tensor | None
    first_edge: Tensor
    edge_bounds: Tensor
    fewest: Tensor
    most: Tensor
    num_slots: int
    distinct_slots: bool


def inboxes(
    bounds: Tensor,
    num_nodes: int,
    position: Tensor | None,
    source: Tensor,
    target: Tensor,
    slot: Tensor,
    edge: Tensor | None,
    relation: Tensor | None,
) -> Inboxes | None:
    """Edges sorted by target and slot, in levels that begin at `bounds`.

    Args:
        bounds: `[levels + 1]`, of positions.
        num_nodes: N.
        position: `[N]`, of each node; None: source and target are positions, source maybe with rows before them.
        source, target, slot: `[E]`.
        edge, relation: `[E]`; None: the edges are 0, 1, 2, …; there are no relations.
    """
    c = _usable(bounds, position, source, target, slot, edge, relation)
    if c is None:
        return None
    given = _contiguous(bounds, position, source, target, slot, edge, relation)
    edges, levels = len(source), len(bounds) - 1
    of_relations = 0 if relation is None else edges
    sizes = (edges, edges, edges, edges, of_relations, num_nodes, levels + 1, levels, levels)
    parts, addresses = _numbers(*sizes)
    call = _Inboxes(num_nodes, edges, levels, *map(_address, given), *addresses)
    if c.graphrec_inboxes(call) < 0:
        return None
    source, target, edge, slot, of_edges, first_edge, *of_levels = parts
    return Inboxes(
        source,
        target,
        edge,
        slot,
        None if relation is None else of_edges,
        first_edge,
        *of_levels,
        num_slots=call.num_slots,
        distinct_slots=bool(call.distinct_slots),
    )


class Transposed(NamedTuple):
    """`[E]`: edges sorted by source, and the source and target of each; `[S]`: where those of each source begin."""

    perm: Tensor
    source: Tensor
    target: Tensor
    first: Tensor


def transpose(source: Tensor, target: Tensor, num_sources: int) -> Transposed | None:
    """The edges sorted by source."""
    c = _usable(source, target)
    if c is None:
        return None
    source, target = _contiguous(source, target)
    parts, addresses = _numbers(*[len(source)] * 3, num_sources)
    found = c.graphrec_transpose(num_sources, len(source), _address(source), _address(target), *addresses)
    return Transposed(*parts) if found >= 0 else None


def default_slots(edge_index: Tensor, num_nodes: int) -> Tensor | None:
    """`[E]`: for each edge, how many listed earlier enter the same target; None also where an end is not a node."""
    c = _usable(edge_index)
    if c is None:
        return None
    source, target = _contiguous(*edge_index)
    slot = torch.empty_like(target)
    found = c.graphrec_default_slots(num_nodes, len(target), *map(_address, (source, target, slot)))
    return slot if found >= 0 else None

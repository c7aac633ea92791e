"""The C functions of csrc/schedule.h on integer tensors. Each answers None where there is no library for them.

They do what the code in PyTorch beside each call does, with exactly the same results.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..clib import library

_NUMBER, _ADDRESS = ctypes.c_int64, ctypes.c_void_p


class _Inboxes(ctypes.Structure):
    _fields_ = (
        *((name, _NUMBER) for name in ("nodes", "edges", "levels")),
        *((name, _ADDRESS) for name in ("bounds", "position", "source", "target", "slot", "edge", "relation")),
        *((name, _ADDRESS) for name in ("out_source", "out_target", "out_edge", "out_slot", "out_relation")),
        *((name, _ADDRESS) for name in ("first_edge", "edge_bounds", "fewest", "most")),
        *((name, _NUMBER) for name in ("num_slots", "distinct_slots")),
    )  # fmt: skip


class _Segments(ctypes.Structure):
    _fields_ = (
        *((name, _NUMBER) for name in ("nodes", "edges", "boundary")),
        *((name, _ADDRESS) for name in ("source", "target", "node", "perm", "inv_perm", "segment", "length")),
        *((name, _ADDRESS) for name in ("degree", "row", "parent", "segment_bounds", "step_bounds", "counts")),
    )  # fmt: skip


# How many numbers each function takes, and then how many arrays.
_ARGUMENTS = {
    "levels": (2, 3),
    "order": (2, 5),
    "transpose": (2, 6),
    "default_slots": (2, 3),
    "out_edges": (2, 11),
}


@cache
def _functions() -> Any:
    """The library with the types of its arguments set, or None."""
    found = library()
    if found is None or not hasattr(found, "graphrec_inboxes"):
        return None
    for name, (counts, arrays) in _ARGUMENTS.items():
        function = getattr(found, f"graphrec_{name}")
        function.argtypes, function.restype = [_NUMBER] * counts + [_ADDRESS] * arrays, _NUMBER
    for name, of in (("inboxes", _Inboxes), ("segments", _Segments)):
        function = getattr(found, f"graphrec_{name}")
        function.argtypes, function.restype = [ctypes.POINTER(of)], _NUMBER
    return found


def _usable(*tensors: Tensor | None) -> Any:
    """The library, if it can read all of these tensors: long numbers in the memory of this process."""
    for tensor in tensors:  # (A subclass, such as that of tensors without values, may have no memory.)
        if tensor is not None and not (
            type(tensor) is Tensor and tensor.is_cpu and tensor.dtype == torch.long
        ):
            return None
    return _functions()


def _contiguous(*tensors: Tensor | None) -> list[Any]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def _addresses(tensors: Sequence[Tensor | None]) -> list[int | None]:
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


def _numbers(*sizes: int) -> tuple[Sequence[Tensor], list[int]]:
    """Tensors of these sizes, in one piece of memory, and their addresses."""
    whole = torch.empty(sum(sizes), dtype=torch.long)
    begins = accumulate(sizes, initial=whole.data_ptr() // 8)
    return whole.split_with_sizes(sizes), [8 * begin for begin, _ in zip(begins, sizes, strict=False)]


def longest_paths(source: Tensor, target: Tensor, num_nodes: int) -> Tensor | None:
    """`[N]`: the length of the longest path to each node; None also where there is a cycle."""
    c = _usable(source, target)
    if c is None:
        return None
    given = _contiguous(source, target)
    level = torch.empty(num_nodes, dtype=torch.long)
    found = c.graphrec_levels(num_nodes, source.shape[0], *_addresses([*given, level]))
    return level if found >= 0 else None


class Sorted(NamedTuple):
    """`[N]`: the nodes sorted, and the position of each; `[levels + 1]`: where each level begins (None: one level)."""

    perm: Tensor
    inv_perm: Tensor
    bounds: Tensor | None
    is_identity: bool


def order(level: Tensor, kind: Tensor | None) -> Sorted | None:
    """The nodes by level, within a level by kind, and then by number."""
    c = _usable(level, kind)
    if c is None:
        return None
    given = _contiguous(level, kind)
    count = level.shape[0]
    levels = int(level.max()) + 1 if count else 0
    parts, addresses = _numbers(count, count, levels + 1)
    found = c.graphrec_order(count, levels, *_addresses(given), *addresses)
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
    bounds: Tensor | None,
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
        bounds: `[levels + 1]`, of positions; None: there is one level.
        num_nodes: N.
        position: `[N]`, of each node; None: source and target are positions, source maybe with rows before them.
        source, target, slot: `[E]`.
        edge, relation: `[E]`; None: the edges are 0, 1, 2, …; there are no relations.
    """
    c = _usable(bounds, position, source, target, slot, edge, relation)
    if c is None:
        return None
    given = _contiguous(bounds, position, source, target, slot, edge, relation)
    edges, levels = source.shape[0], 1 if bounds is None else bounds.shape[0] - 1
    of_relations = 0 if relation is None else edges
    sizes = (edges, edges, edges, edges, of_relations, num_nodes, levels + 1, levels, levels)
    parts, addresses = _numbers(*sizes)
    call = _Inboxes(num_nodes, edges, levels, *_addresses(given), *addresses)
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
    given, edges = _contiguous(source, target), source.shape[0]
    parts, addresses = _numbers(edges, edges, edges, num_sources)
    found = c.graphrec_transpose(num_sources, edges, *_addresses(given), *addresses)
    return Transposed(*parts) if found >= 0 else None


def default_slots(edge_index: Tensor, num_nodes: int) -> Tensor | None:
    """`[E]`: for each edge, how many listed earlier enter the same target; None also where an end is not a node."""
    c = _usable(edge_index)
    if c is None:
        return None
    given, edges = edge_index.contiguous(), edge_index.shape[1]
    slot = torch.empty(edges, dtype=torch.long)
    source = given.data_ptr()
    found = c.graphrec_default_slots(num_nodes, edges, source, source + 8 * edges, slot.data_ptr())
    return slot if found >= 0 else None


class OutEdges(NamedTuple):
    """Edges sorted by the level that they leave; see `graphrec_out_edges` in csrc/schedule.h."""

    row: Tensor
    gather: Tensor
    sender: Tensor
    reader: Tensor
    length: Tensor
    bounds: Tensor
    is_whole: Tensor
    is_sorted: Tensor


def out_edges(row_bounds: Tensor, edge_bounds: Tensor, source: Tensor) -> OutEdges | None:
    """The edges of an async schedule sorted by the level that they leave, and the step that they enter."""
    c = _usable(row_bounds, edge_bounds, source)
    if c is None:
        return None
    given = _contiguous(row_bounds, edge_bounds, source)
    steps, edges = edge_bounds.shape[0] - 1, source.shape[0]
    parts, addresses = _numbers(*[edges] * 5, steps + 2, steps + 1, steps)
    runs = c.graphrec_out_edges(steps, edges, *_addresses(given), *addresses)
    if runs < 0:
        return None
    row, gather, sender, reader, length, bounds, is_whole, is_sorted = parts
    return OutEdges(
        row, gather, sender[:runs], reader[:runs], length[:runs], bounds, is_whole.bool(), is_sorted.bool()
    )


class Segments(NamedTuple):
    """The segments of an async schedule; see `struct Segments` in csrc/schedule.h."""

    perm: Tensor
    inv_perm: Tensor
    segment: Tensor
    length: Tensor
    degree: Tensor
    row: Tensor
    parent: Tensor
    segment_bounds: Tensor
    step_bounds: Tensor
    counts: Tensor


def segments(boundary: int, source: Tensor, target: Tensor, node: Tensor) -> Segments | None:
    """The segments of an async schedule.

    Args:
        boundary: how many boundary rows there are.
        source, target: `[E]`, the row of each inbox edge's source, and the position of its target.
        node: `[N]`, at each position.
    """
    c = _usable(source, target, node)
    if c is None:
        return None
    given, count = _contiguous(source, target, node), node.shape[0]
    sizes = (*[count] * 7, count + 1, count + 1, count)
    parts, addresses = _numbers(*sizes)
    levels = c.graphrec_segments(_Segments(count, source.shape[0], boundary, *_addresses(given), *addresses))
    if levels < 0:
        return None
    perm, inv_perm, segment, *of_segments, segment_bounds, step_bounds, counts = parts
    length, degree, row, parent = (part[: int(segment_bounds[levels])] for part in of_segments)
    return Segments(
        perm,
        inv_perm,
        segment,
        length,
        degree,
        row,
        parent,
        segment_bounds[: levels + 1],
        step_bounds[: levels + 1],
        counts[: int(step_bounds[levels])],
    )

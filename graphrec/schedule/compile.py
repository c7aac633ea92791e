"""From a structure to its schedule. Everything is vectorised; nothing here walks the graph but `levels`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..structure import Structure
from .levels import levels
from .plan import Schedule, Steps
from .views import segment_layout


def schedule(structure: Structure, mode: str = "async", rounds: int | None = None) -> Schedule:
    """The order in which the nodes of a structure are updated; computed once and kept on the structure.

    Args:
        structure: what to schedule.
        mode: `"async"`, every node once, after its sources, a topological level per step; or `"sync"`, every
            node in every round, reading the round before.
        rounds: T, how many rounds (sync only).

    Raises:
        CycleError: in async mode, a cycle; names one.
        ValueError: an unknown mode, fewer than one round, rounds in async mode, a structure without nodes.
        TypeError: not a structure.
    """
    if not isinstance(structure, Structure):
        raise TypeError(
            f"expected a Structure, got {type(structure).__name__}: make one with graphrec.from_pyg or graphrec.dag."
        )
    check_mode(mode, rounds)
    if structure.num_nodes == 0:
        raise ValueError("there is nothing to schedule: the structure (or batch) has no nodes.")
    key = ("schedule", mode, rounds)
    if key not in structure.cache:
        with torch.inference_mode(False):  # what is kept must be fit for training, too
            structure.cache[key] = (
                compile_async(structure) if rounds is None else compile_sync(structure, rounds)
            )
    return structure.cache[key]


def check_mode(mode: str, rounds: int | None) -> None:
    """Raise unless the two go together."""
    if mode not in ("async", "sync"):
        raise ValueError(f"mode must be 'async' or 'sync', got {mode!r}.")
    if mode == "async" and rounds is not None:
        raise ValueError(
            f"async mode visits every node once and takes no rounds, got rounds={rounds}; use mode='sync'."
        )
    if mode == "sync" and (not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 1):
        raise ValueError(f"sync mode needs a number of rounds, 1 or more, got rounds={rounds!r}.")


def compile_async(structure: Structure, initial: bool = False) -> Schedule:
    """One step per level. With `initial`, a given row for each node that misses a source, and edges from it."""
    level = levels(structure)
    order = _sorted_by_kind(structure, level)
    sizes = torch.bincount(level)
    bounds = torch.cat([sizes.new_zeros(1), torch.cumsum(sizes, 0)])
    missing = _missing_sources(structure) if initial else None
    return _compile(structure, "async", None, order, missing, level_bounds=bounds, level=level)


def compile_sync(structure: Structure, rounds: int) -> Schedule:
    """The same step over all nodes, `rounds` times; the given rows are round 0."""
    level = torch.zeros(structure.num_nodes, dtype=torch.long, device=structure.device)
    order = _sorted_by_kind(structure, level)
    bounds = torch.tensor([0, structure.num_nodes], device=structure.device)
    return _compile(structure, "sync", rounds, order, None, level_bounds=bounds, level=level)


def _sorted_by_kind(structure: Structure, level: Tensor) -> Tensor:
    """`[N]`: the nodes by level, and in a level by kind, so that a step's nodes of one kind stand side by side."""
    if structure.kind is None:
        return torch.argsort(level, stable=True)
    by_kind = torch.argsort(structure.kind, stable=True)
    return by_kind[torch.argsort(level[by_kind], stable=True)]


def _missing_sources(structure: Structure) -> tuple[Tensor, Tensor]:
    """Node and slot of each source that an initial state stands in for."""
    if structure.past is None:
        without = torch.bincount(structure.target, minlength=structure.num_nodes) == 0
        nodes = without.nonzero().flatten()
        return nodes, torch.zeros_like(nodes)
    first = torch.cumsum(structure.past, 0) - structure.past
    node = torch.repeat_interleave(torch.arange(structure.num_nodes, device=structure.device), structure.past)
    slot = torch.arange(len(node), device=structure.device) - first[node]
    in_past = structure.slot < structure.past[structure.target]
    missing = torch.ones_like(node, dtype=torch.bool)
    missing[(first[structure.target] + structure.slot)[in_past]] = False
    return node[missing], slot[missing]


def _compile(
    structure: Structure,
    mode: str,
    rounds: int | None,
    order: Tensor,
    missing: tuple[Tensor, Tensor] | None,
    level_bounds: Tensor,
    level: Tensor,
) -> Schedule:
    place = _inverse(order)
    source, target, slot = place[structure.source], place[structure.target], structure.slot
    edge = torch.arange(structure.num_edges, device=structure.device)
    relation = structure.relation
    given = order if mode == "sync" else order[:0]
    if missing is not None:
        # The virtual edges of the given rows: from the row to its node (relation 0).
        places, rows = torch.unique(place[missing[0]], return_inverse=True)
        given = order[places]
        source = torch.cat([rows, source + given.shape[0]])
        target = torch.cat([place[missing[0]], target])
        slot, edge = torch.cat([missing[1], slot]), torch.cat([torch.full_like(rows, -1), edge])
        relation = None if relation is None else torch.cat([torch.zeros_like(rows), relation])
    # Inboxes stand in the order of their nodes, and in an inbox edges stand in the order of their slots.
    num_slots = int(slot.max()) + 1 if slot.numel() else 0
    key = target * max(num_slots, 1) + slot
    key, inbox = torch.sort(key, stable=True)
    source, target, slot, edge = source[inbox], target[inbox], slot[inbox], edge[inbox]
    nodes = level_bounds.tolist()
    first_edge, edges, fewest, most = segment_layout(torch.bincount(target, minlength=order.shape[0]), nodes)
    return Schedule(
        structure=structure,
        mode=mode,
        rounds=rounds,
        order=order,
        place=place,
        source=source,
        target=target - level_bounds[level[order][target]],
        edge=edge,
        slot=slot,
        relation=None if relation is None else relation[inbox],
        given=given,
        steps=Steps(nodes, edges, fewest, most, given.shape[0], rounds),
        num_slots=num_slots,
        distinct_slots=not bool((key[1:] == key[:-1]).any()),
        in_order=bool((order[1:] > order[:-1]).all()),
        first_edge=first_edge,
    )


def _inverse(permutation: Tensor) -> Tensor:
    inverse = torch.empty_like(permutation)
    inverse[permutation] = torch.arange(permutation.shape[0], device=permutation.device)
    return inverse

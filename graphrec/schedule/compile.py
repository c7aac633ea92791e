"""From a structure to its schedule. Nothing here walks the graph but `levels`, and nothing sorts but `sorting`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..operators import FixedPoint
from ..structure import Structure, check_structure
from ..structure.checks import check_one_of
from ..structure.outside import outside, uncompiled
from ..structure.traced import TracedStructure
from .components import components
from .deferred import DeferredSchedule
from .derived import derived
from .levels import levels, longest_paths
from .orders import Order, ranks
from .plan import Cycles, Schedule, Steps
from .sorting import Sorted, order_of, sorted_edges


@uncompiled
def schedule(
    structure: Structure,
    mode: str = "async",
    rounds: int | FixedPoint | None = None,
    cycles: str = "error",
    order: Order | None = None,
) -> Schedule:
    """The schedule of a structure, which says when each node is updated; computed once and kept on the structure.

    Args:
        structure: what to schedule.
        mode: `"async"`, every node once, after its sources, a topological level per step; or `"sync"`, every
            node in every round, reading the previous round.
        rounds: T, the number of rounds in sync mode, for each iterated cycle, or of sweeps in a given order (1
            where it is left out). For cycles also a `FixedPoint`.
        cycles: what async mode does with nodes that depend on themselves: `"error"`; or `"iterate"`: strongly connected
            components are updated in dependency order, and all nodes of a cyclic one `rounds` times, each
            reading the previous round (and the final state of other components).
        order: in async mode, instead of the edges: nodes are updated in the order of a rank `[N]` (or of what a
            function finds for the structure, such as `graphrec.colouring`). A node reads the new state of sources
            of a lower rank, and the previous state of all others, itself included: Gauss-Seidel updates on any
            graph, including undirected ones. Nodes of one rank are updated together.

    Raises:
        CycleError: in async mode, a cycle; names one.
        ValueError: an unknown mode, or rounds that do not fit it.
        TypeError: not a structure.
    """
    check_structure(structure)
    check_mode(mode, rounds, cycles, order)
    if isinstance(structure, TracedStructure):
        return DeferredSchedule.of(structure, mode, rounds, cycles, order)
    if isinstance(order, Tensor):  # its values may change: it cannot be a key
        return compile_ordered(structure, ranks(structure, order), rounds)
    key = ("schedule", mode, rounds, cycles, order)
    if key not in structure.cache:
        with outside():
            structure.cache[key] = _compiled(structure, mode, rounds, cycles, order)
    return structure.cache[key]


def _compiled(structure: Structure, mode: str, rounds: Any, cycles: str, order: Any) -> Schedule:
    if mode == "sync":
        return compile_sync(structure, rounds)
    if order is not None:
        return compile_ordered(structure, ranks(structure, order), rounds)
    # Without a cycle there is nothing to iterate.
    if cycles == "iterate" and components(structure).any:
        return compile_iterated(structure, rounds)
    return compile_async(structure)


def check_mode(mode: str, rounds: Any, cycles: str = "error", order: Any = None) -> None:
    """Raise unless these arguments fit together."""
    check_one_of("mode", mode, ("async", "sync"))
    check_one_of("cycles", cycles, ("error", "iterate"))
    if mode == "sync" and (cycles == "iterate" or order is not None):
        raise ValueError(
            "sync mode updates all nodes in every round: cycles='iterate' and order=... are for async mode."
        )
    if cycles == "iterate" and order is not None:
        raise ValueError("with an order every node is updated, cycles or not: leave out cycles='iterate'.")
    is_count = isinstance(rounds, int) and not isinstance(rounds, bool) and rounds >= 1
    if mode == "sync" and not is_count:
        raise ValueError(f"sync mode needs a number of rounds, 1 or more, got rounds={rounds!r}.")
    if cycles == "iterate" and not is_count and not isinstance(rounds, FixedPoint):
        raise ValueError(
            f"cycles='iterate' needs a number of rounds, 1 or more, or a graphrec.FixedPoint, got rounds={rounds!r}."
        )
    if order is not None and rounds is not None and not is_count:
        raise ValueError(f"rounds must be a number of sweeps, 1 or more, got rounds={rounds!r}.")
    if mode == "async" and cycles == "error" and order is None and rounds is not None:
        raise ValueError(
            f"async mode visits every node once and takes no rounds, got rounds={rounds}; use mode='sync'."
        )


def compile_async(structure: Structure, initial: bool = False) -> Schedule:
    """One step per level. With `initial`, a boundary row for each node that misses a source, and edges from it."""
    missing = _missing_sources(structure) if initial else None
    return _compile_levels(structure, levels(structure), missing)


def compile_iterated(structure: Structure, rounds: int | FixedPoint, initial: bool = False) -> Schedule:
    """One step per level of the components, with cyclic components in steps of their own."""
    found = components(structure)
    missing = _missing_sources(structure) if initial else None
    plan = _compile_levels(structure, found.level, missing)
    first = plan.perm[plan.steps.nodes[:-1].to(structure.device)]
    cycles = Cycles(rounds, tuple(found.is_cyclic[first].tolist()), found.component[plan.perm])
    return replace(plan, cycles=cycles)


def compile_ordered(structure: Structure, rank: Tensor, sweeps: Any) -> Schedule:
    """One step per level of the edges that lead to a higher rank; the sources of the others have boundary rows."""
    early = rank[structure.source] < rank[structure.target]
    source, target = structure.edge_index[:, early]
    level = longest_paths(source, target, structure.num_nodes)
    plan = _compile_levels(structure, level, None, late=~early)
    return replace(plan, sweeps=sweeps or 1)


@derived
def _with_initial(plan: Schedule) -> Schedule:
    if plan.cycles is not None:
        return compile_iterated(plan.structure, plan.cycles.rounds, initial=True)
    return compile_async(plan.structure, initial=True)


def with_initial(plan: Schedule) -> Schedule:
    """The schedule with a virtual predecessor for each node that misses one, whose row holds an initial state."""
    if plan.mode == "sync" or plan.sweeps is not None or plan.boundary.numel():
        return plan
    if plan.edge_mask is not None:
        return masked(_with_initial(plan), plan.edge_mask)
    return _with_initial(plan)


def masked(plan: Schedule, edge_mask: Tensor) -> Schedule:
    """A schedule in which all that an edge brings to its target is multiplied by a number `[E]`, for explainers.

    The loop applies the mask. Values that only score messages, as in a softmax, are not masked.
    """
    if not len(edge_mask):
        return plan
    of_inbox = edge_mask.index_select(0, plan.edge.clamp(min=0)).masked_fill(plan.edge < 0, 1)
    other = replace(plan, edge_mask=edge_mask, message_mask=of_inbox)
    object.__setattr__(other, "cache", plan.cache)  # nothing in it depends on masks
    return other


def _compile_levels(
    structure: Structure, level: Tensor, missing: tuple[Tensor, Tensor] | None, late: Tensor | None = None
) -> Schedule:
    return _compile(structure, "async", None, order_of(level, structure.kind), missing, late)


def compile_sync(structure: Structure, rounds: int) -> Schedule:
    """The same step over all nodes, `rounds` times; the boundary rows are round 0."""
    if structure.kind is None:
        nodes = torch.arange(structure.num_nodes, device=structure.device)
        order = Sorted(nodes, nodes, None, is_identity=True)
    else:
        order = order_of(torch.zeros_like(structure.kind), structure.kind)._replace(bounds=None)
    return _compile(structure, "sync", rounds, order, None)


def _missing_sources(structure: Structure) -> tuple[Tensor, Tensor]:
    """Node and slot of each source that an initial state replaces."""
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
    order: Sorted,
    missing: tuple[Tensor, Tensor] | None,
    late: Tensor | None = None,  # [E], the edges that read boundary rows
) -> Schedule:
    perm, position, bounds, is_identity = order
    source, target, slot, relation = structure.source, structure.target, structure.slot, structure.relation
    boundary, edge = perm if mode == "sync" else perm[:0], None
    if late is not None or missing is not None:
        source, target = position[source], position[target]
        position = None
    if late is not None:
        positions, rows = torch.unique(source[late], return_inverse=True)
        boundary = perm[positions]
        source = source + boundary.shape[0]
        source[late] = rows
    if missing is not None:
        # The virtual edges of the boundary rows: from the row to its node (relation 0).
        nodes, slots = missing
        positions, rows = torch.unique(order.inv_perm[nodes], return_inverse=True)
        boundary = perm[positions]
        source = torch.cat([rows, source + boundary.shape[0]])
        target = torch.cat([order.inv_perm[nodes], target])
        edges = torch.arange(structure.num_edges, device=structure.device)
        slot, edge = torch.cat([slots, slot]), torch.cat([torch.full_like(rows, -1), edges])
        relation = None if relation is None else torch.cat([torch.zeros_like(rows), relation])
    table = sorted_edges(bounds, structure.num_nodes, position, source, target, slot, edge, relation)
    return Schedule(
        structure=structure.alone(),
        mode=mode,
        rounds=rounds,
        perm=perm,
        inv_perm=order.inv_perm,
        source=table.source,
        target=table.target,
        edge=table.edge,
        slot=table.slot,
        relation=table.relation,
        boundary=boundary,
        steps=Steps(
            [0, structure.num_nodes] if bounds is None else bounds,
            table.edge_bounds,
            table.fewest,
            table.most,
            boundary.shape[0],
            rounds,
        ),
        num_slots=table.num_slots,
        distinct_slots=table.distinct_slots,
        is_identity=is_identity,
        first_edge=table.first_edge,
    )

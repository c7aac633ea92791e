"""Graphs over time: a copy of a graph for each time step, joined by edges from each step to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .batch import batch
from .checks import as_count
from .features import EdgeFeatures, RelationFeatures
from .outside import outside
from .structure import Structure

OWN_PAST = "own past"
NEIGHBOURS_PAST = "neighbours' past"


def over_time(
    graph: Structure | Sequence[Structure], steps: int | None = None, carried: bool = False
) -> Structure:
    """A graph of N nodes over T time steps; node v at time t is row t * N + v.

    Two sorts of edges lead from each step to the next. Relation 0, "own past": (t - 1, v) → (t, v), in slot 0, of
    weight 1, features 0. Relation 1 + r, "neighbours' past": (t - 1, u) → (t, v) for each edge u → v of relation r
    (0 where there are none) in snapshot t, in the slot after the edge's own, with its weight and features. So each
    snapshot's edges carry the states of the step before into it. Where a graph's relations have names, these are the
    names after "own past". Everything at nodes is copied; graph g of a batch becomes series g.

    A plain run is in async mode, a level per step. The nodes of the first step then receive an initial state alone,
    each its own.

    With `carried`, the first step reads the last one's rows, along its own snapshot's edges. That is a circle, which
    runs in the order of time, `order=graphrec.by_time`: at the beginning these rows hold the initial state. So the
    result of one window, given as the initial state of the next, continues it:
    `h = model(x, s, initial=graphrec.per_node(h))`. Without one it is zero.

    Args:
        graph: one for all steps, or a list with a snapshot for each, all with the same nodes. A batch of graphs makes
            a batch of series; for B series over one graph, `graphrec.batch([graphrec.over_time(graph, T)] * B)`.
        steps: T; with a list of snapshots it may be left out.
        carried: whether the first step reads the last one's rows.

    Raises:
        ValueError: snapshots of different sizes, steps below 0 or not as many as snapshots, or a value that some
            snapshots carry and others do not.
        TypeError: anything but structures.
    """
    snapshots = _snapshots(graph, steps)
    first, count = snapshots[0] if snapshots else graph, len(snapshots)
    if not isinstance(first, Structure):
        return batch([])
    joined = batch(snapshots or [first])
    size, total = first.num_nodes, first.num_nodes * count
    with outside():
        begin = 0 if carried else min(size, total)  # the first node that has a past
        target = torch.arange(begin, total, device=first.device)
        kept = ((joined.target >= begin) & (joined.target < total)).nonzero().flatten()
        sources = torch.cat([target, joined.source[kept]]) - size
        edge_index = torch.stack([sources % max(total, 1), torch.cat([target, joined.target[kept]])])
        of_graph = torch.zeros_like(joined.slot) if joined.relation is None else joined.relation
        zeros = torch.zeros_like(target)
        time = torch.arange(count, device=first.device).repeat_interleave(size)
        names = joined.relation_names if joined.relation is not None else (NEIGHBOURS_PAST,)
        parts: dict[str, Any] = {
            "edge_index": edge_index,
            "slot": torch.cat([zeros, 1 + joined.slot[kept]]),
            "relation": torch.cat([zeros, 1 + of_graph[kept]]),
            "graph": first.graph.repeat(count),
            "level": None if carried else time,
            "level_reversed": None if carried else count - 1 - time,
            "kind": None if joined.kind is None else joined.kind[:total],
        }
    for name in ("tokens", "labels"):
        texts = getattr(joined, name)
        parts[name] = None if texts is None else texts[:total]
    return Structure.counted_out(
        num_nodes=total,
        num_graphs=first.num_graphs,
        relation_names=None if names is None else (OWN_PAST, *names),
        kind_names=joined.kind_names,
        edge_weight=_after_own(joined.edge_weight, kept, len(target), 1),
        edge_attr=_after_own(joined.edge_attr, kept, len(target), 0),
        **parts,
    )


def _snapshots(graph: Any, steps: Any) -> list[Structure]:
    if isinstance(graph, Structure):
        if steps is None:
            raise ValueError("over_time needs steps, the number of time steps, or a list with a snapshot for each.")
        _check_snapshot(graph, 0, graph)
        return [graph] * as_count("steps", steps)
    if isinstance(graph, Tensor) or not hasattr(graph, "__iter__"):
        raise TypeError(
            f"over_time takes a Structure, or a list with one for each step, got {type(graph).__name__}: make one with "
            f"graphrec.dag(edge_index, num_nodes) or graphrec.from_pyg(data)."
        )
    snapshots = list(graph)
    if steps is not None and as_count("steps", steps) != len(snapshots):
        raise ValueError(f"there are {len(snapshots)} snapshots for {steps} steps: leave out steps, or give one each.")
    for number, snapshot in enumerate(snapshots):
        _check_snapshot(snapshot, number, snapshots[0])
    return snapshots


def _check_snapshot(snapshot: Any, number: int, first: Structure) -> None:
    if not isinstance(snapshot, Structure):
        raise TypeError(
            f"snapshots must be structures, got {type(snapshot).__name__} as number {number}: make one with "
            f"graphrec.dag(edge_index, num_nodes) or graphrec.from_pyg(data)."
        )
    if snapshot.past is not None:
        raise ValueError(
            f"the nodes of snapshot {number} have a past of their own (lags, or a grid): give a graph without one, "
            f"s.replace(past=None)."
        )
    if snapshot.num_nodes != first.num_nodes:
        raise ValueError(
            f"all snapshots must have the same nodes, but snapshot 0 has {first.num_nodes} and snapshot {number} has "
            f"{snapshot.num_nodes}: keep nodes that come and go in all of them, without edges where they are away."
        )
    if snapshot is not first and not (
        snapshot.num_graphs == first.num_graphs and torch.equal(snapshot.graph, first.graph)
    ):
        raise ValueError(
            f"all snapshots must have their nodes in the same graphs, but snapshots 0 and {number} differ."
        )


def _after_own(values: Any, kept: Tensor, own: int, default: float) -> Any:
    """What edges carry, behind the rows of the edges from a node's own past."""
    if values is None:
        return None
    if isinstance(values, EdgeFeatures):
        selected = values.select(kept)
        relations = (
            None if part is None else RelationFeatures(part.edges + own, part.rows) for part in selected.relations
        )
        return EdgeFeatures(own + len(kept), (None, *relations))
    return torch.cat([values.new_full((own, *values.shape[1:]), default), values[kept]])


def in_stages(s: Structure, names: Sequence[str]) -> Structure:
    """A graph over time with several nodes, or stages, for each of its own; stage k of node j is row j * K + k.

    Stage 0 has no sources. Stage 1 of a node reads stage 0 of its neighbours in its own snapshot, and their last stage
    of the step before. Each later stage reads the one before it, in the same snapshot. Relations and weights are those
    of the edges; relation 0 is each node itself. It runs in the order of time.

    Args:
        s: a graph over time, made with `carried=True`.
        names: of the K stages, which become kinds.

    Raises:
        ValueError: another structure, or one whose nodes have kinds.
    """
    key = ("in stages", *names)
    if key in s.cache:
        return s.cache[key]
    with outside():
        follower = _followers(s)
        count = len(names)
        after, weight = s.relation > 0, s.edge_weight  # type: ignore[operator]
        (own_past, own), (past, target) = s.edge_index[:, ~after], s.edge_index[:, after]
        source = follower[past]
        relation, zeros = s.relation[after], torch.zeros_like(own)  # type: ignore[index]
        sources, targets, relations, numbers = [], [], [], []
        number = after.nonzero().flatten()
        by_itself = (~after).nonzero().flatten()

        def join(one: Tensor, stage: int, other: Tensor, later: int, its_relation: Tensor, edges: Tensor) -> None:
            sources.append(one * count + stage)
            targets.append(other * count + later)
            relations.append(its_relation)
            numbers.append(edges)

        join(own_past, count - 1, own, 1, zeros, by_itself)
        join(past, count - 1, target, 1, relation, number)
        for stage in range(1, count):
            join(own, stage - 1, own, stage, zeros, by_itself)
            join(source, stage - 1, target, stage, relation, number)
        edge = torch.cat(numbers)
        edge_index = torch.stack([torch.cat(sources), torch.cat(targets)])
    staged = Structure(
        s.num_nodes * count,
        edge_index,
        relation=torch.cat(relations),
        relation_names=s.relation_names,
        edge_weight=None if weight is None else weight[edge],
        kind=torch.arange(count, device=s.device).repeat(s.num_nodes),
        kind_names=tuple(names),
        graph=s.graph.repeat_interleave(count),
        num_graphs=s.num_graphs,
    )
    if weight is None or not weight.requires_grad:
        s.cache[key] = staged
    return staged


def _followers(s: Structure) -> Tensor:
    """`[N]`: the same node one step later; in the last step, that of the first."""
    if s.kind is not None:
        raise ValueError(
            "the cell has a kind of node for each stage of a step, but the structure's nodes have kinds: leave them "
            "with s.replace(kind=None)."
        )
    own = None if s.relation is None else s.edge_index[:, s.relation == 0]
    nodes = torch.arange(s.num_nodes, device=s.device)
    is_circle = own is not None and all(torch.equal(ends.sort().values, nodes) for ends in own)
    if own is None or not is_circle:
        raise ValueError(
            "the model runs over a graph over time whose first step has a past: graphrec.over_time(graph, steps, "
            "carried=True)."
        )
    follower = torch.empty_like(nodes)
    follower[own[0]] = own[1]
    return follower

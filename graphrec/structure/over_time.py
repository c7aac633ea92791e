"""Graphs over time: a copy of a graph for each time step, joined by edges from each step to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .batch import batch
from .checks import as_count, as_flag
from .features import EdgeFeatures, RelationFeatures
from .outside import is_ordinary, outside
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
    snapshots, carried = _snapshots(graph, steps), as_flag("carried", carried)
    first, count = graph if isinstance(graph, Structure) else batch(snapshots[:1]), len(snapshots)
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
            raise ValueError(
                "over_time needs steps, the number of time steps, or a list with a snapshot for each."
            )
        _check_snapshot(graph, 0, graph)
        return [graph] * as_count("steps", steps)
    if isinstance(graph, Tensor) or not hasattr(graph, "__iter__"):
        raise TypeError(
            f"over_time takes a Structure, or a list with one for each step, got {type(graph).__name__}: make one with "
            f"graphrec.dag(edge_index, num_nodes) or graphrec.from_pyg(data)."
        )
    snapshots = list(graph)
    for number, snapshot in enumerate(snapshots):
        _check_snapshot(snapshot, number, snapshots[0])
    if steps is not None and as_count("steps", steps) != len(snapshots):
        raise ValueError(
            f"there are {len(snapshots)} snapshots for {steps} steps: leave out steps, or give one each."
        )
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
            None if part is None else RelationFeatures(part.edges + own, part.rows)
            for part in selected.relations
        )
        return EdgeFeatures(own + len(kept), (None, *relations))
    return torch.cat([values.new_full((own, *values.shape[1:]), default), values[kept]])


class Stages(NamedTuple):
    """A graph over time with several nodes, or stages, for each of its own.

    Attributes:
        structure: stage k of node j is row j * K + k; nodes for what stands before the first step follow.
        input: `[N']`, for each node whose input it has: that of its step, but where a step ends, or the first one
            begins, that of the next.
        last: `[B]`, the nodes of the last step, as what stands before the first step has them.
    """

    structure: Structure
    input: Tensor
    last: Tensor


def in_stages(s: Structure, stages: Mapping[str, Sequence[tuple[str, bool]]]) -> Stages:
    """A graph over time in stages: the DAG of steps in which messages are passed several times.

    A stage reads earlier ones of the same step or, if it is the first, the last one of the step before: of the node
    itself (relation 0), or also of its neighbours in its step's snapshot, with their relations and weights. The first
    step reads nodes of one more kind, which have no sources and so find an initial state.

    Args:
        s: a graph over time, made with `carried=True`.
        stages: for each of the K stages what it reads, and whether that of its neighbours; slots are in that order.

    Raises:
        ValueError: another structure, or one whose nodes have kinds or whose edges have features.
    """
    key = ("in stages", *((name, *reads) for name, reads in stages.items()))
    weight = s.edge_weight
    keeps = weight is None or (is_ordinary(weight) and not weight.requires_grad)
    if keeps and key in s.cache:
        edge, made = s.cache[key]
        with outside():  # weights may have been written since
            if weight is None or torch.equal(made.structure.edge_weight, weight[edge]):
                return made
    with outside():
        names, count = list(stages), len(stages)
        follower = _followers(s)
        nodes = torch.arange(s.num_nodes, device=s.device)
        last = nodes[follower <= nodes]
        before = torch.full_like(nodes, -1)
        before[last] = s.num_nodes * count + torch.arange(len(last), device=s.device)
        is_first = torch.zeros_like(nodes, dtype=torch.bool)
        is_first[follower[last]] = True
        past, now = s.edge_index
        by_itself = (s.relation == 0).nonzero().flatten()
        every = torch.arange(s.num_edges, device=s.device)
        edges, sources, targets = [], [], []
        for stage, reads in enumerate(stages.values()):
            for name, of_neighbours in reads:
                edge, read = every if of_neighbours else by_itself, names.index(name)
                source, target = past[edge], now[edge]
                if read < stage:
                    source = follower[source] * count + read
                else:
                    source = torch.where(is_first[target], before[source], source * count + read)
                edges.append(edge)
                sources.append(source)
                targets.append(target * count + stage)
        edge, edge_index = torch.cat(edges), torch.stack([torch.cat(sources), torch.cat(targets)])
        of_input = torch.stack([nodes] * (count - 1) + [follower], dim=1).flatten()
        kind = torch.arange(count, device=s.device).repeat(s.num_nodes)
        kind = torch.cat([kind, torch.full_like(last, count)])
        graph = torch.cat([s.graph.repeat_interleave(count), s.graph[last]])
        of_input = torch.cat([of_input, follower[last]])
        relation = s.relation[edge]  # type: ignore[index]
        weights = weight[edge] if keeps and weight is not None else None
    staged = Structure(
        s.num_nodes * count + len(last),
        edge_index,
        relation=relation,
        relation_names=s.relation_names,
        edge_weight=weights if keeps or weight is None else weight[edge],
        kind=kind,
        kind_names=(*names, "before"),
        graph=graph,
        num_graphs=s.num_graphs,
    )
    made = Stages(staged, of_input, last)
    if keeps:
        s.cache[key] = edge, made
    return made


def own_past(s: Structure) -> Tensor:
    """`[2, e]`: the edges from each node's own past, of a graph over time.

    Raises:
        ValueError: another structure, or one that runs backwards in time.
    """
    if s.relation is None and s.num_nodes:
        raise ValueError(
            "the structure has no relations, of which relation 0 is a node's own past: make it with graphrec.over_time."
        )
    source, target = own = s.edge_index[:, s.relation == 0] if s.num_nodes else s.edge_index
    nodes = torch.arange(s.num_nodes, device=s.device)
    if any(len(ends.unique()) < len(ends) for ends in own):
        raise ValueError(
            "relation 0 is a node's own past, one edge for each, but some node has several: make the structure with "
            "graphrec.over_time."
        )
    onward = source < target
    head = nodes.index_copy(0, target[onward], source[onward])
    while not torch.equal(head, head[head]):  # twice as far back each time
        head = head[head]
    if not torch.equal(head[source[~onward]], target[~onward]):
        raise ValueError(
            "the structure does not run forwards in time (as after s.reverse()): put snapshots and rows of x in the "
            "other order, graphrec.over_time(snapshots[::-1])."
        )
    return own


def _followers(s: Structure) -> Tensor:
    """`[N]`: the same node one step later; of the last step's, that of the first."""
    if s.kind is not None:
        raise ValueError(
            "the cell has a kind of node for each stage of a step, but the structure's nodes have kinds: leave them "
            "with s.replace(kind=None)."
        )
    if s.edge_attr is not None:
        raise ValueError(
            "the cell has weights for the matrices of its convolution, but none for the edge_attr that the edges have: "
            "leave them with s.replace(edge_attr=None)."
        )
    source, target = own_past(s)
    if len(source) < s.num_nodes:
        raise ValueError(
            "the model runs over a graph over time whose first step has a past: graphrec.over_time(graph, steps, "
            "carried=True)."
        )
    return torch.empty_like(target).index_copy(0, source, target)

"""What the executor in PyTorch knows of each level: index tensors, computed once per schedule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...program.recording import Sort, sorts, sorts_by_kind
from ...schedule import Schedule, degree
from ...schedule.derived import derived
from ...schedule.inboxes import target_position

Rows = slice | Tensor  # in memory: consecutive ones, or their numbers


class Out(NamedTuple):
    """Rows that a level's nodes sum, those of their out-edges or of the targets of these.

    Attributes:
        index: all of them, node by node.
        one: `[n]`, the only row of each node, or the number after the last where it has none; None: there are more.
        start: the first row, if each node has one and they are consecutive.
    """

    index: Tensor
    one: Tensor | None
    start: int | None


@dataclass(frozen=True, eq=False)
class Level:
    """Nodes of one sort that are computed at once, and their inbox edges.

    Attributes:
        nodes, edges: their positions and inbox edges.
        rows: where their states lie, behind those of the boundary.
        of_sort, edges_of_sort: the same, counted among the nodes and edges of their sort.
        num_nodes, num_edges: n and e.
        source: `[e]`, the row that each in-edge leaves.
        source_start: the first of these rows, if they are consecutive.
        target: `[e]`, the node that it enters, counted in the level.
        first: `[n]`, where each node's in-edges begin.
        degree: how many in-edges each node has, if all have equally many.
        in_slots: whether the k-th in-edge of every node fills slot k.
        out, out_targets: the out-edges, and the positions of their targets.
        out_first: `[n]`, where those of each node begin.
    """

    nodes: Rows
    edges: Rows
    rows: Rows
    of_sort: slice
    edges_of_sort: slice
    num_nodes: int
    num_edges: int
    source: Tensor
    source_start: int | None
    target: Tensor
    first: Tensor
    degree: int | None
    in_slots: bool
    out: Out
    out_targets: Out
    out_first: Tensor
    made: dict[Any, Tensor] = field(default_factory=dict)

    def index(self, plan: Schedule, name: str, count: int) -> Tensor:
        """`[e]`: for each in-edge target * count + its slot, or relation."""
        key = (name, count)
        if key not in self.made:
            self.made[key] = self.target * count + getattr(plan, name)[self.edges]
        return self.made[key]

    def in_order(self) -> Tensor:
        """`[e]`: 0, 1, 2, …"""
        if "in_order" not in self.made:
            self.made["in_order"] = torch.arange(self.num_edges, device=self.source.device)
        return self.made["in_order"]


@dataclass(frozen=True)
class Levels:
    """The levels of a schedule, or its one round.

    Attributes:
        steps: all of them, one after another, with the sort of each: their nodes are those of the schedule, in order.
        of_sort: which of them are of each sort.
        whole: for each sort all of its nodes, as one level.
        boundary: the rows that exist before the first step, as a level that no edge enters.
        everything: all nodes, as a level without edges.
    """

    steps: list[tuple[Sort, Level]]
    of_sort: dict[Sort, list[int]]
    whole: dict[Sort, Level]
    boundary: Level
    everything: Level


@derived
def levels(plan: Schedule) -> Levels:
    """Of a cell without kinds."""
    return _Numbers(plan).levels(sorts(plan))


@derived
def levels_by_kind(plan: Schedule) -> Levels:
    """The same of a cell with kinds."""
    return _Numbers(plan).levels(sorts_by_kind(plan))


class _Numbers:
    """The index arrays of a schedule, on the host, where levels are cut out of them."""

    def __init__(self, plan: Schedule) -> None:
        self.plan, self.device = plan, plan.device
        # In rounds the nodes are the boundary rows of the next one; else they stand behind those.
        self.count = plan.boundary.shape[0]
        self.offset = 0 if plan.mode == "sync" else self.count
        self.source, self.slot = plan.source.cpu().numpy(), plan.slot.cpu().numpy()
        self.degree = degree(plan).cpu().numpy()
        rows = max(self.count, self.offset + plan.num_nodes)
        self.out_degree = np.bincount(self.source, minlength=rows)
        self.out = np.argsort(self.source, kind="stable")
        self.out_bounds = np.concatenate([[0], np.cumsum(self.out_degree)])
        self.target = target_position(plan).cpu().numpy()
        self.one = np.full(rows, -1)
        self.one[self.source] = np.arange(plan.num_edges)
        self.to_edge = np.arange(plan.num_edges + 1)
        self.to_target = np.append(self.target, plan.num_nodes)  # (the last one is no edge's)
        self.position = np.arange(plan.num_edges) - np.repeat(
            np.cumsum(self.degree) - self.degree, self.degree
        )

    def levels(self, of: list[list[tuple[Sort, slice, slice]]]) -> Levels:
        """Cut them out."""
        flat = [part for level in of for part in level]
        steps, of_sort, whole = [], {}, {}
        nodes_so_far, edges_so_far = dict[Sort, int](), dict[Sort, int]()
        for number, (sort, nodes, edges) in enumerate(flat):
            n0, e0 = nodes_so_far.get(sort, 0), edges_so_far.get(sort, 0)
            level = self._level([nodes], [edges], n0, e0)
            nodes_so_far[sort], edges_so_far[sort] = n0 + level.num_nodes, e0 + level.num_edges
            steps.append((sort, level))
            of_sort.setdefault(sort, []).append(number)
        for sort, numbers in of_sort.items():
            if len(numbers) == 1:
                whole[sort] = steps[numbers[0]][1]
            else:
                whole[sort] = self._level([flat[i][1] for i in numbers], [flat[i][2] for i in numbers], 0, 0)
        no_edges = slice(0, 0)
        boundary = self._level([slice(-self.offset, self.count - self.offset)], [no_edges], 0, 0)
        boundary = replace(boundary, nodes=boundary.rows)
        everything = self._level([slice(0, self.plan.num_nodes)], [no_edges], 0, 0)
        return Levels(steps, of_sort, whole, boundary, everything)

    def _level(self, nodes: list[slice], edges: list[slice], n0: int, e0: int) -> Level:
        nodes, edges = _merged(nodes), _merged(edges)
        rows = [slice(self.offset + s.start, self.offset + s.stop) for s in nodes]
        n, e = (sum(s.stop - s.start for s in of) for of in (nodes, edges))
        counts = _cut(self.degree, nodes) if e else np.zeros(n, np.int64)
        source, position = _cut(self.source, edges), _cut(self.position, edges)
        out_counts, one = _cut(self.out_degree, rows), _cut(self.one, rows)
        out = np.concatenate([self.out[self.out_bounds[s.start] : self.out_bounds[s.stop]] for s in rows])
        each = int(counts[0]) if n and (counts == counts[0]).all() else None
        return Level(
            self._rows(nodes),
            self._rows(edges),
            self._rows(rows),
            slice(n0, n0 + n),
            slice(e0, e0 + e),
            n,
            e,
            self._there(source),
            _start(source),
            self._there(np.repeat(np.arange(n), counts)),
            self._there(np.cumsum(counts) - counts),
            each,
            bool((_cut(self.slot, edges) == position).all()),
            self._out(out, one, out_counts, self.to_edge),
            self._out(out, one, out_counts, self.to_target),
            self._there(np.cumsum(out_counts) - out_counts),
        )

    def _out(self, edges: np.ndarray, one: np.ndarray, counts: np.ndarray, row: np.ndarray) -> Out:
        return Out(
            self._there(row[edges]),
            self._there(row[one]) if not len(counts) or counts.max() < 2 else None,
            _start(row[one]) if len(counts) and (counts == 1).all() else None,
        )

    def _there(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _rows(self, slices: list[slice]) -> Rows:
        if len(slices) == 1:
            return slices[0]
        return self._there(np.concatenate([np.arange(s.start, s.stop) for s in slices]))


def _merged(slices: list[slice]) -> list[slice]:
    """The same rows in fewer slices."""
    made = slices[:1]
    for rows in slices[1:]:
        if rows.start == made[-1].stop:
            made[-1] = slice(made[-1].start, rows.stop)
        else:
            made.append(rows)
    return made


def _cut(array: np.ndarray, rows: Iterable[slice]) -> np.ndarray:
    return np.concatenate([array[s] for s in rows])


def _start(numbers: np.ndarray) -> int | None:
    if not len(numbers) or numbers[-1] - numbers[0] != len(numbers) - 1 or (np.diff(numbers) != 1).any():
        return None
    return int(numbers[0])

"""What the executor in PyTorch knows of each level: index tensors, computed once per schedule where they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...program.recording import Sort, sorts, sorts_by_kind
from ...schedule import Schedule, degree
from ...schedule.derived import derived
from ...schedule.inboxes import target_position

Rows = slice | Tensor  # in memory: consecutive ones, or their numbers


class Out:
    """The rows that a level's nodes sum: those of their out-edges, or of the targets of these.

    Args:
        level: of the nodes.
        row: `[E + 1]`, of each edge, and of none.

    Attributes:
        is_one: whether no node has more than one.
        start: the first row, if each node has one and they are consecutive.
    """

    def __init__(self, level: Level, row: np.ndarray) -> None:
        self._level, self._row = level, row
        counts = level.out_counts
        self.is_one: bool = bool(len(counts)) and int(counts.max()) < 2
        self.start: int | None = (
            _start(row[level.cut("one", level.row_slices)]) if self.is_one and counts.min() else None
        )

    @cached_property
    def index(self) -> Tensor:
        """All of them, node by node."""
        host = self._level.host
        edges = [host.out[host.out_bounds[s.start] : host.out_bounds[s.stop]] for s in self._level.row_slices]
        return host.there(self._row[np.concatenate(edges)])

    @cached_property
    def one(self) -> Tensor:
        """`[n]`: the only one of each node, or the number after the last where it has none."""
        return self._level.host.there(self._row[self._level.cut("one", self._level.row_slices)])


class Level:
    """Nodes of one sort that are computed at once, and their inbox edges.

    Args:
        host: the arrays of the schedule.
        nodes, edges: the positions and inbox edges.
        offset: where their states lie, counted from their positions.

    Attributes:
        num_nodes, num_edges: n and e.
        source_start: the first of the rows that edges leave, if these are consecutive.
        degree: how many in-edges each node has, if all have equally many.
        has_out: whether any edge leaves the nodes.
    """

    node_slices: list[slice[Any, Any, Any]]
    edge_slices: list[slice[Any, Any, Any]]
    num_nodes: int
    num_edges: int

    def __init__(self, host: Host, nodes: list[slice], edges: list[slice], offset: int) -> None:
        self.host = host
        self.node_slices, self.edge_slices = _merged(nodes), _merged(edges)
        self.row_slices: list[slice] = [slice(s.start + offset, s.stop + offset) for s in self.node_slices]
        self.num_nodes, self.num_edges = (sum(s.stop - s.start for s in of) for of in (nodes, edges))
        self.source_start: int | None = _start(self.cut("source", self.edge_slices))
        counts = self.counts
        is_even = len(counts) and counts[0] * len(counts) == self.num_edges and (counts == counts[0]).all()
        self.degree: int | None = int(counts[0]) if is_even else None
        self.out_counts: Any = self.cut("out_degree", self.row_slices)
        self.has_out: bool = bool(self.out_counts.any())

    def cut(self, name: str, slices: Sequence[slice]) -> np.ndarray:
        """The rows of one of the host's arrays."""
        array = getattr(self.host, name)
        return array[slices[0]] if len(slices) == 1 else np.concatenate([array[s] for s in slices])

    @property
    def counts(self) -> np.ndarray:
        """`[n]`: how many in-edges each node has."""
        if not self.num_edges:  # as for what is computed of all nodes alone
            return np.zeros(self.num_nodes, np.int64)
        return self.cut("degree", self.node_slices)

    @cached_property
    def nodes(self) -> Rows:
        """The positions."""
        return self._rows(self.node_slices)

    @cached_property
    def edges(self) -> Rows:
        """The inbox edges."""
        return self._rows(self.edge_slices)

    @cached_property
    def rows(self) -> Rows:
        """Where the states lie, behind those of the boundary."""
        return self._rows(self.row_slices)

    def _rows(self, slices: list[slice]) -> Rows:
        if len(slices) == 1:
            return slices[0]
        return self.host.there(np.concatenate([np.arange(s.start, s.stop) for s in slices]))

    @cached_property
    def in_slots(self) -> bool:
        """Whether the k-th in-edge of every node fills slot k."""
        return bool((self.cut("slot", self.edge_slices) == self.cut("place", self.edge_slices)).all())

    @cached_property
    def source(self) -> Tensor:
        """`[e]`: the row that each in-edge leaves."""
        return self.host.there(self.cut("source", self.edge_slices))

    @cached_property
    def target(self) -> Tensor:
        """`[e]`: the node that it enters, counted in the level."""
        return self.host.there(np.repeat(np.arange(self.num_nodes), self.counts))

    @cached_property
    def first(self) -> Tensor:
        """`[n]`: where each node's in-edges begin."""
        return self.host.there(np.cumsum(self.counts) - self.counts)

    @cached_property
    def in_order(self) -> Tensor:
        """`[e]`: 0, 1, 2, …"""
        return self.host.there(np.arange(self.num_edges))

    @cached_property
    def out_first(self) -> Tensor:
        """`[n]`: where each node's out-edges begin among them all."""
        return self.host.there(np.cumsum(self.out_counts) - self.out_counts)

    @cached_property
    def out(self) -> Out:
        """The out-edges."""
        return Out(self, self.host.every_edge)

    @cached_property
    def out_targets(self) -> Out:
        """The positions of their targets."""
        return Out(self, self.host.target)

    def index(self, name: str, count: int) -> Tensor:
        """`[e]`: for each in-edge target * count + its slot, or relation."""
        key = f"{name} of {count}"
        if key not in self.__dict__:
            self.__dict__[key] = self.target * count + getattr(self.host.plan, name)[self.edges]
        return self.__dict__[key]


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
    return Host(plan).levels(sorts(plan))


@derived
def levels_by_kind(plan: Schedule) -> Levels:
    """The same of a cell with kinds."""
    return Host(plan).levels(sorts_by_kind(plan))


class Host:
    """The index arrays of a schedule in numpy, out of which levels are cut.

    Attributes:
        source, slot: `[E]`, as in the schedule.
        target: `[E + 1]`, the position that each edge enters; the last one is no edge's.
        every_edge: `[E + 1]`, 0, 1, 2, …
        place: `[E]`, how many edges stand before it in the same inbox.
        degree: `[N]`, the in-edges of each position.
        out_degree: the out-edges of each row.
        out, out_bounds: all edges by the row that they leave, and where those of each row begin.
        one: of each row an edge that leaves it, or -1.
    """

    plan: Schedule
    source: Any
    slot: Any

    def __init__(self, plan: Schedule) -> None:
        self.plan, count = plan, plan.boundary.shape[0]
        # In rounds the nodes are the boundary rows of the next one; else they stand behind those.
        self.offset: int = 0 if plan.mode == "sync" else count
        rows = max(count, self.offset + plan.num_nodes)
        self.source, self.slot = plan.source.cpu().numpy(), plan.slot.cpu().numpy()
        self.target: Any = np.append(target_position(plan).cpu().numpy(), plan.num_nodes)
        self.every_edge: Any = np.arange(plan.num_edges + 1)
        self.degree: Any = degree(plan).cpu().numpy()
        before = np.cumsum(self.degree) - self.degree
        self.place: Any = self.every_edge[:-1] - np.repeat(before, self.degree)
        self.out_degree: Any = np.bincount(self.source, minlength=rows)
        self.out: Any = np.argsort(self.source, kind="stable")
        self.out_bounds: Any = np.append(0, np.cumsum(self.out_degree))
        self.one: Any = np.full(rows, -1)
        self.one[self.source] = self.every_edge[:-1]

    def there(self, array: np.ndarray) -> Tensor:
        """An array as a tensor where the schedule is."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.plan.device)

    def levels(self, of: list[list[tuple[Sort, slice, slice]]]) -> Levels:
        """Cut them out."""
        flat = [part for level in of for part in level]
        steps = [(sort, Level(self, [nodes], [edges], self.offset)) for sort, nodes, edges in flat]
        of_sort: dict[Sort, list[int]] = {}
        for number, (sort, _, _) in enumerate(flat):
            of_sort.setdefault(sort, []).append(number)
        whole = {
            sort: Level(self, [flat[i][1] for i in numbers], [flat[i][2] for i in numbers], self.offset)
            for sort, numbers in of_sort.items()
        }
        no_edges = [slice(0, 0)]
        boundary = Level(self, [slice(0, self.plan.boundary.shape[0])], no_edges, 0)
        everything = Level(self, [slice(0, self.plan.num_nodes)], no_edges, self.offset)
        return Levels(steps, of_sort, whole, boundary, everything)


def _merged(slices: list[slice]) -> list[slice]:
    """The same rows in fewer slices."""
    made = slices[:1]
    for rows in slices[1:]:
        if rows.start == made[-1].stop:
            made[-1] = slice(made[-1].start, rows.stop)
        else:
            made.append(rows)
    return made


def _start(numbers: np.ndarray) -> int | None:
    if not len(numbers) or numbers[-1] - numbers[0] != len(numbers) - 1:
        return None
    return int(numbers[0]) if (numbers[1:] - numbers[:-1] == 1).all() else None

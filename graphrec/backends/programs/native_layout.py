"""A schedule as the native executor reads it: rows in parts, stretches, edges by target and by source."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cprogram import Structure
from ...program.recording import Sort, sorts, sorts_by_kind
from ...schedule import Schedule
from ...schedule.inboxes import target_position
from .native_parts import parts as parts_of
from .order import Order, order_of

OF_CALLER = ", the caller's"


class Layout:
    """The nodes of a schedule, part by part, and level by level in each part.

    Attributes:
        stage: of each part; see `Parts`.
        perm, inv_perm: `[N]`, the schedule's position of each row, and the row of each position; None: the same.
        edge: `[E]`, the schedule's inbox edge of each edge; None: the same.
        order: from the structure's nodes and edges to the rows and edges here.
    """

    num_nodes: int
    num_edges: int
    is_sync: bool
    rounds: int
    source: Tensor
    target: Tensor

    def __init__(self, plan: Schedule, parts: int, has_kinds: bool) -> None:
        self.num_nodes, self.num_edges = plan.num_nodes, plan.num_edges
        self.is_sync, self.rounds = plan.mode == "sync", plan.rounds or 1
        target = target_position(plan)
        boundary = plan.boundary.shape[0]
        source = plan.source if plan.mode == "sync" else plan.source - boundary
        self.num_boundary = boundary
        self.perm: Tensor | None = None
        self.inv_perm: Tensor | None = None
        self.edge: Tensor | None = None
        levels = (sorts_by_kind if has_kinds else sorts)(plan)
        bounds = [
            (number, sort, nodes.start, nodes.stop)
            for number, level in enumerate(levels)
            for sort, nodes, _ in level
        ]
        found = parts_of(plan, parts)
        self.stage: list[int] = [0] if found is None else found.stage
        if found is None:
            self.stretches: list[tuple[int, int, Sort, int, int]] = [
                (0, number, sort, start, stop) for number, sort, start, stop in bounds
            ]
        else:
            part_of = found.of[plan.perm]
            self.perm = torch.argsort(part_of, stable=True)
            self.inv_perm = torch.empty_like(self.perm)
            self.inv_perm[self.perm] = torch.arange(self.num_nodes)
            self.edge = torch.argsort(part_of[target], stable=True)
            target = self.inv_perm[target[self.edge]]
            source = source[self.edge]
            source = torch.where(source >= 0, self.inv_perm[source.clamp(min=0)], source)
            self.stretches = self._stretches(bounds, part_of, len(found.stage))
        self.source, self.target = source, target
        counts = torch.bincount(target, minlength=self.num_nodes)
        self.in_first: Tensor = _firsts(counts)
        leaving = source if plan.mode == "sync" else source + boundary
        rows = self.num_nodes if plan.mode == "sync" else boundary + self.num_nodes
        self.out_edge: Tensor = torch.argsort(leaving, stable=True)
        out_first = _firsts(torch.bincount(leaving, minlength=rows))
        self.out_node: Tensor = leaving[self.out_edge] - (0 if plan.mode == "sync" else boundary)
        self.out_first: Tensor = out_first if plan.mode == "sync" else out_first[boundary:]
        self.boundary_first: Tensor = out_first[: boundary + 1]
        self._slots = {"slot": plan.slot, "relation": plan.relation}
        self.order: Order = order_of(plan)
        if self.perm is not None and self.inv_perm is not None and self.edge is not None:
            self.order = Order(plan.perm[self.perm], self.inv_perm[plan.inv_perm], plan.edge[self.edge])
        self._made: dict[Any, Any] = {}
        self.frames: dict[Any, Any] = {}  # of programs on it

    def _stretches(
        self, bounds: list[Any], part_of: Tensor, parts: int
    ) -> list[tuple[int, int, Sort, int, int]]:
        stretch = torch.repeat_interleave(
            torch.arange(len(bounds)), torch.tensor([stop - start for _, _, start, stop in bounds])
        )
        counts = torch.bincount(part_of * len(bounds) + stretch, minlength=parts * len(bounds)).tolist()
        made, at = [], 0
        for number, count in enumerate(counts):
            if count:
                part, which = divmod(number, len(bounds))
                made.append((part, bounds[which][0], bounds[which][1], at, at + count))
                at += count
        return made

    def index(self, name: str) -> Tensor:
        """An index of the executor; see `assemble`. Of nodes, `OF_CALLER` behind it: where the caller has them."""
        if name.endswith(OF_CALLER):
            nodes, index = self.order.nodes, self.index(name.removesuffix(OF_CALLER))
            return index if nodes is None else nodes[index]
        if name == "source":
            return self.source
        if name == "target":
            return self.target
        if name == "out node":
            return self.out_node
        if name == "out edge":
            return self.out_edge
        if name == "out target":
            return self.target[self.out_edge]
        side, numbered, count = name.split(" ")
        numbers = self._slots[numbered]
        numbers = numbers if self.edge is None else numbers[self.edge]
        at = self.target * int(count) + numbers
        return at if side == "target" else at[self.out_edge]

    def structure(self, key: str, sorts: dict[Any, int], names: list[str]) -> StructOf:
        """The struct for the nodes, for the boundary rows, or for all nodes without edges, by sort or as one."""
        made = self._made.get((key, tuple(sorts.items()), tuple(names)))
        if made is None:
            made = self._made[key, tuple(sorts.items()), tuple(names)] = StructOf(self, key, sorts, names)
        return made


class StructOf:
    """`Structure` of `csrc/program.h`, and the arrays that it points to."""

    def __init__(self, layout: Layout, key: str, sorts: dict[Any, int], names: list[str]) -> None:
        def longs(values: Any) -> np.ndarray:
            return np.ascontiguousarray(np.asarray(values, np.int64))

        def ints(values: Any) -> np.ndarray:
            return np.ascontiguousarray(np.asarray(values, np.int32))

        if key == "nodes":
            rows, stretches = layout.num_nodes, layout.stretches
            in_first, out_first = layout.in_first, layout.out_first
            rounds = layout.rounds
            indices = {name: ints(layout.index(name).numpy()) for name in names if name}
        else:
            rows = layout.num_boundary if key == "boundary" else layout.num_nodes
            stretches = [(0, 0, next(iter(sorts)), 0, rows)] if rows else []
            if key == "late":
                stretches = _neighbours_joined(layout.stretches)
            in_first, rounds = torch.zeros(rows + 1, dtype=torch.long), 1
            out_first = layout.boundary_first if key == "boundary" else in_first
            indices = {
                name: ints((_of_boundary(layout, name)).numpy())
                for name in names
                if name.startswith("out") and key != "late"
            }
        stage = layout.stage if key == "nodes" else [0]
        starts = [0] * (len(stage) + 1)
        for part, *_ in stretches:
            starts[part + 1] += 1
        self.arrays: dict[str, Any] = {
            "part": longs(np.cumsum(starts)),
            "stage": ints(stage),
            "first": longs([start for *_, start, _ in stretches]),
            "last": longs([stop for *_, stop in stretches]),
            "level": ints([level for _, level, *_ in stretches]),
            "program": ints([sorts[sort] for _, _, sort, _, _ in stretches]),
            "in_first": longs(in_first.numpy()),
            "out_first": longs(out_first.numpy()),
        }
        self.indices = indices
        none = np.zeros(1, np.int32)
        self.pointers: Any = np.array([indices.get(name, none).ctypes.data for name in names], np.uint64)
        self.none = none
        edges = layout.num_edges if key == "nodes" else 0
        self.struct: Structure = Structure(
            rows,
            edges,
            int(out_first[-1]) if len(out_first) else 0,
            rounds,
            len(stage),
            len(stretches),
            *(array.ctypes.data for array in self.arrays.values()),
            self.pointers.ctypes.data,
            len(names),
        )
        self.pointer: Any = ctypes.pointer(self.struct)
        self.rows: int = rows


def _neighbours_joined(
    stretches: list[tuple[int, int, Sort, int, int]],
) -> list[tuple[int, int, Sort, int, int]]:
    """The rows of each sort that follow each other, of whatever level and part."""
    made: list[tuple[int, int, Sort, int, int]] = []
    for _, _, sort, start, stop in stretches:
        if made and made[-1][2] == sort:
            start = made.pop()[3]
        made.append((0, 0, sort, start, stop))
    return made


def _of_boundary(layout: Layout, name: str) -> Tensor:
    index = layout.index(name)
    if name == "out node" and not layout.is_sync:
        return index + layout.num_boundary
    return index


def _firsts(counts: Tensor) -> Tensor:
    first = counts.new_zeros(len(counts) + 1)
    first[1:] = torch.cumsum(counts, 0)
    return first

"""What each step gets from outside the loop."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..cell import OF_EDGES, Cell, Fetch, Own
from ..operators import Cut, in_grad_mode, move
from ..schedule import Schedule, Step
from .validate import Context


class Boundary:
    """x, the edges' features and weights, and the initial state, as each step reads them.

    Each is permuted and split once: a slice per step would cost N per level in the backward pass. A step gets a
    copy, in case the cell writes into it.

    Args:
        run: the run.
        x: `[N, D]`, in the structure's numbering.
        initial: per field `[K, ...]` (see `Context.initial_row`), or nothing.
    """

    def __init__(self, run: Context, x: Tensor, initial: list[Tensor]) -> None:
        self._run, self._x, self._initial = run, x, initial
        self._with_grad = torch.is_grad_enabled()
        steps = run.plan.steps
        self._node_bounds, self._edge_bounds = steps.node_bounds, steps.edge_bounds
        self._projected: Tensor | None = None
        self._parts_of_x: tuple[Tensor, ...] | None = None
        self._parts_of_perm: tuple[Tensor, ...] | None = None
        self._own: dict[str, tuple[Tensor, ...]] = {}
        self._of_edges: dict[str, tuple[Tensor, ...]] = {}

    @property
    def projected(self) -> Tensor:
        """`[N, ...]`: x as the cell projects it, by position."""
        if self._projected is None:
            # Rounds to a fixed point may be the first to look, and have no gradients.
            self._projected = in_grad_mode(self._with_grad, self._project)
        return self._projected

    def _project(self) -> Tensor:
        plan, x = self._run.plan, self._x
        return project(self._run.cell, x if plan.is_identity else move(x, plan.perm, plan.inv_perm))

    def x(self, step: Step) -> Tensor:
        """`[n, ...]`: the step's rows of x."""
        if self._parts_of_x is None:
            self._parts_of_x = in_grad_mode(self._with_grad, self._split, self.projected, self._node_bounds)
        rows = self._parts_of_x[self._level(step)]
        return rows.clone() if rows.numel() else rows

    def nodes(self, step: Step) -> Tensor:
        """`[n]`: the step's nodes, by the structure's numbers."""
        if self._parts_of_perm is None:
            self._parts_of_perm = self._split(self._run.plan.perm, self._node_bounds)
        return self._parts_of_perm[self._level(step)]

    def _split(self, rows: Tensor, bounds: list[int]) -> tuple[Tensor, ...]:
        """The rows of each level."""
        return rows.split([stop - start for start, stop in pairwise(bounds)]) if len(bounds) > 2 else (rows,)

    def beside(self, read: Fetch, step: Step, cut: Cut | None = None) -> Fetch:
        """Reads a field of the step's inbox, `[e, ...]`: those of the edges here, those of their sources by `read`.

        What is read here goes through `cut`, where one is given.
        """

        def look(name: str) -> Tensor:
            if name not in OF_EDGES:
                return read(name)
            rows = self._rows_of_edges(name, step)
            return rows if cut is None else cut(rows)

        return look

    def _rows_of_edges(self, name: str, step: Step) -> Tensor:
        if name not in self._of_edges:
            rows = gather_edges(self._run.of_edges, name, self._run.plan.edge)
            self._of_edges[name] = self._split(rows, self._edge_bounds)
        return self._of_edges[name][self._level(step)].clone()

    def rows(self) -> Own:
        """The state of the boundary rows."""
        run = self._run
        if run.boundary_row is None:
            return Own(run.fields, lambda name: self._initial_rows(name, run.plan.boundary))
        row, initial = run.boundary_row, dict(zip(run.fields, self._initial, strict=True))
        return Own(run.fields, lambda name: initial[name].index_select(0, row))

    def own(self, step: Step) -> Own:
        """The initial state of the step's nodes (async mode)."""
        return Own(self._run.fields, lambda name: self._own_rows(name)[step.number])

    def _own_rows(self, name: str) -> tuple[Tensor, ...]:
        if name not in self._own:
            rows = self._initial_rows(name, self._run.plan.perm)
            self._own[name] = self._split(rows, self._node_bounds)
        return self._own[name]

    def _initial_rows(self, name: str, nodes: Tensor) -> Tensor:
        run, index = self._run, self._run.fields.index(name)
        if run.initial_row is None:
            return self._x.new_zeros(nodes.shape[0], *run.shapes[index])
        if run.each_its_own and run.plan.is_identity and nodes.shape[0] == run.plan.num_nodes:
            return self._initial[index]
        row = nodes if run.each_its_own else run.initial_row.index_select(0, nodes)
        return self._initial[index].index_select(0, row)

    def _level(self, step: Step) -> int:
        return 0 if self._run.plan.mode == "sync" else step.number


def project(cell: Cell, x: Tensor) -> Tensor:
    """`[N, D] → [N, ...]`: x as the cell projects it."""
    rows = cell.project(x)
    if not isinstance(rows, Tensor) or rows.dim() < 1 or rows.shape[0] != x.shape[0]:
        got = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        raise ValueError(
            f"{type(cell).__name__}.project must return a tensor with one row per node, {x.shape[0]}, got {got}."
        )
    return rows


def as_numbered(plan: Schedule, rows: Tensor) -> Tensor:
    """`[N, ...]`: from the plan's positions back to the structure's numbering."""
    return rows if plan.is_identity else move(rows, plan.inv_perm, plan.perm)


def gather_edges(of_edges: dict[str, Tensor], name: str, edge: Tensor) -> Tensor:
    """`[e, ...]`: features or weights of inbox edges; 0 or 1 for the virtual edges of initial states, number -1."""
    if name not in of_edges:
        raise ValueError(
            f"the cell reads inbox.{name}, but the structure has none, or none of one width for all edges: build it "
            f"with {name}=...; for features by relation, give the cell edges, the width in each."
        )
    values, otherwise = of_edges[name], int(name == "edge_weight")
    if not values.shape[0]:
        return values.new_full((edge.shape[0], *values.shape[1:]), otherwise)
    is_virtual = (edge < 0).view(-1, *[1] * (values.dim() - 1))
    return values.index_select(0, edge.clamp(min=0)).masked_fill(is_virtual, otherwise)

"""What each step is given from outside of the loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Any

from torch import Tensor

from ..schedule import Step
from .edge_rows import OF_EDGES, gather_edges
from .looked import Fetch, Own
from .validate import Job


class Boundary:
    """x, what there is of edges, and the initial state, as each step reads them.

    Each is put in order and cut up once: a slice per step would cost N per level on the way back. A step gets a
    copy, in case the cell writes into it.

    Args:
        job: the run.
        x: `[N, ...]`, projected, in the order of the plan's places.
        initial: per field `[K, ...]` (see `Job.initial_row`), or nothing.
    """

    def __init__(self, job: Job, x: Tensor, initial: list[Tensor]) -> None:
        self._job, self._like, self._initial = job, x[:0], initial
        steps = job.plan.steps
        self._node_counts = [stop - start for start, stop in pairwise(steps.node_bounds)]
        self._edge_counts = [stop - start for start, stop in pairwise(steps.edge_bounds)]
        self._x = x
        self._own: dict[str, tuple[Tensor, ...]] = {}
        self._of_edges: dict[str, tuple[Tensor, ...]] = {}

    def x(self, step: Step) -> Tensor:
        """`[n, ...]`: the step's rows of x."""
        return self._parts_of_x[self._level(step)].clone()

    @cached_property
    def _parts_of_x(self) -> tuple[Tensor, ...]:
        return self._x.split(self._node_counts)

    def beside(self, read: Fetch, step: Step, border: Callable[[Tensor], Tensor] | None = None) -> Fetch:
        """What reads a field of the step's inbox, `[e, ...]`: of the edges here, and of their sources by `read`.

        What is read here comes in across a border, if there is one.
        """

        def look(name: str) -> Tensor:
            if name not in OF_EDGES:
                return read(name)
            rows = self._rows_of_edges(name, step)
            return rows if border is None else border(rows)

        return look

    def _rows_of_edges(self, name: str, step: Step) -> Tensor:
        if name not in self._of_edges:
            rows = gather_edges(self._job.of_edges, name, self._job.plan.edge)
            self._of_edges[name] = rows.split(self._edge_counts)
        return self._of_edges[name][self._level(step)].clone()

    def given(self) -> Any:
        """The state of the given rows, whose fields are looked up."""
        return Own(self._job.fields, lambda name: self._initial_rows(name, self._job.plan.given))

    def own(self, step: Step) -> Any:
        """The initial state of the step's nodes (async mode), whose fields are looked up."""
        return Own(self._job.fields, lambda name: self._own_rows(name)[step.number])

    def _own_rows(self, name: str) -> tuple[Tensor, ...]:
        if name not in self._own:
            self._own[name] = self._initial_rows(name, self._job.plan.order).split(self._node_counts)
        return self._own[name]

    def _initial_rows(self, name: str, nodes: Tensor) -> Tensor:
        job, index = self._job, self._job.fields.index(name)
        if job.initial_row is None:
            return self._like.new_zeros(nodes.shape[0], *job.shapes[index], dtype=job.dtype)
        if job.each_its_own and job.plan.in_order and len(nodes) == job.plan.num_nodes:
            return self._initial[index]
        return self._initial[index].index_select(0, job.initial_row[nodes])

    def _level(self, step: Step) -> int:
        return 0 if self._job.plan.mode == "sync" else step.number

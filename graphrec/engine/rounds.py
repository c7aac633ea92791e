"""Sync mode: all nodes in every round, each reading the round before.

A round is one step over all edges, in plain autograd, so that it has derivatives of any order. What nodes show is
computed once for each of them, and goes along the edges and into sums by `paths`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .inbox import OF_EDGES, Own, SegmentInbox, gather_edges
from .job import Job, check_state
from .paths import send, send_and_sum


def run_rounds(job: Job, x: Tensor, initial: list[Tensor]) -> Iterator[Any]:
    """The states of all rounds, round 0 first, `[N, ·]` in the order of the plan's places.

    Args:
        job: the run.
        x: `[N, ...]`, projected, in the same order.
        initial: per field `[K, ...]` (see `Job.initial_row`), or nothing.
    """
    cell, plan = job.cell, job.plan
    state = cell.State(*_round_0(job, x, initial))
    shows = state._fields if cell.Shown is None else cell.Shown._fields
    of_own = tuple(dict.fromkeys((*state._fields, *shows)))
    yield state
    for step in plan.steps:
        # (Kept for the whole round: the inbox and the node's own state are looked up in it.)
        show = functools.cache(lambda state=state: state if cell.Shown is None else cell.show(state))

        def look(name: str, show: Any = show) -> Tensor:
            if name in OF_EDGES:
                return gather_edges(job.of_edges, name, plan.edge)
            return send(getattr(show(), name), plan.paths)

        def total(name: str, weight: Tensor | None, show: Any = show) -> Tensor:
            return send_and_sum(getattr(show(), name), plan.paths, weight)

        def look_own(name: str, state: Any = state, show: Any = show) -> Tensor:
            return _lent(getattr(state if name in state._fields else show(), name))

        inbox = SegmentInbox(plan, step, shows, look, x, total=total)
        new = cell(_lent(x), inbox, Own(of_own, look_own))
        check_state(job, new, plan.num_nodes)
        state = cell.State(*(getattr(new, name).to(job.dtype) for name in state._fields))
        yield state


def _lent(rows: Tensor) -> Tensor:
    """The rows, which are copied should the cell write into them."""
    return torch._lazy_clone(rows)  # pyright: ignore[reportPrivateImportUsage]


def _round_0(job: Job, x: Tensor, initial: list[Tensor]) -> list[Tensor]:
    if job.initial_row is None:
        return [x.new_zeros(job.plan.num_nodes, *shape, dtype=job.dtype) for shape in job.shapes]
    if job.each_its_own and job.plan.in_order:
        return initial
    row = job.initial_row[job.plan.order]
    return [field.index_select(0, row) for field in initial]

"""Sync mode: all nodes in every round, each reading the round before.

A round is one step over all edges, in plain autograd, so that it has derivatives of any order. What nodes show is
computed once for each of them, and goes along the edges and into sums by `paths`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ..schedule import Paths, Schedule
from ..structure.outside import outside
from .edge_rows import OF_EDGES, gather_edges
from .inbox import Inbox, SegmentInbox
from .job import Job, check_state
from .looked import Own
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
            return getattr(state if name in state._fields else show(), name).clone()

        inbox = SegmentInbox(plan, step, shows, look, x, total=total)
        # (A copy, as of the own state: the cell may write into it.)
        new = cell(x.clone(), inbox, Own(of_own, look_own))
        check_state(job, new, plan.num_nodes)
        state = cell.State(*(getattr(new, name).to(job.dtype) for name in state._fields))
        yield state


def run_pair(
    job: Job, x_source: Tensor, x_target: Tensor | None, num_targets: int, with_sums: bool = True
) -> Any:
    """One round from one set of nodes to another: the new state of the targets, `[n, ·]`.

    Args:
        job: the run, over the structure of both sets, the targets first; see `structure.as_pair`.
        x_source, x_target: `[S, D]` and `[n, D']`, the second None where targets have no rows of their own.
        num_targets: n.
        with_sums: whether fields may be added up without a row for each edge.
    """
    cell, plan = job.cell, job.plan
    source, target = cell.show_pair(x_source, x_target)
    paths = _paths_of_pair(plan, num_targets)

    def look(name: str) -> Tensor:
        if name in OF_EDGES:
            return gather_edges(job.of_edges, name, plan.edge)
        rows = getattr(source, name)
        return send(rows, paths) if with_sums else rows.index_select(0, paths.source)

    def total(name: str, weight: Tensor | None) -> Tensor:
        return send_and_sum(getattr(source, name), paths, weight)

    step = plan.steps[0]._replace(nodes=slice(0, num_targets))
    like = x_source.new_zeros(num_targets, 0)
    kind = SegmentInbox if with_sums else Inbox
    inbox = kind(plan, step, source._fields, look, like, total=total if with_sums else None)

    def look_own(name: str) -> Any:
        rows = getattr(target, name)
        return None if rows is None else rows.clone()

    new = cell(like, inbox, Own(target._fields, look_own))
    check_state(job, new, num_targets)
    return cell.State(*(getattr(new, name).to(job.dtype) for name in job.fields))


def _paths_of_pair(plan: Schedule, num_targets: int) -> Paths:
    """The edges from sources, counted from the first of these, to targets."""
    cache = plan.structure.cache
    if "pair" not in cache:
        with outside():
            num_sources = plan.num_nodes - num_targets
            first = plan.first_edge[:num_targets]
            cache["pair"] = Paths(plan.source - num_targets, plan.target, first, num_sources)
    return cache["pair"]


def _round_0(job: Job, x: Tensor, initial: list[Tensor]) -> list[Tensor]:
    if job.initial_row is None:
        return [x.new_zeros(job.plan.num_nodes, *shape, dtype=job.dtype) for shape in job.shapes]
    if job.each_its_own and job.plan.in_order:
        return initial
    row = job.initial_row[job.plan.order]
    return [field.index_select(0, row) for field in initial]

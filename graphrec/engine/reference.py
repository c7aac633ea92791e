"""The reference loop: what a schedule means, in plain PyTorch.

Nothing here is replaced, recorded or written in place, so autograd differentiates it to any order. Every other
engine must agree with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..schedule import Schedule, Step
from .inbox import Inbox, Own, gather_edges
from .job import Job


class Visit(NamedTuple):
    """One step of the loop, as seen from outside.

    Attributes:
        index: the number of the step, from 0.
        nodes: `[n]` long, the nodes that it updated, by the structure's numbers.
        inbox: what they received.
        state: their new state, a State of `[n, ·]` tensors.
    """

    index: int
    nodes: Tensor
    inbox: Inbox
    state: Any


def loop(job: Job, x: Tensor, initial: list[Tensor]) -> Iterator[Visit]:
    """Run a cell step by step; arguments as in `sweep`."""
    cell, plan = job.cell, job.plan
    x = x.index_select(0, plan.order)
    before = _given_state(job, x, initial)
    post = _SyncPost(plan) if plan.mode == "sync" else _AsyncPost(plan)
    post.send(0, before)
    for step in plan.steps:
        letters = post.receive(step)

        def look(name: str, letters: dict[str, Tensor] = letters, step: Step = step) -> Tensor:
            if name == "edge_attr":
                return gather_edges(plan.structure.edge_attr, plan.edge[step.edges])
            return letters[name]

        def look_own(name: str, before: Any = before, step: Step = step) -> Tensor:
            if plan.mode == "sync":
                return getattr(before, name)
            return _initial_field(job, x, initial, name, plan.nodes(step))

        inbox = Inbox(plan, step, job.fields, look, x)
        state = cell(x[step.nodes], inbox, Own(job.fields, look_own))
        state = cell.State(*(getattr(state, name).to(x.dtype) for name in job.fields))
        yield Visit(step.index, plan.nodes(step), inbox, state)
        post.send(step.index + 1, state)
        before = state


def run_reference(job: Job, x: Tensor, initial: list[Tensor]) -> tuple[Tensor, ...]:
    """The fields of the final state, `[N, ...]` each, in the caller's order."""
    states = [visit.state for visit in loop(job, x, initial)]
    if job.plan.mode == "sync":
        return tuple(states[-1])
    return tuple(torch.cat(field).index_select(0, job.plan.place) for field in zip(*states, strict=True))


def _given_state(job: Job, x: Tensor, initial: list[Tensor]) -> Any:
    return job.cell.State(*(_initial_field(job, x, initial, name, job.plan.given) for name in job.fields))


def _initial_field(job: Job, x: Tensor, initial: list[Tensor], name: str, nodes: Tensor) -> Tensor:
    index = job.fields.index(name)
    if job.initial_row is None:
        return x.new_zeros(nodes.shape[0], *job.cell.shapes()[index])
    return initial[index].index_select(0, job.initial_row[nodes])


class _SyncPost:
    """A round reads the round before."""

    def __init__(self, plan: Schedule) -> None:
        self._plan = plan

    def send(self, level: int, state: Any) -> None:
        self._state = state

    def receive(self, step: Step) -> dict[str, Tensor]:
        return {name: value.index_select(0, self._plan.source) for name, value in self._state._asdict().items()}


class _AsyncPost:
    """Every new state is sent at once to the steps that will read it, so that no row is touched in between.

    (Reading from one growing tensor instead would cost N for every level, there and back.)
    """

    def __init__(self, plan: Schedule) -> None:
        self._plan = plan
        self._mail: dict[int, list[Any]] = defaultdict(list)

    def send(self, level: int, state: Any) -> None:
        routes = self._plan.routes
        rows = routes.row[routes.bounds[level] : routes.bounds[level + 1]]
        parts = [value.index_select(0, rows).split(routes.counts[level]) for value in state]
        for reader, *letter in zip(routes.readers[level], *parts, strict=True):
            self._mail[reader].append(type(state)(*letter))
        self._empty = type(state)(*(value[:0] for value in state))

    def receive(self, step: Step) -> dict[str, Tensor]:
        letters = self._mail.pop(step.index, [self._empty])
        arrival = self._plan.routes.arrival[step.edges]
        return {
            name: torch.cat(parts).index_select(0, arrival)
            for name, parts in zip(self._empty._fields, zip(*letters, strict=True), strict=True)
        }

"""The reference loop: what a schedule means, in plain PyTorch.

Nothing here is replaced, recorded or written in place, so autograd differentiates it to any order. Every other
engine must agree with it.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..schedule import Schedule, Step
from .cycles import settle
from .edge_rows import OF_EDGES, gather_edges
from .inbox import Inbox
from .job import Job, check_state
from .looked import Fetch, Own

Mail = list[Fetch]


class Visit(NamedTuple):
    """One step of the loop, as seen from outside.

    Attributes:
        number: of the step, from 0.
        nodes: `[n]` long, the nodes that it updated, by the structure's numbers.
        inbox: what they received.
        state: their new state, a State of `[n, ·]` tensors.
    """

    number: int
    nodes: Tensor
    inbox: Inbox
    state: Any


def loop(job: Job, x: Tensor, initial: list[Tensor]) -> Generator[Visit, Any, None]:
    """Run a cell step by step; arguments as in `sweep`. A state that is sent in takes the place of the last one."""
    cell, plan = job.cell, job.plan
    rows = _Rows(job, x, initial)
    before = cell.State(*(rows.initial(name, plan.given) for name in job.fields))
    post = _SyncPost(plan) if plan.mode == "sync" else _AsyncPost(plan)
    post.send(0, before)
    for step in plan.steps:
        mail = post.receive(step)

        def look(name: str, mail: Mail = mail, step: Step = step) -> Tensor:
            return rows.of_edges(name, step) if name in OF_EDGES else post.read(step, mail, name)

        def look_own(name: str, before: Any = before, step: Step = step) -> Tensor:
            return getattr(before, name).clone() if plan.mode == "sync" else rows.own(name, step)

        if plan.cycles is not None and plan.cycles.steps[step.number]:
            assert isinstance(post, _AsyncPost)
            inbox, state = _iterate(job, step, rows, post, mail, x)
        else:
            inbox = Inbox(plan, step, job.fields, look, x)
            state = _new_state(job, inbox, rows.of_x(step), Own(job.fields, look_own))
        sent = yield Visit(step.number, plan.nodes(step), inbox, state)
        if sent is not None:
            state = _checked(job, sent, state)
        post.send(step.number + 1, state)
        before = state


def _new_state(job: Job, inbox: Inbox, x: Tensor, own: Own) -> Any:
    cell = job.cell
    state = cell(x, inbox.shown_by(cell), own.shown_by(cell))
    check_state(job, state, inbox.num_nodes)
    return cell.State(*(getattr(state, name).to(job.dtype) for name in job.fields))


def _iterate(
    job: Job, step: Step, rows: _Rows, post: _AsyncPost, mail: Mail, like: Tensor
) -> tuple[Inbox, Any]:
    """The inbox of the last round, and the state after it, of nodes that depend on themselves."""
    plan, cycles = job.plan, job.plan.cycles
    assert cycles is not None
    last: list[Inbox] = []
    with_grad = torch.is_grad_enabled()

    def once(state: Any, border: Callable[[Tensor], Tensor]) -> Any:
        both = [*(_across(border, letter) for letter in mail), *post.to_itself(step, state)]

        def look(name: str) -> Tensor:
            with torch.set_grad_enabled(
                with_grad
            ):  # what is kept must not lack a gradient because this round does
                if name in OF_EDGES:
                    return border(rows.of_edges(name, step))
                return post.read(step, both, name)

        inbox = Inbox(plan, step, job.fields, look, like)
        last[:] = [inbox]
        own = Own(job.fields, lambda name: getattr(state, name).clone())
        return _new_state(job, inbox, border(rows.of_x(step)), own)

    start = job.cell.State(*(rows.own(name, step) for name in job.fields))
    state = settle(once, start, cycles.rounds, cycles.component[step.nodes], job.cell.constants)
    return last[0], state


def _across(border: Callable[[Tensor], Tensor], letter: Fetch) -> Fetch:
    return lambda name: border(letter(name))


def run_reference(job: Job, x: Tensor, initial: list[Tensor]) -> tuple[Tensor, ...]:
    """The fields of the final state, `[N, ...]` each, in the caller's order."""
    states = [visit.state for visit in loop(job, x, initial)]
    return tuple(torch.cat(field).index_select(0, job.plan.place) for field in zip(*states, strict=True))


def reference_rounds(job: Job, x: Tensor, initial: list[Tensor]) -> Iterator[Any]:
    """The states of all rounds (sync mode), round 0 first, in the order of the plan's places."""
    rows = _Rows(job, x, initial)
    yield job.cell.State(*(rows.initial(name, job.plan.given) for name in job.fields))
    for visit in loop(job, x, initial):
        yield visit.state


def _checked(job: Job, sent: Any, state: Any) -> Any:
    """A state that was sent in, if it can stand for this one."""
    if getattr(sent, "_fields", None) != job.fields:
        raise TypeError(
            f"send takes a state with the fields {', '.join(job.fields)}, as the visit has, got {type(sent).__name__}."
        )
    for name, value, like in zip(job.fields, sent, state, strict=True):
        if (value.shape, value.dtype, value.device) != (like.shape, like.dtype, like.device):
            raise ValueError(
                f"the {name} that is sent must have shape {list(like.shape)}, {like.dtype} on {like.device}, got "
                f"{list(value.shape)}, {value.dtype} on {value.device}."
            )
    return job.cell.State(*sent)


class _Rows:
    """What each step is given of x, of the edge attributes and of the initial state.

    Each is put in order and cut up once: a slice per step would cost N per level on the way back. A step gets a
    copy, in case the cell writes into it.
    """

    def __init__(self, job: Job, x: Tensor, initial: list[Tensor]) -> None:
        self._job, self._like, self._initial = job, x[:0], initial
        steps = job.plan.levels
        self._node_counts = [step.nodes.stop - step.nodes.start for step in steps]
        self._edge_counts = [step.edges.stop - step.edges.start for step in steps]
        self._x = x.split(self._node_counts)
        self._own: dict[str, tuple[Tensor, ...]] = {}
        self._of_edges: dict[str, tuple[Tensor, ...]] = {}

    def of_x(self, step: Step) -> Tensor:
        return self._x[self._level(step)].clone()

    def of_edges(self, name: str, step: Step) -> Tensor:
        if name not in self._of_edges:
            rows = gather_edges(self._job.of_edges, name, self._job.plan.edge)
            self._of_edges[name] = rows.split(self._edge_counts)
        return self._of_edges[name][self._level(step)].clone()

    def own(self, name: str, step: Step) -> Tensor:
        if name not in self._own:
            self._own[name] = self.initial(name, self._job.plan.order).split(self._node_counts)
        return self._own[name][self._level(step)].clone()

    def initial(self, name: str, nodes: Tensor) -> Tensor:
        job, index = self._job, self._job.fields.index(name)
        if job.initial_row is None:
            return self._like.new_zeros(nodes.shape[0], *job.shapes[index], dtype=job.dtype)
        return self._initial[index].index_select(0, job.initial_row[nodes])

    def _level(self, step: Step) -> int:
        return 0 if self._job.plan.mode == "sync" else step.number


class _SyncPost:
    """A round reads the round before."""

    def __init__(self, plan: Schedule) -> None:
        self._plan = plan

    def send(self, level: int, state: Any) -> None:
        self._state = state

    def receive(self, step: Step) -> Mail:
        state = self._state
        return [lambda name: getattr(state, name)]

    def read(self, step: Step, mail: Mail, name: str) -> Tensor:
        return mail[0](name).index_select(0, self._plan.source)


class _AsyncPost:
    """Every new state is sent at once to the steps that will read it, so that no row is touched in between.

    (Reading from one growing tensor instead would cost N for every level, there and back.)
    """

    def __init__(self, plan: Schedule) -> None:
        self._plan = plan
        self._mail: dict[int, list[Fetch]] = defaultdict(list)

    def send(self, level: int, state: Any) -> None:
        routes = self._plan.routes
        rows = routes.row[routes.bounds[level] : routes.bounds[level + 1]]

        @functools.cache  # cut up once for all readers, and only what is read
        def parts(name: str) -> tuple[Tensor, ...]:
            return getattr(state, name).index_select(0, rows).split(routes.counts[level])

        for number, reader in enumerate(routes.readers[level]):
            if reader >= level:  # not those that the nodes have sent to themselves
                self._mail[reader].append(lambda name, number=number: parts(name)[number])
        self._empty = state

    def receive(self, step: Step) -> Mail:
        return self._mail.pop(step.number, [])

    def to_itself(self, step: Step, state: Any) -> Mail:
        """What nodes that depend on themselves send to each other: as a reader, their own step is the first."""
        routes, level = self._plan.routes, step.number + 1
        first = routes.bounds[level]
        row = routes.row[first : first + routes.counts[level][0]]
        return [lambda name: getattr(state, name).index_select(0, row)]

    def read(self, step: Step, mail: Mail, name: str) -> Tensor:
        if not mail:
            return getattr(self._empty, name)[:0]
        arrival = self._plan.routes.arrival[step.edges]
        return torch.cat([letter(name) for letter in mail]).index_select(0, arrival)

"""The one loop: a cell over the steps of a schedule, in plain PyTorch.

What differs between the modes is where a step reads: `Levels` hands each new state to the steps that will read it,
`Rounds` reads the round before. Autograd differentiates both, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..schedule import Step
from .boundary import Boundary
from .cycles import settle
from .inbox import Inbox
from .looked import Own
from .messages import Levels, Message, Messages, Rounds
from .validate import Job, check_sent, check_state


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


def loop(
    job: Job, x: Tensor, initial: list[Tensor], messages: Messages | None = None
) -> Generator[Visit, Any, None]:
    """Run a cell step by step; a state that is sent in takes the place of the one that was seen last.

    Args:
        job: the run.
        x: `[N, ...]`, projected, in the order of the plan's places.
        initial: per field `[K, ...]` (see `Job.initial_row`), or nothing.
        messages: how states reach their readers; by default so that none is kept that nobody will read any more.
    """
    cell, plan = job.cell, job.plan
    boundary = Boundary(job, x, initial)
    if messages is None:
        messages = Rounds(plan) if plan.mode == "sync" else Levels(plan)
    previous = Message(boundary.given(), cell)
    messages.send(0, previous)
    for step in plan.steps:
        if plan.cycles is not None and plan.cycles.steps[step.number]:
            assert isinstance(messages, Levels)
            inbox, state = _iterate(job, step, boundary, messages, x)
        else:
            own = previous if plan.mode == "sync" else Message(boundary.own(step), cell)
            look = boundary.beside(messages.receive(step), step)
            inbox = Inbox(plan, step, job.message_fields, look, x, total=messages.total)
            state = _new_state(job, inbox, boundary.x(step), own)
        sent = yield Visit(step.number, plan.nodes(step), inbox, state)
        if sent is not None:
            state = check_sent(job, sent, state)
        previous = Message(state, cell)
        messages.send(step.number + 1, previous)


def _new_state(job: Job, inbox: Inbox, x: Tensor, own: Message) -> Any:
    # (The cell may write into what it reads of its own.)
    return _checked(job, inbox, x, Own(job.own_fields, lambda name: own.read(name).clone()))


def _checked(job: Job, inbox: Inbox, x: Tensor, own: Own) -> Any:
    state = job.cell(x, inbox, own)
    check_state(job, state, inbox.num_nodes)
    return job.cell.State(*(getattr(state, name).to(job.dtype) for name in job.fields))


def _iterate(job: Job, step: Step, boundary: Boundary, messages: Levels, like: Tensor) -> tuple[Inbox, Any]:
    """The inbox of the last round, and the state after it, of nodes that depend on themselves."""
    cell, plan, cycles = job.cell, job.plan, job.plan.cycles
    assert cycles is not None
    last: list[Inbox] = []
    with_grad, receive = torch.is_grad_enabled(), messages.receive_in_rounds(step)

    def once(state: Any, border: Callable[[Tensor], Tensor]) -> Any:
        own = Message(state, cell)
        read = boundary.beside(receive(own, border), step, border)

        def look(name: str) -> Tensor:
            # What is kept must not lack a gradient because this round has none.
            with torch.set_grad_enabled(with_grad):
                return read(name)

        inbox = Inbox(plan, step, job.message_fields, look, like)
        last[:] = [inbox]
        return _new_state(job, inbox, border(boundary.x(step)), own)

    start = cell.State(*boundary.own(step))
    state = settle(once, start, cycles.rounds, cycles.component[step.nodes], cell.constants)
    return last[0], state


def run_between(job: Job, x_source: Tensor, x_target: Tensor | None, num_targets: int) -> Any:
    """One step from one set of nodes to another: the new state of the targets, `[n, ·]`.

    Args:
        job: the run, over the structure of both sets, the targets first; see `structure.as_pair`.
        x_source, x_target: `[S, D]` and `[n, D']`, the second None where targets have no rows of their own.
        num_targets: n.
    """
    cell, plan = job.cell, job.plan
    source, target = cell.show_pair(x_source, x_target)
    messages = Rounds.between(plan, num_targets)
    messages.send(0, Message(source))
    step = plan.steps[0]._replace(nodes=slice(0, num_targets))
    nothing = x_source.new_zeros(num_targets, 0)
    look = Boundary(job, nothing, []).beside(messages.receive(step), step)

    def look_own(name: str) -> Any:
        rows = getattr(target, name)
        return None if rows is None else rows.clone()

    inbox = Inbox(plan, step, source._fields, look, nothing, total=messages.total)
    return _checked(job, inbox, nothing, Own(target._fields, look_own))

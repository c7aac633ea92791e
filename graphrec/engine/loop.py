"""The one loop: a cell over the steps of a schedule, in plain PyTorch.

The modes differ in where a step reads: `Levels` hands each new state to the steps that will read it, `Rounds`
reads the previous round. Autograd differentiates both, to any order.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..cell import Inbox, Own
from ..operators import Cut, in_grad_mode, settle
from ..schedule import Step, pair_csr
from .boundary import Boundary
from .messages import Levels, Messages, Rounds, Sent, messages_for
from .validate import Context, check_sent, check_state


class Visit(NamedTuple):
    """One step of the loop, as seen from outside.

    Attributes:
        number: of the step, from 0.
        nodes: `[n]` long, the nodes that were updated, by the structure's numbers.
        inbox: what they received.
        state: their new state, a State of `[n, ·]` tensors.
    """

    number: int
    nodes: Tensor
    inbox: Inbox
    state: Any


def loop(
    run: Context, x: Tensor, initial: list[Tensor], messages: Messages | None = None
) -> Generator[Visit, Any, None]:
    """Run a cell step by step; a state that is sent in replaces the state of the last visit.

    Args:
        run: the run.
        x: `[N, D]`, in the structure's numbering.
        initial: per field `[K, ...]` (see `Context.initial_row`), or nothing.
        messages: how states reach their readers; by default no state is kept longer than it is read.
    """
    cell, plan, boundary = run.cell, run.plan, Boundary(run, x, initial)
    messages = messages or messages_for(plan)
    last = Sent(boundary.rows(), cell)
    messages.send(0, last)
    for step in plan.steps:
        if plan.cycles is not None and plan.cycles.steps[step.number]:
            assert isinstance(messages, Levels)
            inbox, state = _iterate(run, step, boundary, messages)
        else:
            own = last if plan.mode == "sync" else Sent(boundary.own(step), cell)
            look = boundary.beside(messages.receive(step), step)
            inbox = Inbox(plan, step, run.message_fields, look, boundary.projected, total=messages.total)
            state = _new_state(run, inbox, boundary.x(step), own)
        sent = yield Visit(step.number, boundary.nodes(step), inbox, state)
        if sent is not None:
            state = check_sent(run, sent, state)
        last = Sent(state, cell)
        messages.send(step.number + 1, last)


def _new_state(run: Context, inbox: Inbox, x: Tensor, own: Sent) -> Any:
    # (The cell may write into its own state.)
    return _checked(run, inbox, x, Own(run.own_fields, lambda name: own.read_own(name).clone()))


def _checked(run: Context, inbox: Inbox, x: Tensor, own: Own) -> Any:
    state = run.cell(x, inbox, own)
    check_state(run, state, inbox.num_nodes)
    if type(state) is run.cell.State and all(field.dtype == run.dtype for field in state):
        return state
    return run.cell.State(*(getattr(state, name).to(run.dtype) for name in run.fields))


def _iterate(run: Context, step: Step, boundary: Boundary, messages: Levels) -> tuple[Inbox, Any]:
    """The inbox of the last round, and the state after it, of nodes that depend on themselves."""
    cell, plan, cycles = run.cell, run.plan, run.plan.cycles
    assert cycles is not None
    last: list[Inbox] = []
    with_grad, receive = torch.is_grad_enabled(), messages.receive_in_rounds(step)

    def once(state: Any, cut: Cut) -> Any:
        own = Sent(state, cell)
        read = boundary.beside(receive(own, cut), step, cut)

        def look(name: str) -> Tensor:
            # What is kept must not lack a gradient because this round has none.
            return in_grad_mode(with_grad, read, name)

        last[:] = [Inbox(plan, step, run.message_fields, look, boundary.projected)]
        return _new_state(run, last[0], cut(boundary.x(step)), own)

    start = cell.State(*boundary.own(step))
    state = settle(once, start, cycles.rounds, cycles.component[step.nodes], cell.constants)
    return last[0], state


def run_between(run: Context, x_source: Tensor, x_target: Tensor | None, num_targets: int) -> Any:
    """One step from one set of nodes to another: the new state of the targets, `[n, ·]`.

    Args:
        run: over the structure of both sets, the targets first; see `io.as_pair`.
        x_source, x_target: `[S, D]` and `[n, D']`, the second None where targets have no rows of their own.
        num_targets: n.
    """
    source, target = run.cell.message_pair(x_source, x_target)
    messages, step = Rounds(pair_csr(run.plan, num_targets)), run.plan.steps[0]
    messages.send(0, Sent(source))
    step = step._replace(nodes=slice(0, num_targets))
    nothing = x_source.new_zeros(num_targets, 0)
    look = Boundary(run, nothing, []).beside(messages.receive(step), step)

    def look_own(name: str) -> Any:
        rows = getattr(target, name)
        return None if rows is None else rows.clone()

    inbox = Inbox(run.plan, step, source._fields, look, nothing, total=messages.total)
    return _checked(run, inbox, nothing, Own(target._fields, look_own))

"""The entry points: a run is validated, and handed to the rule or the backend that does it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from .backends import OperatorRun, Runner, check_loop_may_run, choose, running_on
from .cell import Cell
from .engine.boundary import Boundary, as_numbered
from .engine.loop import Visit, loop
from .engine.loop import run_between as loop_between
from .engine.rules import differentiated_by, rule_in_force
from .engine.validate import Context, validate, validate_pair
from .schedule import DeferredSchedule, Schedule
from .structure.outside import uncompiled


@uncompiled
def run(cell: Cell, plan: Schedule, x: Tensor, initial: Any = None, backend: str | None = None) -> Any:
    """Run a cell over a schedule.

    Args:
        cell: the equations.
        plan: the schedule, from `graphrec.schedule`.
        x: `[N, D]`, one row per node in the structure's numbering.
        initial: the initial state, a State (or a tensor, where it has one field) with a row per graph,
            `[G, H]`, or per node, `[N, H]`, or one for all, `[1, H]`; where there are as many graphs as nodes,
            `per_graph` or `per_node` says which. In async mode it is the state of a virtual predecessor of every
            node that has none (as `h0` in torch), joined by an edge in slot 0; in sync mode it is round 0. Without
            it nodes without predecessors have an empty inbox, and round 0 is zero.
        backend: what runs it, `"loop"` or a name that `graphrec.explain` gives; None: the fastest that can.

    Returns:
        The cell's State with fields `[N, H]`, in the structure's numbering; in sync mode that of the last round.

    Raises:
        ValueError, TypeError: x or the initial state of the wrong length, width, dtype or device, or a slot
            that the cell does not have; a backend that does not accept this run. Nothing has been done then.
    """
    if backend is not None:
        with running_on(backend):
            return run(cell, plan, x, initial)
    state = _runner(cell, plan, x, initial).state()
    return cell.State(*state)


@uncompiled
def run_first(cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Tensor:
    """Run a cell; returns only the first field of the state, `[N, H]`, which may cost less."""
    return _runner(cell, plan, x, initial).h()


@uncompiled
def run_sequence(cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> tuple[Tensor, Any]:
    """Run a cell; returns the first field of the state, `[N, H]`, and the final state of each graph, `[G, ·]`.

    The final state is that of the graph's one sink; for a graph without nodes it is the initial state.
    """
    runner = _runner(cell, plan, x, initial)
    found = runner.sinks.checked()
    first, final = runner.sequence()
    if not found.everywhere:
        given = [] if runner.run.each_its_own else runner.initial
        final = [_or_initial(found.node < 0, rows, given[i : i + 1]) for i, rows in enumerate(final)]
    return first, cell.State(*final)


def _or_initial(empty: Tensor, rows: Tensor, initial: list[Tensor]) -> Tensor:
    """The rows, but for graphs without nodes those of the initial state: their own, the one for all, or zero."""
    given = initial[0] if initial and initial[0].shape[0] in (1, len(rows)) else rows.new_zeros(())
    return torch.where(empty.view(-1, *[1] * (rows.dim() - 1)), given, rows)


@uncompiled
def run_between(cell: Cell, plan: Schedule, x_source: Tensor, x_target: Tensor | None) -> Any:
    """One round from one set of nodes to another, as PyG runs layers over a relation between two node types.

    Args:
        cell: one that has `message_pair`.
        plan: one round over both sets, the targets first; see `io.as_pair`.
        x_source, x_target: `[S, D]` and `[n, D']`; the second may be None where the cell allows it, and n is then S.

    Returns:
        The targets' State, with fields `[n, ·]`.
    """
    checked, num_targets = validate_pair(cell, plan, x_source, x_target)
    _refuse_rule("a round between two sets of nodes")
    return loop_between(checked, x_source, x_target, num_targets)


@uncompiled
def rounds(cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> list[Any]:
    """Run a cell in sync mode; returns the states of all rounds, round 0 first, each as `run` returns the last one.

    Arguments as in `run`. For models that read more than the last round, such as jumping knowledge (Xu et al., 2018).

    Raises:
        ValueError: a schedule in async mode, which has no rounds.
    """
    checked, fields = validate(cell, plan, x, initial)
    if plan.mode != "sync":
        raise ValueError("an async schedule has no rounds: make one with schedule(s, mode='sync', rounds=T).")
    _refuse_rule("graphrec.rounds")
    check_loop_may_run("all rounds at once")
    visits = loop(checked, x, fields)
    first = [field.clone() for field in Boundary(checked, x, fields).rows()]  # they may be what was given
    states = [first, *(visit.state for visit in visits)]
    return [cell.State(*(as_numbered(plan, field) for field in state)) for state in states]


@uncompiled
def steps(cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Generator[Visit, Any, None]:
    """The same loop from outside, step by step: for generation, for inspection. Arguments as in `run`.

    Yields:
        A `Visit` after each step: `number`, `nodes`, `inbox` and the new `state` of these nodes. Send another State
        for them (`loop.send(state)`), and later nodes read that one: so a decoder chooses what it emits.
    """
    checked, fields = validate(cell, plan, x, initial)
    check_loop_may_run("steps one by one")
    return loop(checked, x, fields)


class _ByRule(Runner):
    """A run by the rule in force, which gets the caller's own arguments."""

    def __init__(self, run: Context, x: Tensor, fields: list[Tensor], plan: Schedule, initial: Any) -> None:
        super().__init__(run, x, fields)
        self._plan, self._initial = plan, initial

    def state(self) -> tuple[Tensor, ...]:
        rule = rule_in_force()
        with differentiated_by(None):
            return rule.run(self.run.cell, self._plan, self.x, self._initial)


def _runner(cell: Cell, plan: Schedule, x: Tensor, initial: Any) -> Runner:
    if isinstance(plan, DeferredSchedule):
        _refuse_rule("what is compiled or exported")
        return OperatorRun.of(cell, plan, x, initial)
    checked, fields = validate(cell, plan, x, initial)
    if rule_in_force() is not None:
        return _ByRule(checked, x, fields, plan, initial)
    return choose(checked, x, fields)


def _refuse_rule(what: str) -> None:
    rule = rule_in_force()
    if rule is not None:
        raise ValueError(
            f"{rule} does not differentiate {what}, whose gradients are autograd's: leave out the rule, model(x, s)."
        )

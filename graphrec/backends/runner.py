"""What all backends have in common, and the one that accepts every run: the loop."""

from __future__ import annotations

import sys
from collections import deque
from contextvars import ContextVar
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ..cell import Cell
from ..engine.boundary import as_numbered
from ..engine.loop import loop
from ..engine.messages import messages_for
from ..engine.validate import Context
from ..operators import is_plain_only, rows_or_zero
from ..schedule import Schedule, Sinks, schedule, sinks
from .request import Request

# The backend that was asked for by name; see `running_on`.
forced: ContextVar[str | None] = ContextVar("backend", default=None)


def stacklevel_of_user() -> int:
    """For a warning by the caller: how many frames up the line stands that called graphrec."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] in ("graphrec", "torch"):
        frame, count = frame.f_back, count + 1
    return count


class Runner:
    """A run, with a method for each part of the state that may be wanted.

    Args:
        run: the run.
        x: `[N, D]`, in the caller's numbering.
        initial: per field `[K, ...]` (see `Context.initial_row`), or nothing.

    Attributes:
        name: of the backend.
        about: what the backend runs, and with what, in a few words.
    """

    run: Context
    x: Tensor
    initial: list[Tensor]

    name: ClassVar[str]
    about: ClassVar[str]

    def __init__(self, run: Context, x: Tensor, initial: list[Tensor]) -> None:
        self.run, self.x, self.initial = run, x, initial
        self.plan: Schedule = run.plan

    @staticmethod
    def missing() -> str | None:
        """Why the backend cannot run anything on this installation; None: it can."""
        return None

    @classmethod
    def describe(cls) -> str:
        """What the backend runs, and with what, on this installation."""
        return cls.about

    @classmethod
    def is_for(cls, cell: Cell) -> bool:
        """Whether the backend is for such cells at all; else it has no part in the choice."""
        return True

    @classmethod
    def gains_nothing(cls, request: Request) -> str | None:
        """Why the backend is no faster than the loop on such a run, which it does where it is asked to; None: it is."""
        return request.too_short

    @property
    def sinks(self) -> Sinks:
        """Of the schedule's structure."""
        return sinks(self.plan)

    def state(self) -> tuple[Tensor, ...]:
        """All fields of the state, `[N, ...]`."""
        raise NotImplementedError

    def h(self) -> Tensor:
        """The first field, `[N, ...]`."""
        return self.state()[0]

    def sequence(self) -> tuple[Tensor, list[Tensor]]:
        """The first field, and all fields at the sink of each graph, `[G, ...]` (any row for a graph without nodes)."""
        state, sink = self.state(), self.sinks.node
        return state[0], [rows_or_zero(field, sink) for field in state]


class Loop(Runner):
    """The one loop, which accepts every run."""

    name = "loop"
    about = "every run, step by step in PyTorch"

    def state(self) -> tuple[Tensor, ...]:
        """In sync mode the state of the last round; in a given order that of the last sweep."""
        if not self.plan.num_nodes:
            # In every mode the same: a round over no nodes, which has shapes and gradients.
            self.plan: Schedule = schedule(self.plan.structure, mode="sync", rounds=1)
            self.run: Context = replace(self.run, plan=self.plan)
        if self.plan.mode == "sync":
            last = deque(loop(self.run, self.x, self.initial), maxlen=1)[0]
            return tuple(as_numbered(self.plan, field) for field in last.state)
        state = self._update(self.run, self.initial)
        for _ in range(1, self.plan.sweeps or 1):
            nodes = torch.arange(self.plan.num_nodes, device=self.plan.device)
            state = self._update(replace(self.run, initial_row=nodes, each_its_own=True), list(state))
        return state

    def _update(self, run: Context, initial: list[Tensor]) -> tuple[Tensor, ...]:
        """Update every node once."""
        keeps_rows = not torch.is_grad_enabled() and not is_plain_only(self.x)
        states = [visit.state for visit in loop(run, self.x, initial, messages_for(run.plan, keeps_rows))]
        return tuple(as_numbered(run.plan, torch.cat(field)) for field in zip(*states, strict=True))

"""How states reach the steps that read them, which is what the modes differ in."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell, Fetch, Total
from ..operators import CSR, Cut, in_grad_mode, send, send_and_sum
from ..schedule import Schedule, Step, out_edges, round_csr


class Sent:
    """The messages of some nodes: their state, or what their cell makes of it when first read.

    Args:
        state: a State, or anything that has its fields.
        cell: whose `as_message` makes messages of it; None: the state itself is sent.
    """

    def __init__(self, state: Any, cell: Cell | None = None) -> None:
        self.state = state
        self._cell = None if cell is None or cell.Message is None else cell
        self._message: Any = None
        self._with_grad = torch.is_grad_enabled()

    def read_own(self, name: str) -> Tensor:
        """A field of the state, or else of the message."""
        return getattr(self.state, name) if name in self.state._fields else self.read(name)

    def read(self, name: str) -> Tensor:
        """A field of the message."""
        if self._cell is None or name not in self._cell.Message._fields:
            return getattr(self.state, name)
        if self._message is None:  # it is kept, for readers that want gradients
            self._message = in_grad_mode(self._with_grad, self._cell.as_message, self.state)
        return in_grad_mode(self._with_grad, getattr, self._message, name)


class Rounds:
    """Sync mode: a step reads the previous round. Messages can be summed without a row per edge."""

    def __init__(self, csr: CSR) -> None:
        self._csr = csr

    def send(self, level: int, sent: Sent) -> None:
        """To the next round."""
        self._sent = sent

    def receive(self, step: Step) -> Fetch:
        """Reads a field, `[E, ...]`."""
        sent = self._sent
        return lambda name: send(sent.read(name), self._csr)

    @property
    def total(self) -> Total:
        """Sums a field, `[N, ...]`, with a weight per edge."""
        sent = self._sent
        return lambda name, weight: send_and_sum(sent.read(name), self._csr, weight)


class Levels:
    """Async mode: a new state goes directly to the steps that will read it, so that no row is touched in between.

    (Reading from one growing tensor would cost N for every level, in both passes.)
    """

    total = None

    def __init__(self, plan: Schedule) -> None:
        self._out = out_edges(plan)
        self._received: dict[int, list[Fetch]] = defaultdict(list)

    def send(self, level: int, sent: Sent) -> None:
        """To all readers of a level: 0 is the boundary rows, k + 1 those of step k."""
        out, self._last = self._out, sent
        counts = out.counts[level]
        parts: dict[str, tuple[Tensor, ...]] = {}

        def part(number: int, name: str) -> Tensor:
            if name not in parts:  # split once for all readers, and only what is read
                field = sent.read(name)
                if not out.is_whole[level]:
                    field = field.index_select(0, out.row[out.bounds[level] : out.bounds[level + 1]])
                parts[name] = (field,) if len(counts) == 1 else field.split(counts)
            return parts[name][number]

        for number, reader in enumerate(out.readers[level]):
            if reader >= level:  # not what the nodes have sent to themselves
                self._received[reader].append(functools.partial(part, number))

    def receive(self, step: Step) -> Fetch:
        """Reads a field, `[e, ...]`."""
        return self._reader(step, self._received.pop(step.number, []))

    def receive_in_rounds(self, step: Step) -> Callable[[Sent, Cut], Fetch]:
        """For nodes that depend on themselves: from their own last messages to what reads a field.

        What other nodes have sent goes through `cut`.
        """
        out, level, received = self._out, step.number + 1, self._received.pop(step.number, [])
        first = out.bounds[level]
        row = out.row[first : first + out.counts[level][0]]  # as a reader, their own step is the first

        def receive(own: Sent, cut: Cut) -> Fetch:
            others = [lambda name, fetch=fetch: cut(fetch(name)) for fetch in received]
            return self._reader(step, [*others, lambda name: own.read(name).index_select(0, row)])

        return receive

    def _reader(self, step: Step, received: list[Fetch]) -> Fetch:
        def read(name: str) -> Tensor:
            if not received:
                return self._last.read(name)[:0]
            rows = received[0](name) if len(received) == 1 else torch.cat([fetch(name) for fetch in received])
            if not self._out.is_sorted[step.number]:
                return rows.index_select(0, self._out.gather[step.edges])
            return rows.clone() if len(received) == 1 else rows  # (the cell may write into it)

        return read


class Rows:
    """Async mode without gradients: one tensor for each field holds all states, and every inbox is a gather from it.

    For runs that keep all states. (With gradients each write would cost all rows in the backward pass.)
    """

    total = None

    def __init__(self, plan: Schedule) -> None:
        self._plan = plan
        self._sent: list[Sent] = []
        self._rows: dict[str, Tensor] = {}

    def send(self, level: int, sent: Sent) -> None:
        """Level 0 is the boundary rows, k + 1 those of step k."""
        self._sent.append(sent)
        for name in self._rows:
            self._write(name, level, sent)

    def receive(self, step: Step) -> Fetch:
        """Reads a field, `[e, ...]`."""

        def read(name: str) -> Tensor:
            # (Until a step has sent its states, the boundary rows are all there are.)
            rows = self._sent[0].read(name) if len(self._sent) == 1 else self._all_rows(name)
            return rows.index_select(0, self._plan.source[step.edges])

        return read

    def _all_rows(self, name: str) -> Tensor:
        if name not in self._rows:  # only what is read is kept
            field = self._sent[-1].read(name)
            self._rows[name] = field.new_empty(self._plan.num_rows, *field.shape[1:])
            for level, sent in enumerate(self._sent):
                self._write(name, level, sent)
        return self._rows[name]

    def _write(self, name: str, level: int, sent: Sent) -> None:
        self._rows[name][self._bounds[level] : self._bounds[level + 1]] = sent.read(name)

    @functools.cached_property
    def _bounds(self) -> list[int]:
        return self._plan.steps.row_bounds


Messages = Rounds | Levels | Rows


def messages_for(plan: Schedule, keeps_rows: bool = False) -> Messages:
    """How states reach their readers on this schedule.

    Args:
        plan: the schedule.
        keeps_rows: whether all states are kept anyway, and none needs a gradient.
    """
    if plan.mode == "sync":
        return Rounds(round_csr(plan))
    return Rows(plan) if keeps_rows and plan.cycles is None else Levels(plan)

"""How states reach the steps that read them."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..schedule import Paths, Schedule, Step
from ..structure.outside import outside
from .looked import Fetch
from .paths import send, send_and_sum

# What is done with a tensor that comes from elsewhere into a round.
Border = Callable[[Tensor], Tensor]


class Message:
    """What nodes show to their targets: their state, or what their cell makes of it when it is first read.

    Args:
        state: a State, or anything that has its fields.
        cell: whose `show` makes something else of it; None: it is shown as it is.
    """

    def __init__(self, state: Any, cell: Cell | None = None) -> None:
        self.state = state
        self._shows = () if cell is None or cell.Shown is None else cell.Shown._fields
        self._show = functools.cache(lambda: state if cell is None else cell.show(state))
        self._with_grad = torch.is_grad_enabled()

    def read(self, name: str) -> Tensor:
        """A field of the state."""
        if name in self.state._fields:
            return getattr(self.state, name)
        return self.read_shown(name)

    def read_shown(self, name: str) -> Tensor:
        """A field of what targets see."""
        if name not in self._shows:
            return getattr(self.state, name)
        with torch.set_grad_enabled(self._with_grad):  # it is kept, for readers that want gradients
            return getattr(self._show(), name)


class Rounds:
    """Sync mode: a step reads the round before. What comes along the edges can be summed without a row per edge."""

    def __init__(self, plan: Schedule, paths: Paths | None = None) -> None:
        self._paths = plan.paths if paths is None else paths

    @staticmethod
    def between(plan: Schedule, num_targets: int) -> Rounds:
        """A round to the first `num_targets` nodes from the others, whose numbers begin behind them."""
        cache = plan.structure.cache
        if "pair" not in cache:
            with outside():
                first = plan.first_edge[:num_targets]
                cache["pair"] = Paths(
                    plan.source - num_targets, plan.target, first, plan.num_nodes - num_targets
                )
        return Rounds(plan, cache["pair"])

    def send(self, level: int, message: Message) -> None:
        """For the next round."""
        self._message = message

    def receive(self, step: Step) -> Fetch:
        """What reads a field, `[E, ...]`."""
        message = self._message
        return lambda name: send(message.read_shown(name), self._paths)

    @property
    def total(self) -> Callable[[str, Tensor | None], Tensor]:
        """What sums a field, `[N, ...]`, with a weight per edge."""
        message = self._message
        return lambda name, weight: send_and_sum(message.read_shown(name), self._paths, weight)


class Levels:
    """Async mode: a new state goes at once to the steps that will read it, so that no row is touched in between.

    (Reading from one growing tensor instead would cost N for every level, there and back.)
    """

    total = None

    def __init__(self, plan: Schedule) -> None:
        self._plan = plan
        self._mail: dict[int, list[Fetch]] = defaultdict(list)

    def send(self, level: int, message: Message) -> None:
        """To all readers of a level: 0 are the given rows, k + 1 those of step k."""
        routes = self._plan.routes
        rows, is_whole = routes.row[routes.bounds[level] : routes.bounds[level + 1]], routes.is_whole[level]

        @functools.cache  # cut up once for all readers, and only what is read
        def parts(name: str) -> tuple[Tensor, ...]:
            field = message.read_shown(name)
            sent = field if is_whole else field.index_select(0, rows)
            return (sent,) if len(routes.counts[level]) == 1 else sent.split(routes.counts[level])

        for number, reader in enumerate(routes.readers[level]):
            if reader >= level:  # not those that the nodes have sent to themselves
                self._mail[reader].append(lambda name, number=number: parts(name)[number])
        self._last = message

    def receive(self, step: Step) -> Fetch:
        """What reads a field, `[e, ...]`."""
        return self._reader(step, self._mail.pop(step.number, []))

    def receive_in_rounds(self, step: Step) -> Callable[[Message, Border], Fetch]:
        """The same for nodes that depend on themselves: from their own message of the last round to what reads a field.

        What others have sent comes in across a border.
        """
        routes, level, mail = self._plan.routes, step.number + 1, self._mail.pop(step.number, [])
        first = routes.bounds[level]
        row = routes.row[first : first + routes.counts[level][0]]  # as a reader, their own step is the first

        def receive(own: Message, border: Border) -> Fetch:
            others = [_across(border, letter) for letter in mail]
            return self._reader(step, [*others, lambda name: own.read_shown(name).index_select(0, row)])

        return receive

    def _reader(self, step: Step, mail: list[Fetch]) -> Fetch:
        def read(name: str) -> Tensor:
            if not mail:
                return self._last.read_shown(name)[:0]
            routes = self._plan.routes
            rows = mail[0](name) if len(mail) == 1 else torch.cat([letter(name) for letter in mail])
            if not routes.is_sorted[step.number]:
                return rows.index_select(0, routes.arrival[step.edges])
            return rows.clone() if len(mail) == 1 else rows  # (the cell may write into it)

        return read


class Rows:
    """Async mode without gradients: new states stand in one tensor for each field, from which every inbox is a gather.

    For runs that keep all states. (With gradients each write would cost all rows on the way back.)
    """

    total = None

    def __init__(self, plan: Schedule) -> None:
        self._plan, self._bounds = plan, plan.steps.row_bounds
        self._sent: list[Message] = []
        self._rows: dict[str, Tensor] = {}

    def send(self, level: int, message: Message) -> None:
        """Level 0 are the given rows, k + 1 those of step k."""
        self._sent.append(message)
        for name in self._rows:
            self._write(name, level, message)

    def receive(self, step: Step) -> Fetch:
        """What reads a field, `[e, ...]`."""

        def read(name: str) -> Tensor:
            if name not in self._rows:  # only what is read is kept
                field = self._sent[-1].read_shown(name)
                self._rows[name] = field.new_empty(self._plan.num_rows, *field.shape[1:])
                for level, message in enumerate(self._sent):
                    self._write(name, level, message)
            return self._rows[name].index_select(0, self._plan.source[step.edges])

        return read

    def _write(self, name: str, level: int, message: Message) -> None:
        self._rows[name][self._bounds[level] : self._bounds[level + 1]] = message.read_shown(name)


def _across(border: Border, letter: Fetch) -> Fetch:
    return lambda name: border(letter(name))


Messages = Rounds | Levels | Rows

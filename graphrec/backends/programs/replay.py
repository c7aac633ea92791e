"""A recorded cell as a cell again: for derivatives of derivatives, which the loop takes, of the recorded tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ...cell import Cell, Inbox
from ...program.record import Record
from ...program.recording import Recording
from ...program.symbols import EDGE, Rows


class ReplayedCell(Cell):
    """The cell of a recording, with other values of its captured tensors.

    Args:
        recording: of the cell.
        cell: that was recorded, for what it declares.
        captured: the tensors.
    """

    def __init__(self, recording: Recording, cell: Cell, captured: list[Tensor]) -> None:
        super().__init__()
        self._recording, self._captured = recording, captured
        self._recorded = (cell,)  # (not a part of this one)

    @property
    def State(self) -> Any:
        """The State of the cell."""
        return self._recorded[0].State

    @property
    def Message(self) -> Any:
        """As in the cell."""
        return self._recorded[0].Message

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the cell."""
        return self._recorded[0].shapes()

    def project(self, x: Tensor) -> Tensor:
        """As recorded; in async mode a step does it."""
        if self._recording.project is None:
            return x
        return self._replay(self._recording.project, {"x": x})[0]

    def as_message(self, state: Any) -> Any:
        """As recorded."""
        if self._recording.message is None:
            return state
        read = _Fields(lambda name: getattr(state, name.partition(".")[2]))
        return self.Message(*self._replay(self._recording.message, read))

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """As recorded, kind by kind."""
        if not self._recording.has_kinds:
            return self._step((0, bool(inbox.num_edges)), x, inbox, own)
        parts = list(inbox.parts())
        sizes = [part.num_nodes for _, part in parts]
        owns = {name: getattr(own, name).split(sizes) for name in self.State._fields}
        states = []
        for number, ((kind, part), rows) in enumerate(zip(parts, x.split(sizes), strict=True)):
            mine = self.State(*(fields[number] for fields in owns.values()))
            states.append(self._step((kind, bool(part.num_edges)), rows, part, mine))
        return self.State(*map(torch.cat, zip(*states, strict=True)))

    def _step(self, sort: Any, x: Tensor, inbox: Inbox, own: Any) -> Any:
        steps = self._recording.steps
        record = steps.get(sort) or steps.get((sort[0], True)) or steps[sort[0], False]

        def read(name: str) -> Tensor:
            kind, _, of = name.partition(".")
            if kind == "sent":
                return getattr(inbox, of)
            if kind == "own":
                return getattr(own, of)
            return x if name in ("x", "projected") else getattr(inbox, name)

        return self.State(*self._replay(record, _Fields(read), inbox))

    def _replay(self, record: Record, given: Any, inbox: Inbox | None = None) -> list[Tensor]:
        made: list[Any] = []

        def read(value: Any) -> Any:
            if isinstance(value, str) and value[:1] == "%":
                return made[int(value[1:])]
            if isinstance(value, str) and value[:1] == "@":
                return self._captured[int(value[1:])]
            if isinstance(value, tuple):
                is_slice = len(value) == 4 and isinstance(value[0], str) and value[0] == "slice"
                return slice(*value[1:]) if is_slice else tuple(map(read, value))
            if isinstance(value, Rows):
                if inbox is None:  # (a message knows nodes alone, and has read a field of theirs before)
                    return made[0].shape[0]
                return inbox.num_edges if value.kind == EDGE else inbox.num_nodes
            return value

        for name, *rest in record.entries:
            if name == "input":
                made.append(given[rest[0]])
                continue
            args, kwargs = read(rest[0]), dict(read(rest[1])) if len(rest) > 1 else {}
            if args and isinstance(args[0], int | float):  # (torch's functions do not begin with a number)
                like = next(value for value in args if isinstance(value, Tensor))
                args = (torch.tensor(args[0], dtype=like.dtype, device=like.device), *args[1:])
            result = _function(name, inbox)(*args, **kwargs)
            made.extend(result if isinstance(result, tuple | list) else [result])
        return [made[int(number[1:])] for number in record.outputs]


class _Fields:
    """Reads by name."""

    def __init__(self, read: Callable[[str], Tensor]) -> None:
        self._read = read

    def __getitem__(self, name: str) -> Tensor:
        return self._read(name)


def _function(name: str, inbox: Inbox | None) -> Callable[..., Any]:
    """Torch's function, or the inbox's, of a recorded name."""
    if name.startswith("inbox."):
        method = {"sum": "sum_unmasked", "max": "_max", "by_relation": "sum_by_relation"}.get(
            name[6:], name[6:]
        )
        return cast(Callable[..., Any], getattr(inbox, method))
    if name == "getitem":
        return lambda rows, index: rows[index]
    if name in ("T", "mT"):
        return lambda rows: getattr(rows, name)
    # (Functions of F and methods take what a cell may have written; torch.reshape, say, takes no sizes one by one.)
    homes = (torch,) if name == "where" else (F, Tensor, torch, torch.special, torch._VF)
    for home in homes:
        if hasattr(home, name):
            return getattr(home, name)
    raise AttributeError(f"torch has no {name}.")

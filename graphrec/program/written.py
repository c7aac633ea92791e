"""A recorded cell as text, and back: so that a traced program carries the cell with it, into other processes, too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .record import Record
from .recording import Recording, Sort
from .symbols import ROWS, NotRecordable, Rows

# Raised with each change of what is written.
VERSION = 1


@dataclass(frozen=True)
class Written:
    """What a run needs beside its tensors.

    Attributes:
        steps, message, message_fields, project, has_kinds: as in `Recording`.
        mode, rounds: of the schedule.
        fields, shapes: of the state.
        initial: whose rows the initial state has: `"graph"`, `"node"`, `"any"` (their number tells), `"x"` (one row per
            node, made of x), or None: there is none.
        edges: the names of what edges carry.
        arity, relations: as in `Cell`.
        wanted: of each of the run's tensors, whether its gradient may be asked for.
        lasting: of each of them, whether it is the cell's own parameter. The memory of others may be used again before
            the reverse runs, which gets them computed anew.
        keeps: whether a run keeps what its reverse needs; if not, the reverse does the run again.
    """

    steps: dict[Sort, Record]
    message: Record | None
    message_fields: tuple[str, ...]
    project: Record | None
    has_kinds: bool
    mode: str
    rounds: int | None
    fields: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    initial: str | None
    edges: tuple[str, ...]
    arity: int | None
    relations: int | None
    wanted: tuple[bool, ...]
    lasting: tuple[bool, ...]
    keeps: bool

    def recording(self, captured: list[Tensor], key: str) -> Recording:
        """The recording, with these captured tensors."""
        steps, message, project = self.steps, self.message, self.project
        return Recording(
            steps, message, self.message_fields, project, tuple(captured), self.has_kinds, (key,)
        )


_RECORDS = ("message", "project")


def write(written: Written) -> str:
    """As text (JSON).

    Raises:
        NotRecordable: an argument that text cannot say.
    """
    said: dict[str, Any] = {"version": VERSION}
    for name, value in vars(written).items():
        if name == "steps":
            said[name] = [[_said(sort), _of_record(record)] for sort, record in value.items()]
        elif name in _RECORDS:
            said[name] = None if value is None else _of_record(value)
        else:
            said[name] = _said(value)
    return json.dumps(said, separators=(",", ":"))


def read(text: str) -> Written:
    """What was written.

    Raises:
        ValueError: by another version, or it is damaged.
    """
    try:
        said = json.loads(text)
        version = said.pop("version")
        if version == VERSION:
            return Written(**{name: _field(name, value) for name, value in said.items()})
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"the text of a program is damaged ({type(error).__name__}): trace, compile or export it again."
        ) from error
    raise ValueError(
        f"this program was written by another version of graphrec (format {version!s:.20}, not {VERSION}): trace, "
        f"compile or export it again."
    )


def _field(name: str, said: Any) -> Any:
    if name == "steps":
        return {_meant(sort): _record(record) for sort, record in said}
    if name in _RECORDS:
        return None if said is None else _record(said)
    return _meant(said)


def _of_record(record: Record) -> Any:
    return {"entries": _said(tuple(record.entries)), "outputs": list(record.outputs)}


def _record(said: Any) -> Record:
    record = object.__new__(Record)
    record.entries, record.outputs = list(_meant(said["entries"])), tuple(said["outputs"])
    return record


def _said(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_said(part) for part in value]
    if isinstance(value, Rows):
        return {"rows": value.kind}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if value is Ellipsis:
        return {"rest": 0}
    raise NotRecordable(f"an argument of type {type(value).__name__} cannot be written down")


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"torch has no dtype {name}")
    return found


def _meant(said: Any) -> Any:
    if isinstance(said, list):
        return tuple(map(_meant, said))
    if isinstance(said, dict):
        ((kind, value),) = said.items()
        return {"rows": ROWS.__getitem__, "dtype": _dtype, "rest": lambda _: Ellipsis}[kind](value)
    return said

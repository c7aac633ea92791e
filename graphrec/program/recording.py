"""A cell on a schedule, recorded: one call of its methods for each kind of program that a run needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from ..cell import OF_EDGES, Own
from ..engine.validate import Context
from ..schedule import DeferredSchedule, Schedule, parts
from ..schedule.derived import derived
from .inbox import RecordedInbox
from .purity import Traces, check_pure
from .record import Captured, Record
from .symbols import EDGE, NODE, NotRecordable, Symbol

_GATES = {"sigmoid", "gru_cell", "lstm_cell"}

# Of a step's nodes: their kind, and whether any edge enters them.
Sort = tuple[int, bool]


@derived
def sorts(plan: Schedule) -> list[list[tuple[Sort, slice, slice]]]:
    """For each level what it consists of: the sort of some nodes, their positions and their inbox edges.

    Without kinds, or for a cell that has none, these are whole levels: kind 0.
    """
    return [[((0, step.edges.stop > step.edges.start), step.nodes, step.edges)] for step in plan.levels]


@derived
def sorts_by_kind(plan: Schedule) -> list[list[tuple[Sort, slice, slice]]]:
    """The same for cells that have kinds."""
    found = []
    for step, of_step in zip(plan.levels, parts(plan), strict=True):
        node, edge = step.nodes.start, step.edges.start
        found.append(
            [
                (
                    (part.kind, part.edges.stop > part.edges.start),
                    slice(node + part.nodes.start, node + part.nodes.stop),
                    slice(edge + part.edges.start, edge + part.edges.stop),
                )
                for part in of_step
            ]
        )
    return found


@derived
def sorts_within(plan: Schedule) -> frozenset[Sort]:
    """The sorts of all its nodes."""
    return frozenset(_sorts_of((sorts if plan.structure.kind is None else sorts_by_kind)(plan)))


def _sorts_of(levels: list[list[tuple[Sort, slice, slice]]]) -> set[Sort]:
    return {sort for level in levels for sort, _, _ in level}


def _all_sorts(kinds: int | None) -> set[Sort]:
    if kinds is None:
        raise NotRecordable("the cell does not say how many kinds of nodes it has equations for (`kinds`)")
    return {(kind, has_edges) for kind in range(kinds) for has_edges in (True, False)}


@dataclass(frozen=True)
class Recording:
    """What a cell does in a run.

    Attributes:
        steps: the new state from x and the inbox, by sort of nodes. `projects` of it is x itself in async mode.
        message, message_fields: what nodes send, from their state, and its fields; None: the state.
        project: what a cell makes of x once, where rounds read it again and again; None: a step does it.
        captured: the tensors of the cell's own that are read.
        has_kinds: whether nodes of different kinds have different programs.
        key: equal for equal programs.
    """

    steps: dict[Sort, Record]
    message: Record | None
    message_fields: tuple[str, ...]
    project: Record | None
    captured: tuple[Tensor, ...]
    has_kinds: bool
    key: tuple[Any, ...]

    @property
    def has_gates(self) -> bool:
        """Whether a step has gates, which are many operations on the same rows."""
        return any(entry[0] in _GATES for step in self.steps.values() for entry in step.entries)


def record_cell(run: Context, x: Tensor, initial: Sequence[Tensor]) -> Recording:
    """Record a cell.

    Args:
        run, x: the run and its input.
        initial: the fields of the initial state, or nothing.

    Raises:
        NotRecordable: it does what no program can say; nothing of it has happened then.
    """
    check_pure(run.cell)
    modules = list(run.cell.modules())
    _check_modules(modules)
    traces = Traces(run.cell, modules)
    try:
        made = _Recorder(run, x, initial).recording()
        # (What a cell counts outside its attributes shows in a second call alone.)
        is_constant = not traces.is_first or _Recorder(run, x, initial).recording().key == made.key
    except NotRecordable:
        traces.remove()
        raise
    except Exception as error:  # whatever it is, the loop says it better
        traces.remove()
        raise NotRecordable(f"{type(error).__name__}: {error}") from None
    traces.check(is_constant)
    return made


def _check_modules(modules: list[nn.Module]) -> None:
    for module in modules:
        hooks = (module._forward_hooks, module._forward_pre_hooks)
        if any((*hooks, module._backward_hooks, module._backward_pre_hooks)):
            raise NotRecordable(f"a hook on {type(module).__name__}")
        if isinstance(module, torch.jit.ScriptModule):
            raise NotRecordable(f"{type(module).__name__} is compiled already")
    hooks = (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks)
    if any((*hooks, torch_module._global_backward_hooks, torch_module._global_backward_pre_hooks)):
        raise NotRecordable("a hook on all modules")


class _Recorder:
    def __init__(self, run: Context, x: Tensor, initial: Sequence[Tensor]) -> None:
        self.run, self.x, self.has_initial = run, x, bool(initial)
        self.before = {
            name: tuple(map(int, rows.shape[1:])) for name, rows in zip(run.fields, initial, strict=False)
        }
        self.is_sync = run.plan.mode == "sync"
        self.captured = Captured()
        self.message_shapes: dict[str, tuple[int, ...]] = {}

    def recording(self) -> Recording:
        plan = self.run.plan
        message = self._record(self._message) if self.run.cell.Message is not None else None
        project = self._record(self._project) if self.is_sync else None
        steps: dict[Sort, Record] = {}
        if isinstance(plan, DeferredSchedule):  # any sort may be among the nodes
            kind, wanted = 0, _all_sorts(1)
        else:
            first = plan.structure.kind
            kind = int(first[0]) if first is not None and len(first) else 0
            wanted = _sorts_of(sorts(plan))
        record = self._record(lambda r: self._step(r, kind))
        has_kinds = record.reads_kinds
        if has_kinds:
            is_deferred = isinstance(plan, DeferredSchedule)
            wanted = _all_sorts(self.run.cell.kinds) if is_deferred else _sorts_of(sorts_by_kind(plan))
        made = {kind: record}
        for of_kind, has_edges in sorted(wanted):
            which = of_kind if has_kinds else kind
            if which not in made:
                made[which] = self._record(lambda r, which=which: self._step(r, which))
            steps[of_kind, has_edges] = made[which]
            if not has_edges and EDGE in made[which].asked:
                steps[of_kind, False] = self._record(
                    lambda r, which=which: self._step(r, which), has_edges=False
                )
        fields = () if message is None else tuple(self.message_shapes)
        key = (
            self.is_sync,
            fields,
            self.run.fields,
            tuple(map(tuple, self.run.shapes)),
            has_kinds,
            self.run.dtype,
            tuple(self.before.items()),
            self.run.cell.hidden if hasattr(self.run.cell, "hidden") else 0,
            tuple((sort, record.key()) for sort, record in steps.items()),
            None if message is None else message.key(),
            None if project is None else project.key(),
            self.captured.key(),
        )
        return Recording(steps, message, fields, project, tuple(self.captured.tensors), has_kinds, key)

    def _record(self, what: Callable[[Record], None], has_edges: bool = True) -> Record:
        record = Record(self.captured, self.run.dtype, self.x.device, has_edges)
        what(record)
        if record.refusal is not None:  # the cell has caught it, and did something else then
            raise record.refusal
        if record.alive:
            raise NotRecordable("the cell keeps a tensor that it computes")
        return record

    def _project(self, record: Record) -> None:
        rows = self.run.cell.project(self._x(record))
        record.end([_symbol(rows, "project")])
        self.projected = rows.columns.array.shape  # type: ignore[attr-defined]

    def _x(self, record: Record) -> Any:
        return record.input("x", NODE, self.x.shape[1:])

    def _message(self, record: Record) -> None:
        run = self.run
        state = Own(run.fields, lambda name: record.input(f"state.{name}", NODE, self._shape(name)))  # type: ignore[arg-type, return-value]
        sent = run.cell.as_message(state)
        fields = [_symbol(getattr(sent, name), "as_message") for name in run.cell.Message._fields]
        self.message_shapes = {
            name: field.columns.array.shape
            for name, field in zip(run.cell.Message._fields, fields, strict=True)
        }
        record.end(fields)

    def _step(self, record: Record, kind: int) -> None:
        run = self.run
        if self.is_sync:
            x: Any = record.input("projected", NODE, self.projected)
        else:
            x = _symbol(run.cell.project(self._x(record)), "project")

        def look(name: str) -> Any:
            if name in OF_EDGES:
                if name not in run.of_edges:
                    raise ValueError(f"the structure has no {name}.")
                return record.input(name, EDGE, run.of_edges[name].shape[1:])
            return record.input(f"sent.{name}", EDGE, self._sent_shape(name))

        inbox = RecordedInbox(record, run.plan, run.message_fields, look, x, kind)
        state = run.cell(x, inbox, self._own(record))
        del inbox
        if getattr(state, "_fields", None) != run.fields:
            raise NotRecordable("forward does not return a State")
        outputs = [_symbol(field, "forward") for field in state]
        for name, shape, field in zip(run.fields, run.shapes, outputs, strict=True):
            if field.columns.rows != NODE or field.columns.array.shape != tuple(shape):
                raise NotRecordable(f"forward returns {name} of another shape")
        record.end(outputs)

    def _own(self, record: Record) -> Own:
        run = self.run

        def of_state(name: str) -> Any:
            if self.has_initial or self.is_sync:
                return record.input(f"own.{name}", NODE, self._shape(name))
            zero = record.input("x", NODE, self.x.shape[1:])
            return zero.new_zeros(record.rows[NODE], *self._shape(name))

        sent: list[Any] = []

        def look(name: str) -> Any:
            if name in run.fields:
                return of_state(name)
            if self.is_sync:
                return record.input(f"own.{name}", NODE, self._sent_shape(name))
            if not sent:
                sent.append(run.cell.as_message(Own(run.fields, of_state)))
            return getattr(sent[0], name)

        return Own(run.own_fields, look)

    def _shape(self, name: str) -> tuple[int, ...]:
        """Of a field of the state that is read: in a round from x, it may have another width than the new one."""
        if name in self.before:
            return self.before[name]
        return tuple(self.run.shapes[self.run.fields.index(name)])

    def _sent_shape(self, name: str) -> tuple[int, ...]:
        return self.message_shapes[name] if name in self.message_shapes else self._shape(name)


def _symbol(value: Any, where: str) -> Symbol:
    if not isinstance(value, Symbol):
        raise NotRecordable(f"{where} returns no tensor that depends on its arguments")
    return value

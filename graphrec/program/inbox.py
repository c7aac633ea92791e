"""What a cell sees while it is recorded: the same inbox, of symbols."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..cell import Inbox, _OneEach
from ..schedule import DeferredSchedule, Schedule, Step, is_loop, parts, slot_fault
from .record import Record
from .symbols import EDGE, NODE, NotRecordable, Symbol


class RecordedInbox(Inbox):
    """The inbox of all nodes of a kind; what it does with rows is written down.

    Args:
        record: where.
        plan: the schedule, whose features the cell may ask for.
        fields: the names of what sources send.
        fetch: reads them, and the edges' own.
        like: a symbol of nodes.
        kind: of the nodes.
    """

    num_nodes: Any
    num_edges: Any

    def __init__(
        self, record: Record, plan: Schedule, fields: tuple[str, ...], fetch: Any, like: Symbol, kind: int
    ):
        rows = record.rows
        step = Step(0, slice(0, rows[NODE]), slice(0, rows[EDGE]), None)
        super().__init__(plan, step, fields, fetch, like)  # type: ignore[arg-type]
        self._record, self._kind = record, kind
        self.num_nodes, self.num_edges = rows[NODE], rows[EDGE]

    def _call(self, name: str, *args: Any) -> Symbol:
        return self._record.call_named(f"inbox.{name}", args, {})

    def _input(self, name: str, rows: str, dtype: torch.dtype = torch.long) -> Symbol:
        return self._record.input(name, rows, (), dtype)

    @property
    def target(self) -> Any:
        raise NotRecordable("the numbers of targets are read")

    @property
    def slot(self) -> Any:
        return self._input("slot", EDGE)

    @property
    def degree(self) -> Any:
        return self._input("degree", NODE)

    @property
    def is_loop(self) -> Any:
        may_be = isinstance(self._plan, DeferredSchedule) or is_loop(self._plan) is not None
        return self._input("is_loop", EDGE, torch.bool) if may_be else None

    @property
    def relation(self) -> Any:
        if self._plan.relation is None:
            raise ValueError("the structure has no relations.")
        return self._input("relation", EDGE)

    def sum_unmasked(self, values: Any) -> Any:
        return self._call("sum", values)

    def _max(self, values: Any) -> Any:
        return self._call("max", values)

    def _softmax_at_once(self, scores: Any, own: Any) -> None:
        return None  # programs have its parts

    @property
    def _is_empty(self) -> bool:
        return False  # where it is, its sums are zeros that simplify themselves

    def sum_by_relation(self, values: Any, count: int) -> Any:
        _ = self.relation
        return self._call("by_relation", values, count)

    def by_slot(self, values: Any, count: int) -> Any:
        if self._num_slots > count or not self._distinct_slots:
            raise ValueError(slot_fault(self._plan, count))
        return self._call("by_slot", values, count)

    def to_edges(self, values: Any) -> Any:
        return self._call("to_edges", values)

    def parts(self) -> Iterator[tuple[int, Inbox]]:
        """The one kind that is recorded."""
        self._record.reads_kinds = True
        other = self._copy()
        is_deferred = isinstance(self._plan, DeferredSchedule)
        mine = [
            part
            for level in ([] if is_deferred else parts(self._plan))
            for part in level
            if part.kind == self._kind
        ]
        other._num_slots = max((part.num_slots for part in mine), default=0)
        other._distinct_slots = all(part.distinct_slots for part in mine)
        yield self._kind, other

    def of_slot(self, slot: int, count: int) -> Inbox:
        def fetch(name: str) -> Any:
            return self.by_slot(getattr(self, name), count)[:, slot]

        one_each = self._step._replace(edges=slice(0, self.num_nodes), degree=1)
        return _OneEach(self._plan, one_each, self._of_sources, fetch, self._like)

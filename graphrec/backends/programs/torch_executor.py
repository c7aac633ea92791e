"""The executor in PyTorch: a program level by level, with the gradients of weights as one product each at the end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...program.compile import CellProgram
from ...program.recording import Sort
from ...program.symbols import EDGE
from ...schedule import Schedule, degree, is_loop
from .levels import Level, Levels, levels, levels_by_kind
from .torch_instructions import AFTER, BEFORE, FORWARD, REVERSE, Span
from .torch_program import TorchProgram
from .torch_rows import PartRun, columns
from .torch_steps import Bound

_BACK = ("back.", "edge.")


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's garbage collector looks at all objects again and again while so many views are made at once."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class TorchExecution:
    """One run of a program; its memory lives as long as it does.

    Args:
        prepared: the program.
        plan: the schedule.
        inputs: x, the initial state, edges' features: by name, by position or by inbox edge, two-dimensional.
        captured: the captured tensors, flat.
        like: a tensor of the rows' type.
    """

    prepared: TorchProgram
    plan: Schedule
    captured: list[Tensor]
    like: Tensor
    project: PartRun | None
    boundary: PartRun | None

    def __init__(
        self,
        prepared: TorchProgram,
        plan: Schedule,
        inputs: dict[str, Tensor],
        captured: list[Tensor],
        like: Tensor,
    ) -> None:
        self.prepared, self.plan = prepared, plan
        self.program: CellProgram = prepared.program
        self.captured, self.like = captured, like
        self.rows: dict[str, Tensor] = dict(inputs)
        self.is_sync: bool = self.program.is_sync
        self.rounds: int = plan.rounds or 1
        self.offset: int = 0 if self.is_sync else plan.boundary.shape[0]
        self.layout: Levels = (levels_by_kind if self.program.has_kinds else levels)(plan)
        self.blocks: dict[tuple[str, int], Tensor] = {}  # the memory of rounds
        self.gradients: dict[int, Tensor] = {}
        self._numbers: dict[float, Tensor] = {}
        self.parts: dict[Sort, PartRun] = {sort: self._part(sort) for sort in self.layout.of_sort}

    def _part(self, sort: Any) -> PartRun:
        layout, numbers = self.layout, self.layout.of_sort[sort]
        made = [layout.steps[number][1] for number in numbers]
        if self.is_sync:
            made, numbers = made * self.rounds, list(range(self.rounds))
        return PartRun(self, self.prepared.parts[sort], made, numbers, layout.whole[sort])

    def _alone(self, code: Any, level: Level, given: dict[str, Tensor] | None = None) -> PartRun:
        """A part whose rows are no level's."""
        return PartRun(self, code, [level], None, level, given)

    # -------------------------------------------------------------------------------------------- forwards

    def forward(self, initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory `state.*` of all nodes, `[N, w]`, from that of the boundary rows."""
        prepared, layout = self.prepared, self.layout
        self.project = self.boundary = None
        if prepared.project is not None:
            self.project = self._alone(prepared.project, layout.everything)
            Bound(self.project, FORWARD).run_all()
        if layout.boundary.num_nodes:
            self.boundary = self._alone(prepared.boundary, layout.boundary, initial)
            Bound(self.boundary, FORWARD).run_all()
        for part in self.parts.values():
            Bound(part, BEFORE).run_all()
        for steps, j in self._in_order(FORWARD):
            for step in steps:
                step(j)
        names = [name for name in self.program.widths if name.startswith("state.")]
        if self.is_sync:
            return {name: self.block(name, self.rounds) for name in names}
        return {name: self.rows[name][self.offset :] for name in names}

    def _in_order(self, phase: int) -> list[tuple[list[Any], int]]:
        """The instructions of every level, and which of its part's it is."""
        with _collector_paused():
            bound = {sort: Bound(part, phase) for sort, part in self.parts.items()}
        if self.is_sync:
            return [(bound[sort].steps, j) for j in range(self.rounds) for sort, _ in self.layout.steps]
        next_of = dict.fromkeys(bound, 0)
        made = []
        for sort, _ in self.layout.steps:
            made.append((bound[sort].steps, next_of[sort]))
            next_of[sort] += 1
        return made

    # -------------------------------------------------------------------------------------------- in reverse

    is_spent = False  # (a reverse writes into nothing that it has read)
    is_written_into = False  # (what the caller is given is a copy)

    def backward(self, grads: dict[str, Tensor], initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory `d.*`, and the gradients of captured tensors, `captured.0`, …, from those of the state."""
        self.gradients = {}
        self.blocks = {key: rows for key, rows in self.blocks.items() if not key[0].startswith(_BACK)}
        self.rows = {
            name: rows for name, rows in self.rows.items() if not name.startswith(("d.", "grad.", "edge."))
        }
        for name, rows in grads.items():
            if self.is_sync:
                self.blocks[f"back.{name}", self.rounds] = rows.contiguous()
            else:
                self.rows[f"grad.{name}"] = rows.contiguous()
        for steps, j in reversed(self._in_order(REVERSE)):
            for step in steps:
                step(j)
        for part in self.parts.values():
            if part.code.last == AFTER:
                Bound(part, AFTER).run_all()
        for part in (self.boundary, self.project):
            if part is not None:
                Bound(part, REVERSE).run_all()
                if part.code.last == AFTER:
                    Bound(part, AFTER).run_all()
        if self.boundary is None:
            for name in self.prepared.boundary.part.reverse_stores:
                self.tensor(name)
        found = {name: rows for name, rows in self.rows.items() if name.startswith("d.")}
        for name in self.program.widths:
            if name.startswith("d.") and name not in found:
                found[name] = self.tensor(name)
        return found | {f"captured.{number}": rows for number, rows in self.gradients.items()}

    def gradients_of(self, captured: int) -> list[Tensor]:
        """The gradient of a captured tensor so far, where that stands among them."""
        if captured not in self.gradients:
            self.gradients[captured] = torch.zeros_like(self.captured[captured])
        return [self.gradients.get(number, rows) for number, rows in enumerate(self.captured)]

    # -------------------------------------------------------------------------------------------- memory

    @staticmethod
    def is_of_states(name: str) -> bool:
        """Whether memory that a part writes begins with the rows of the boundary."""
        return not name.startswith(("d.", "factor.", *_BACK))

    def number(self, value: float) -> Tensor:
        """As an operand."""
        if value not in self._numbers:
            self._numbers[value] = self.like.new_full((), value)
        return self._numbers[value]

    def tensor(self, name: str) -> Tensor:
        """Memory that all levels share, by name."""
        if name not in self.rows:
            self.rows[name] = self._numbers_of_edges(name) if name in _NUMBERS else self._new(name)
        return self.rows[name]

    def _new(self, name: str, block: int = 1) -> Tensor:
        plan, width = self.plan, self.prepared.widths[name]
        is_of_edges = name in self.prepared.edge_rows
        if name.startswith("edge."):
            rows = self.like.new_empty((plan.num_edges if is_of_edges else plan.num_nodes) + 1, width)
            rows[-1] = 0
            return rows
        if name.startswith("factor."):
            return self.like.new_empty(plan.num_edges, width)
        if name.startswith("d.initial.") or (self.is_sync and not block):
            return self.like.new_empty(plan.boundary.shape[0], width)
        if name.startswith("d."):
            return self.like.new_zeros(plan.num_edges if is_of_edges else plan.num_nodes, width)
        return self.like.new_empty(self.offset + plan.num_nodes, width)

    def _numbers_of_edges(self, name: str) -> Tensor:
        """Whole numbers that the schedule knows, as rows."""
        made = _NUMBERS[name](self.plan)
        return made.to(self.like.dtype).unsqueeze(1)

    def block(self, name: str, number: int) -> Tensor:
        """The memory of one round: the state after that many of them, or what comes back to it."""
        is_back = name.startswith(_BACK)
        if (is_back and number < self.rounds) or (
            not is_back and number and not self.program.wanted.anything
        ):
            number = -1 - number % 2  # two are enough
        if (name, number) not in self.blocks:
            rows = self._new(name, number)
            is_nothing = name.startswith("back.") and number == self.rounds
            self.blocks[name, number] = rows.zero_() if is_nothing else rows
        return self.blocks[name, number]

    def _in_round(self, name: str, j: int, is_store: bool) -> Tensor:
        if name.startswith(_BACK):
            return self.block(name, j if is_store else j + 1)
        if is_store and not name.startswith("d."):
            return self.block(name, j + 1)
        return self.tensor(name)

    def memory(
        self, name: str, rows: str, part: PartRun, of: list[Level], stored: Span | None = None
    ) -> list[Tensor]:
        """The rows of memory of each level; of what is stored, some columns."""
        is_state = stored is not None and self.is_of_states(name)

        def index(level: Level) -> Any:
            return level.edges if rows == EDGE else level.rows if is_state else level.nodes

        def cut(tensor: Tensor) -> Tensor:
            return tensor if stored is None else columns(tensor, stored)

        if self.is_sync and (part.numbers is not None or part is self.boundary):
            first = -1 if part.numbers is None else 0
            found = [self._in_round(name, first + j, stored is not None) for j in range(len(of))]
            return [cut(tensor)[index(level)] for tensor, level in zip(found, of, strict=True)]
        tensor = cut(self.tensor(name))
        if len(of) == 1:
            (level,) = of
            return [tensor[index(level)]]
        assert part.numbers is not None
        start = self.offset if is_state else 0
        every = [level for _, level in self.layout.steps]
        sizes = [level.num_edges if rows == EDGE else level.num_nodes for level in every]
        cuts = tensor[start : start + sum(sizes)].split_with_sizes(sizes)
        return [cuts[number] for number in part.numbers]

    def sent(self, name: str, part: PartRun, count: int) -> list[Tensor]:
        """The memory that each level's edges lead from."""
        if self.is_sync:
            return [self.block(name, j) for j in range(count)]
        return [self.tensor(name)] * count

    def come_back(self, name: str, part: PartRun, count: int) -> list[Tensor]:
        """The memory that each level's gradients come from."""
        if self.is_sync:
            first = (0 if part is self.boundary else 1) + name.startswith("factor.")
            return [self.block(name, min(first + j, self.rounds)) for j in range(count)]
        return [self.tensor(name)] * count

    def is_last_round(self, part: PartRun, j: int) -> bool:
        """Whether nothing has come back yet."""
        return self.is_sync and part is not self.boundary and j == self.rounds - 1


_NUMBERS = {
    "degree": degree,
    "is_loop": is_loop,
    "slot": lambda plan: plan.slot,
    "relation": lambda plan: plan.relation,
}

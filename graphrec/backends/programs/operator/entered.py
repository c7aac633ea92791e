"""A run while a program is traced: the cell is recorded, and the operator that runs it is entered."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from ....cell import Cell
from ....cells.edges import check_features
from ....engine.initial import Initial, initial_fields
from ....engine.validate import Context, check_runnable, check_width_is_kept, check_x, initial_of_x
from ....program.recording import record_cell
from ....program.written import Written, write
from ....schedule import DeferredSchedule, Sinks
from ....structure.outside import is_autocast, is_exporting, may_need_grad
from ....structure.traced import TracedStructure
from ...request import Request
from ...runner import Runner
from .runs import PARTS, programs, wanted_of


class OperatorRun(Runner):
    """A run over a structure that is an input of the program."""

    program: str
    rows: list[Tensor]

    name: ClassVar[str] = "operator"
    about = "recorded cells in programs that torch compiles or exports"

    def __init__(
        self, run: Context, x: Tensor, initial: list[Tensor], program: str, rows: list[Tensor]
    ) -> None:
        super().__init__(run, x, initial)
        self.program, self.rows = program, rows

    @classmethod
    def of(cls, cell: Cell, plan: DeferredSchedule, x: Tensor, initial: Any) -> OperatorRun:
        """Arguments as in `graphrec.run`.

        Raises:
            NotRecordable: the cell does what no program can say.
            ValueError, TypeError: as `graphrec.run`, as far as shapes tell; what else programs do not run.
        """
        check_runnable(cell, plan)
        check_x(cell, plan, x)
        if is_autocast(x.device):
            raise ValueError("autocast is on, under which the loop alone runs.")
        check_features(cell, plan.structure)
        if cell.kinds is None:  # (who has which is checked when the program runs)
            cell.check(plan.structure)
        whose, fields = _initial(cell, plan, x, initial)
        each_its_own = whose in ("x", "node") or (whose == "any" and fields[0].shape[0] == plan.num_nodes)
        context = Context(cell, plan, None, x.dtype, each_its_own)
        recording = record_cell(context, x, fields)
        rows = [x, *fields, *context.of_edges.values(), *recording.captured]
        for row in rows:
            if row.dtype != x.dtype:
                raise TypeError(f"x is {x.dtype}, but there is {row.dtype} among state, edges and weights.")
        # (What is exported is for inference, most of the time, but who trains it may do so with regard to anything.)
        is_exported = is_exporting()
        wanted = tuple(is_exported or (torch.is_grad_enabled() and may_need_grad(row)) for row in rows)
        own = set(map(id, cell.parameters()))
        written = Written(
            steps=recording.steps,
            message=recording.message,
            message_fields=recording.message_fields,
            project=recording.project,
            has_kinds=recording.has_kinds,
            mode=plan.mode,
            rounds=plan.rounds,
            fields=context.fields,
            shapes=tuple(map(tuple, context.shapes)),
            initial=whose,
            edges=tuple(context.of_edges),
            arity=cell.arity,
            relations=cell.relations,
            wanted=wanted,
            lasting=tuple(id(row) in own for row in rows),
            keeps=any(wanted) and not is_exported,
        )
        programs(
            Request(context, x, fields),
            recording,
            wanted_of(wanted, context.fields[: len(fields)], written.edges),
        )
        return cls(context, x, fields, write(written), rows)

    @property
    def _structure(self) -> TracedStructure:
        return cast(TracedStructure, self.plan.structure)

    @property
    def sinks(self) -> Sinks:
        """Which there are is found when the program runs, and so is whether each graph has one."""
        s = self._structure
        node = torch.ops.graphrec.sinks(s.given.edge_index, s.graph, s.num_nodes, s.num_graphs, s.backward)
        return Sinks(node, False, -1)

    def state(self) -> tuple[Tensor, ...]:
        """All fields."""
        s, shapes = self._structure, self.run.shapes
        parts = [getattr(s.given, name) for name in PARTS]
        state, _ = torch.ops.graphrec.run(self.program, self.rows, *parts, s.num_graphs, s.backward)
        fields = state.split([prod(shape) for shape in shapes], 1)
        return tuple(
            field.reshape(field.shape[0], *shape) for field, shape in zip(fields, shapes, strict=True)
        )


def _initial(cell: Cell, plan: DeferredSchedule, x: Tensor, initial: Any) -> tuple[str | None, list[Tensor]]:
    """Whose rows the initial state has, see `Written`, and its fields."""
    of_x = cell.initial_from_x(x, plan.structure)
    if initial is None:
        return (None, []) if of_x is None else ("x", initial_of_x(cell, plan, of_x))
    if cell.begins_with_x:
        check_width_is_kept(cell, of_x)
    fields, names = initial_fields(initial), cell.State._fields
    if len(fields) != len(names) or not all(isinstance(field, Tensor) for field in fields):
        raise ValueError(f"the initial state must have the fields of the cell's State ({', '.join(names)}).")
    return (initial.rows if isinstance(initial, Initial) else "any"), fields

"""Runs by programs: a cell is recorded, its programs looked up or compiled, and an executor does the work."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from ...engine.boundary import as_numbered, gather_edges
from ...engine.validate import Context
from ...operators import is_plain_only, move
from ...program.compile import CellProgram, Wanted, compile_cell
from ...program.recording import record_cell
from ...program.symbols import NotRecordable
from ..runner import Runner
from .torch_executor import TorchExecution

# Programs by what was recorded.
_PROGRAMS: OrderedDict[Any, Any] = OrderedDict()
_MOST = 512


class Programs(Runner):
    """A run of a recorded cell."""

    name = "torch_programs"

    def __init__(self, run: Context, x: Tensor, initial: list[Tensor]) -> None:
        super().__init__(run, x, initial)
        self.recording = record_cell(run, x, initial)
        self.tensors = self._tensors()
        self.wanted = self._wanted()
        self.prepared = self._prepared()

    @staticmethod
    def refuses(run: Context, x: Tensor, initial: list[Tensor]) -> str | None:
        """Why not, before anything is recorded."""
        plan = run.plan
        if plan.edge_mask is not None:
            return "messages are masked"
        if plan.cycles is not None or plan.sweeps is not None:
            return "it runs more than once, or in a given order"
        if not plan.num_nodes:
            return "there are no nodes"
        if is_plain_only(x):
            return "a transform of torch.func, a forward-mode derivative, or an input without values"
        if torch.is_autocast_enabled(x.device.type):
            return "autocast is on"
        for tensor in (x, *initial, *run.of_edges.values()):
            if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.dtype != x.dtype:
                return f"there is a {type(tensor).__name__} of {tensor.dtype} among x, state and edges"
        return None

    def state(self) -> tuple[Tensor, ...]:
        """All fields."""
        rows = _Run.apply(self, *self.tensors.values(), *self.recording.captured)
        shapes = zip(rows, self.run.shapes, strict=True)
        return tuple(as_numbered(self.plan, field.reshape(-1, *shape)) for field, shape in shapes)

    def _tensors(self) -> dict[str, Tensor]:
        """What the run provides, two-dimensional: x, the initial state of nodes and of boundary rows, edges."""
        run, plan, x = self.run, self.plan, self.x
        found = {"x": x if plan.is_identity else move(x, plan.perm, plan.inv_perm)}
        is_sync = plan.mode == "sync"
        for name, shape, number in zip(run.fields, run.shapes, range(len(run.fields)), strict=True):
            if not self.initial:
                found[f"boundary.{name}"] = x.new_zeros(plan.boundary.shape[0], *shape)
                continue
            assert run.initial_row is not None
            field = self.initial[number]
            found[f"boundary.{name}"] = field.index_select(0, run.initial_row[plan.boundary])
            if not is_sync:
                found[f"own.{name}"] = field.index_select(0, run.initial_row[plan.perm])
        for name in run.of_edges:
            found[name] = gather_edges(run.of_edges, name, plan.edge)
        return {name: rows.reshape(rows.shape[0], rows.shape[1:].numel()) for name, rows in found.items()}

    def _wanted(self) -> Wanted:
        if not torch.is_grad_enabled():
            return Wanted(False, False, (), tuple(False for _ in self.recording.captured))
        needs = {name: rows.requires_grad for name, rows in self.tensors.items()}
        return Wanted(
            needs["x"],
            any(need for name, need in needs.items() if name.startswith(("boundary.", "own."))),
            tuple(name for name in ("edge_attr", "edge_weight") if needs.get(name)),
            tuple(tensor.requires_grad for tensor in self.recording.captured),
        )

    @staticmethod
    def prepare(program: CellProgram) -> Any:
        """What the executor makes of a program once."""
        return program

    @property
    def program(self) -> CellProgram:
        """The cell's."""
        return self.prepared

    def _prepared(self) -> Any:
        run, recording = self.run, self.recording
        x_shape = tuple(self.x.shape[1:])
        key = (self.name, recording.key, self.wanted, x_shape)
        found = _PROGRAMS.get(key)
        if found is None:
            fields = dict(zip(run.fields, map(tuple, run.shapes), strict=True))
            before = dict(zip(run.fields, (tuple(rows.shape[1:]) for rows in self.initial), strict=False))
            try:
                found = self.prepare(
                    compile_cell(
                        recording, self.wanted, fields, before, x_shape, dtype=run.dtype, grain=_grain(fields)
                    )
                )
            except NotRecordable as reason:
                found = reason
            _PROGRAMS[key] = found
            while len(_PROGRAMS) > _MOST:
                _PROGRAMS.popitem(last=False)
        if isinstance(found, NotRecordable):
            raise found
        return found

    def boundary_rows(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory of the rows whose state is given."""
        given = [name for name in self.program.boundary.stores if name.startswith(("state.", "first."))]
        return {name: tensors[f"boundary.{name.partition('.')[2]}"] for name in given}

    def execution(self, tensors: list[Tensor], captured: list[Tensor]) -> Any:
        """What runs it once."""
        inputs = dict(zip(self.tensors, tensors, strict=True))
        return TorchExecution(self.program, self.plan, inputs, captured, tensors[0])


def _grain(fields: dict[str, tuple[int, ...]]) -> int | None:
    widths = {shape[0] for shape in fields.values() if len(shape) == 1}
    return min(widths) if widths else None


class _Run(torch.autograd.Function):
    """The fields of the state, `[N, w]` by position, from the run's tensors and the captured ones."""

    @staticmethod
    def forward(ctx: Any, runner: Programs, *given: Tensor) -> tuple[Tensor, ...]:
        """Forwards."""
        count = len(runner.tensors)
        tensors = [rows.detach() for rows in given[:count]]
        captured = [tensor.detach().contiguous().view(-1) for tensor in given[count:]]
        ctx.runner, ctx.execution = runner, runner.execution(tensors, captured)
        ctx.save_for_backward(*given)
        ctx.set_materialize_grads(False)
        boundary = runner.boundary_rows(dict(zip(runner.tensors, tensors, strict=True)))
        made = ctx.execution.forward(boundary)
        return tuple(made[f"state.{name}"] for name in runner.run.fields)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """In reverse."""
        runner = ctx.runner
        given = ctx.saved_tensors
        names = runner.run.fields
        upstream = {}
        for name, grad in zip(names, grads, strict=True):
            width = runner.program.widths[f"state.{name}"]
            upstream[f"state.{name}"] = (
                given[0].new_zeros(runner.plan.num_nodes, width) if grad is None else grad
            )
        inputs = dict(zip(runner.tensors, given, strict=False))
        found = ctx.execution.backward(upstream, runner.boundary_rows(inputs))
        result: list[Tensor | None] = []
        for number, (name, needed) in enumerate(zip(runner.tensors, ctx.needs_input_grad[1:], strict=False)):
            key = f"d.{name}" if not name.startswith("boundary.") else f"d.initial.{name[9:]}"
            result.append(found.get(key) if needed else None)
        for number, tensor in enumerate(given[len(runner.tensors) :]):
            gradient = found.get(f"captured.{number}")
            result.append(None if gradient is None else gradient.view(tensor.shape))
        return (None, *result)

"""Runs by programs: a cell's recording, the programs compiled of it or looked up, and an executor."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ...engine.boundary import gather_edges
from ...engine.validate import Context
from ...operators import must_be_plain
from ...program.compile import CellProgram, Wanted, compile_cell
from ...program.recording import Recording
from ...program.symbols import NotRecordable
from ..request import Request
from ..runner import Loop, Runner
from .order import Order, order_of
from .replay import ReplayedCell
from .torch_executor import TorchExecution
from .torch_program import TorchProgram, prepare

# What executors have made of programs, by what was recorded; the least recently used go first.
_PREPARED: OrderedDict[Any, Any] = OrderedDict()
_MOST = 512
_lock = threading.Lock()


class Done(NamedTuple):
    """A run that has been done forwards: its execution, and the rows whose state was given."""

    execution: Any
    boundary: dict[str, Tensor]

    @property
    def is_spent(self) -> bool:
        """Whether its memory has served a reverse after which none was to come."""
        return self.execution.is_spent


class Programs(Runner):
    """A run of a recorded cell.

    Args:
        run, x, initial: as in `Runner`.
        recording: of the cell.
        wanted: of what a gradient may be asked for.
        prepared: what the executor has made of its program.
    """

    recording: Recording
    wanted: Wanted
    prepared: Any

    def __init__(
        self,
        run: Context,
        x: Tensor,
        initial: list[Tensor],
        recording: Recording,
        wanted: Wanted,
        prepared: Any,
    ) -> None:
        super().__init__(run, x, initial)
        self.recording, self.wanted, self.prepared = recording, wanted, prepared
        self.inputs: list[Tensor] = [x, *initial, *run.of_edges.values(), *recording.captured]
        # The caller is given these, the first fields of the state.
        self.handed_out: tuple[str, ...] = tuple(run.fields)

    @classmethod
    def take(cls, request: Request) -> Programs | str:
        """The run; or why not."""
        reason = cls.missing() or cls.refuses(request.x)
        if reason is not None:
            return reason
        recording = request.recording
        if isinstance(recording, str):
            return recording
        wanted = _wanted(request, recording)
        prepared = look_up(cls, request, recording, wanted)
        if isinstance(prepared, str):
            return prepared
        return cls(request.run, request.x, request.initial, recording, wanted, prepared)

    @staticmethod
    def refuses(x: Tensor) -> str | None:
        """Why not, of such rows; None: they are accepted."""
        return None

    @staticmethod
    def grain(fields: dict[str, tuple[int, ...]]) -> int | None:
        """How wide values should be at most, where they can be cut; None: as wide as possible."""
        return None

    @staticmethod
    def prepare(program: CellProgram) -> Any:
        """What the executor makes of a program once."""
        raise NotImplementedError

    @property
    def program(self) -> CellProgram:
        """The cell's."""
        raise NotImplementedError

    def execution(self, tensors: dict[str, Tensor], captured: list[Tensor]) -> Any:
        """What runs it once."""
        raise NotImplementedError

    @property
    def order(self) -> Order:
        """In which the executor has nodes and edges."""
        return order_of(self.plan)

    def state(self) -> tuple[Tensor, ...]:
        """All fields."""
        rows = _Run.apply(self, *self.inputs)
        count = self.plan.num_nodes
        return tuple(
            field.reshape(count, *shape) for field, shape in zip(rows, self.run.shapes, strict=False)
        )

    def h(self) -> Tensor:
        """The first field; the caller is given no copy of the others."""
        self.handed_out = self.handed_out[:1]
        return self.state()[0]

    def forwards(self, given: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Done]:
        """What is handed out, `[N, w]`, of the run's tensors and the captured ones; and what backwards needs."""
        inputs = [tensor.detach() for tensor in given]
        tensors = self.tensors(inputs)
        captured = [
            tensor.contiguous().view(-1) for tensor in inputs[len(inputs) - len(self.recording.captured) :]
        ]
        done = Done(self.execution(tensors, captured), self.boundary_rows(tensors))
        made = done.execution.forward(done.boundary)
        rows = tuple(self.hand_out(f"state.{name}", made[f"state.{name}"]) for name in self.handed_out)
        return rows, done

    def backwards(self, done: Done, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The gradients of the run's tensors and the captured ones from those of what was handed out, `[N, w]`."""
        upstream = {}
        for name, grad in zip_longest(self.run.fields, grads):
            if grad is None:  # (one row of zeros is all of them)
                grad = self.x.new_zeros(1, self.program.widths[f"state.{name}"]).expand(
                    self.plan.num_nodes, -1
                )
            upstream[f"state.{name}"] = self.enter(grad)
        return self.gradients(done.execution.backward(upstream, done.boundary))

    # -------------------------------------------------------------------------------------------- for the executor

    def enter(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, of x or the state, from the caller's order to the executor's."""
        return self.order.enter(rows)

    def leave(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, of the gradient of x, back to the caller's order."""
        return self.order.leave(rows)

    def hand_out(self, name: str, rows: Tensor) -> Tensor:
        """`[N, w]`, a field of the state, in the caller's order: not what the execution keeps and will read again."""
        order = self.order
        return rows.clone() if order.back is None else order.leave(rows)

    def tensors(self, given: list[Tensor]) -> dict[str, Tensor]:
        """What the run provides, two-dimensional, by the schedule's positions and inbox edges.

        x, the initial state of nodes and of boundary rows, and what edges carry.
        """
        run, plan, x = self.run, self.plan, given[0]
        found = {"x": self.enter(x)}
        initial, edges = given[1 : 1 + len(self.initial)], given[1 + len(self.initial) :]
        for number, (name, shape) in enumerate(zip(run.fields, run.shapes, strict=True)):
            if not initial:
                found[f"boundary.{name}"] = x.new_zeros(plan.boundary.shape[0], *shape)
                continue
            if self._begins_with_all_nodes:
                found[f"boundary.{name}"] = initial[number]
                continue
            boundary, own = self.rows_of_initial
            found[f"boundary.{name}"] = initial[number].index_select(0, boundary)
            if plan.mode == "async":
                found[f"own.{name}"] = initial[number].index_select(0, own)
        for name, rows in zip(run.of_edges, edges, strict=False):
            found[name] = gather_edges({name: rows}, name, self.order.edge)
        return {name: rows.reshape(rows.shape[0], rows.shape[1:].numel()) for name, rows in found.items()}

    @property
    def _begins_with_all_nodes(self) -> bool:
        """Whether the boundary rows are all nodes in the caller's order, each with its own row of the initial state."""
        run, plan = self.run, self.plan
        is_each = run.each_its_own and run.boundary_row is None and plan.is_identity
        return is_each and plan.mode == "sync" and plan.boundary.shape[0] == plan.num_nodes

    @property
    def rows_of_initial(self) -> tuple[Tensor, Tensor]:
        """The row of the initial state that each boundary row has, and each position."""
        row, of_boundary = self.run.initial_row, self.run.boundary_row
        assert row is not None
        return row[self.plan.boundary] if of_boundary is None else of_boundary, self.order.enter(row)

    def boundary_rows(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory of the rows whose state is given."""
        given = [name for name in self.program.boundary.stores if name.startswith(("state.", "first."))]
        return {name: tensors[f"boundary.{name.partition('.')[2]}"] for name in given}

    def gradients(self, found: dict[str, Tensor]) -> list[Tensor | None]:
        """Of the inputs, from the memory that the reverse has left, by positions and inbox edges."""
        made: list[Tensor | None] = []
        of_x = found.get("d.x")
        of_x = None if of_x is None else self.leave(of_x)
        # (A round's input is its initial state, and has no other gradient: there are no zeros to be added to that.)
        if of_x is None and self.wanted.x and not any(field is self.x for field in self.initial):
            of_x = self.x.new_zeros(()).expand(self.x.shape)
        made.append(None if of_x is None else of_x.reshape(self.x.shape))
        for name, field in zip(self.run.fields, self.initial, strict=False):
            made.append(
                self._gradient_of_initial(name, field, found) if name in self.wanted.initial else None
            )
        for name, rows in self.run.of_edges.items():
            there = found.get(f"d.{name}")
            made.append(None if there is None else self.order.add_up_edges(there, rows))
        for number, tensor in enumerate(self.recording.captured):
            gradient = found.get(f"captured.{number}")
            made.append(tensor.new_zeros(tensor.shape) if gradient is None else gradient.view(tensor.shape))
        return made

    def _gradient_of_initial(self, name: str, field: Tensor, found: dict[str, Tensor]) -> Tensor:
        boundary, own = found.get(f"d.initial.{name}"), found.get(f"d.own.{name}")
        plan, shape = self.plan, field.shape[1:]
        if self.run.each_its_own and own is None and boundary is not None and len(boundary) == plan.num_nodes:
            return (
                order_of(plan).leave(boundary).reshape(field.shape)
            )  # (the boundary rows are the positions)
        total = torch.zeros_like(field)
        for rows, index in zip((boundary, own), self.rows_of_initial, strict=True):
            if rows is not None:
                total.index_add_(0, index, rows.reshape(-1, *shape))
        return total

    def plainly(self, given: list[Tensor]) -> tuple[Tensor, ...]:
        """The same run in the loop, of other inputs."""
        first, second = 1 + len(self.initial), len(given) - len(self.recording.captured)
        cell = ReplayedCell(self.recording, self.run.cell, given[second:])
        run = replace(self.run, cell=cell)
        run.__dict__["of_edges"] = dict(zip(self.run.of_edges, given[first:second], strict=True))
        return Loop(run, given[0], given[1:first]).state()


class TorchPrograms(Programs):
    """Programs level by level, with torch's operations."""

    @classmethod
    def gains_nothing(cls, request: Request) -> str | None:
        """Rounds are a few operations on all nodes in the loop, too."""
        is_in_rounds = request.run.plan.mode == "sync"
        return "rounds are no faster there" if is_in_rounds else super().gains_nothing(request)

    name: ClassVar[str] = "torch_programs"
    about = "recorded cells, level by level in PyTorch, with a derived reverse"

    @staticmethod
    def prepare(program: CellProgram) -> TorchProgram:
        """Its instructions."""
        return prepare(program)

    @property
    def program(self) -> CellProgram:
        """The cell's."""
        return self.prepared.program

    def execution(self, tensors: dict[str, Tensor], captured: list[Tensor]) -> Any:
        """What runs it once."""
        return TorchExecution(self.prepared, self.plan, tensors, captured, tensors["x"])


def _wanted(request: Request, recording: Recording) -> Wanted:
    if not torch.is_grad_enabled():
        return Wanted(False, (), (), tuple(False for _ in recording.captured))
    return Wanted(
        request.x.requires_grad,
        tuple(
            name
            for name, field in zip(request.run.fields, request.initial, strict=False)
            if field.requires_grad
        ),
        tuple(name for name, rows in request.run.of_edges.items() if rows.requires_grad),
        tuple(tensor.requires_grad for tensor in recording.captured),
    )


def look_up(kind: type[Programs], request: Request, recording: Recording, wanted: Wanted) -> Any:
    """What the executor has made of the program; or why it makes nothing of it."""
    run, x_shape = request.run, tuple(map(int, request.x.shape[1:]))
    is_one_round = run.plan.mode == "sync" and run.plan.rounds == 1
    key = (kind.name, recording.key, wanted, x_shape, is_one_round)
    with _lock:
        found = _PREPARED.get(key)
        if found is not None:
            _PREPARED.move_to_end(key)
            return found
    fields = dict(zip(run.fields, map(tuple, run.shapes), strict=True))
    before = {
        name: tuple(map(int, rows.shape[1:])) for name, rows in zip(run.fields, request.initial, strict=False)
    }
    try:
        how = {"dtype": run.dtype, "grain": kind.grain(fields), "is_one_round": is_one_round}
        found = kind.prepare(compile_cell(recording, wanted, fields, before, x_shape, **how))
    except NotRecordable as reason:
        found = str(reason)
    with _lock:
        _PREPARED[key] = found
        while len(_PREPARED) > _MOST:
            _PREPARED.popitem(last=False)
    return found


class _Run(torch.autograd.Function):
    """The fields of the state, `[N, w]`, from the run's tensors and the captured ones."""

    @staticmethod
    def forward(ctx: Any, runner: Programs, *given: Tensor) -> tuple[Tensor, ...]:
        """Forwards."""
        rows, done = runner.forwards(given)
        if runner.wanted.anything:
            ctx.runner, ctx.done = runner, done
            ctx.save_for_backward(*given)
            ctx.set_materialize_grads(False)
        return rows

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """In reverse."""
        runner, given = ctx.runner, list(ctx.saved_tensors)  # (this refuses what was written into since)
        if must_be_plain(grads):
            return (None, *plain_gradients(runner, given, ctx.needs_input_grad[1:], grads))
        if ctx.done.execution.is_written_into:  # (it is run again; nobody else has the new states)
            ctx.done = None
            ctx.done = runner.forwards(given)[1]
        needed = zip(runner.backwards(ctx.done, grads), ctx.needs_input_grad[1:], strict=True)
        return (None, *(gradient if is_needed else None for gradient, is_needed in needed))


def plain_gradients(runner: Programs, given: list[Tensor], needed: Any, grads: Any) -> list[Tensor | None]:
    """The gradients by plain PyTorch, for derivatives of any order, if such are asked for."""
    is_differentiated = torch.is_grad_enabled()
    with torch.enable_grad():
        # A view of each: one may be computed from another, or be the same tensor, and these are partial derivatives.
        inputs = [tensor.view_as(tensor) for tensor in given]
        outputs = runner.plainly(inputs)
        pairs = [
            (rows.reshape(grad.shape), grad)
            for rows, grad in zip(
                outputs, grads, strict=False
            )  # (the last ones may not have been handed out)
            if grad is not None and rows.requires_grad
        ]
        if not pairs:
            return [None for _ in needed]
        wanted = [tensor for tensor, is_needed in zip(inputs, needed, strict=True) if is_needed]
        found = iter(
            torch.autograd.grad(
                [rows for rows, _ in pairs],
                wanted,
                [grad for _, grad in pairs],
                create_graph=is_differentiated,
                allow_unused=True,
            )
        )
    return [next(found) if is_needed else None for is_needed in needed]

"""The swept engine: one reverse sweep over the schedule instead of autograd's graph over all of it.

Each step is recorded as a small graph of its own, cut off from the others. The reverse sweep runs the steps
backwards: it collects the gradient of a step's states from the inboxes that read them, hands it to the step's
graph, and leaves the gradients of the step's own inbox for earlier steps to collect. Work and memory are linear
in nodes and edges: states are written as slices of one buffer per field, gradients never as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, _engine_run_backward, get_gradient_edge

from ..cells.cell import Cell
from ..schedule import Schedule, Step
from .derivatives import check_first_derivatives
from .edge_rows import OF_EDGES, gather_edges, virtual_edges
from .inbox import Inbox, SegmentInbox
from .job import Job, check_state
from .looked import Own
from .segments import gather_sum
from .tape import Gradients, Product, Tape, check_all_known, check_none_captured
from .zero import NotSweepable, Zero


@dataclass
class Record:
    """What the reverse sweep needs of one step."""

    step: Step
    x: Tensor
    results: list[tuple[str, torch.dtype, GradientEdge]] = field(default_factory=list)
    looked: dict[str, Tensor] = field(
        default_factory=dict
    )  # leaves, by name; the own state's begin with "own."
    products: list[Product] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)


class SweptInbox(SegmentInbox):
    """Its empty sums are such that products skip them."""

    def _zeros(self, *shape: int) -> Tensor:
        return Zero.of(shape, self._like)


def sweep(job: Job, x: Tensor, initial: list[Tensor]) -> tuple[Tensor, ...]:
    """Run a cell; returns the fields of the final state, `[N, ...]` each, in the caller's order.

    Args:
        job: the run.
        x: `[N, ...]`, projected, in the order of the plan's places.
        initial: per field `[K, ...]` (see `Job.initial_row`), or nothing.
    """
    of_edges = job.of_edges
    check_none_captured(job.cell)
    tape = Tape(job.cell)
    inputs = [x, *initial, *of_edges.values(), *tape.parameters]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        return _Sweep.apply(job, tape, len(initial), *inputs)
    rows = _Forward(job, x, of_edges, initial, tape=None).rows
    return tuple(_final(job.plan, rows[name]) for name in job.fields)


def _final(plan: Schedule, rows: Tensor) -> Tensor:
    last = rows[plan.given.shape[0] :]
    return last.clone() if plan.in_order else last.index_select(0, plan.place)


class _Forward:
    """The forward sweep; with a tape it records what the reverse sweep needs."""

    def __init__(
        self, job: Job, x: Tensor, of_edges: dict[str, Tensor], initial: list[Tensor], tape: Tape | None
    ) -> None:
        self.job = job
        self.plan = job.plan
        self.records: list[Record] = []
        self._tape = tape
        self._x = x
        self._initial = dict(zip(job.fields, initial, strict=False))
        self._of_edges = of_edges
        self.rows = {
            name: x.new_empty(self.plan.num_rows, *shape, dtype=job.dtype)
            for name, shape in zip(job.fields, job.shapes, strict=True)
        }
        self._write_given()
        self._unchecked = {False, True}  # whether a step with (and one without) edges is yet to be checked
        for step in self.plan.steps:
            self._do(step)

    def _write_given(self) -> None:
        for name, rows in self.rows.items():
            given = rows[: self.plan.given.shape[0]]
            if self.job.initial_row is None:
                given.zero_()
            else:
                given.copy_(self._initial[name].index_select(0, self.job.initial_row[self.plan.given]))

    def _do(self, step: Step) -> None:
        x = self._x[step.nodes]
        if self._tape is not None:
            x = x.detach().requires_grad_()
        record = Record(step, x)
        inbox = SweptInbox(self.plan, step, self.job.fields, lambda name: self._look(record, name), x)
        own = Own(self.job.fields, lambda name: self._look_own(record, name))
        cell = self.job.cell
        if self._tape is None:
            state = cell(x, inbox.shown_by(cell), own.shown_by(cell))
        else:
            with torch.enable_grad():
                state = _call(cell, x, inbox.shown_by(cell), own.shown_by(cell))
        check_state(self.job, state, inbox.num_nodes)
        if self._tape is not None:
            self._note(record, state)
        elif any(value.requires_grad for value in state):
            raise NotSweepable("the cell uses a tensor that requires grad and is none of its parameters")
        stop = step.writes + inbox.num_nodes
        for name, rows in self.rows.items():
            rows[step.writes : stop] = getattr(state, name).detach()

    def _look(self, record: Record, name: str) -> Tensor:
        """A field of the inbox: one gather."""
        step, plan = record.step, self.plan
        if name in OF_EDGES:
            value = gather_edges(self._of_edges, name, plan.edge[step.edges])
        else:
            value = self.rows[name].index_select(0, plan.source[step.edges])
        return self._leaf(record, name, value) if step.degree != 0 else value

    def _look_own(self, record: Record, name: str) -> Tensor:
        step = record.step
        if self.job.initial_row is not None:
            value = self._initial[name].index_select(0, self.job.initial_row[self.plan.nodes(step)])
        else:
            count = step.nodes.stop - step.nodes.start
            return Zero.of((count, *self.rows[name].shape[1:]), self.rows[name])
        return self._leaf(record, f"own.{name}", value)

    def _leaf(self, record: Record, name: str, value: Tensor) -> Tensor:
        if self._tape is not None and value.is_floating_point():
            record.looked[name] = value.detach().requires_grad_()
            return record.looked[name]
        return value

    def _note(self, record: Record, state: Any) -> None:
        tape = self._tape
        assert tape is not None
        record.products, tape.products = tape.products, []
        record.leaves = list(tape.leaves)
        results = [(name, getattr(state, name)) for name in self.job.fields]
        has_edges = bool(record.step.degree != 0)
        if has_edges in self._unchecked:
            self._unchecked.remove(has_edges)
            known = [record.x, *record.looked.values(), *tape.leaves.values()]
            known += tape.constants
            check_all_known([tensor for _, tensor in results], known)
        for name, tensor in results:
            if tensor.requires_grad:
                record.results.append((name, tensor.dtype, get_gradient_edge(tensor)))
        self.records.append(record)


class _Sweep(torch.autograd.Function):
    """The forward sweep, and as its gradient the reverse sweep."""

    @staticmethod
    def forward(
        ctx: Any, job: Job, tape: Tape, num_initial: int, x: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        """Fields of the final state, `[N, ...]` each."""
        initial, of_edges = rest[:num_initial], dict(zip(job.of_edges, rest[num_initial:], strict=False))
        with tape.recording():
            forward = _Forward(job, x, of_edges, list(initial), tape)
        check_none_captured(job.cell)  # nor has it kept anything while it ran
        ctx.set_materialize_grads(False)
        ctx.job, ctx.tape, ctx.records = job, tape, forward.records
        ctx.like = (x, of_edges, initial)
        ctx.rows_like = {name: rows.new_empty(0, *rows.shape[1:]) for name, rows in forward.rows.items()}
        return tuple(_final(job.plan, forward.rows[name]) for name in job.fields)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """The gradients of x, the initial state, what there is of edges, and the cell's parameters."""
        check_first_derivatives(grads)
        if ctx.records is None:
            raise RuntimeError(
                "backward through this run a second time: its records were freed by the first; call the first "
                "with retain_graph=True."
            )
        keep = torch._C._autograd._get_current_graph_task_keep_graph()  # pyright: ignore[reportAttributeAccessIssue]
        back = _Reverse(ctx, dict(zip(ctx.job.fields, grads, strict=True)), keep)
        if not keep:
            ctx.records = None
        of_edges = (back.of_edges.get(name) for name in ctx.job.of_edges)
        return (None, None, None, back.x, *back.initial, *of_edges, *back.parameters.total())


class _Reverse:
    """The reverse sweep."""

    def __init__(self, ctx: Any, grads: dict[str, Tensor | None], keep: bool) -> None:
        self.plan: Schedule = ctx.job.plan
        self.job: Job = ctx.job
        x, of_edges, initial = ctx.like
        self._keep = keep
        self._outbox = self.plan.outbox
        self._final = {
            name: grad if self.plan.in_order else grad.index_select(0, self.plan.order)
            for name, grad in grads.items()
            if grad is not None
        }
        self._rows_like = ctx.rows_like
        # For each field the gradients of all inboxes: written by the step that read them, collected from there
        # by the step that made them.
        self._of_edge: dict[str, Tensor] = {}
        self.x = x.new_empty(x.shape)
        self.of_edges = {n: torch.zeros_like(rows) for n, rows in of_edges.items() if rows.requires_grad}
        self._initial = dict(zip(self.job.fields, [torch.zeros_like(t) for t in initial], strict=False))
        self.parameters = Gradients(ctx.tape)
        self._tape: Tape = ctx.tape
        for record in reversed(ctx.records):
            self._undo(record)
        self._undo_given()

    @property
    def initial(self) -> list[Tensor]:
        """Per field `[K, ...]`."""
        return list(self._initial.values())

    def _undo(self, record: Record) -> None:
        outputs, grad_outputs = [], []
        for name, dtype, edge in record.results:
            grad = self._arrived(name, record.step)
            if grad is not None:
                outputs.append(edge)
                grad_outputs.append(grad if grad.dtype == dtype else grad.to(dtype))
        inputs: list[Any] = [record.x, *record.looked.values()]
        inputs += [product.result for product in record.products]
        inputs += [self._tape.leaves[number] for number in record.leaves]
        grads = _gradients(outputs, grad_outputs, inputs, self._keep)
        grads.reverse()
        grad = grads.pop()
        self.x[record.step.nodes] = 0 if grad is None else grad
        self._hand_on(record.step, {name: grads.pop() for name in record.looked})
        for product in record.products:
            if (grad := grads.pop()) is not None:
                self.parameters.add(product, grad)
        for number in record.leaves:
            if (grad := grads.pop()) is not None:
                self.parameters.add_leaf(number, grad)

    def _arrived(self, name: str, step: Step) -> Tensor | None:
        """The gradient of the states that a step wrote: from outside, and from later inboxes."""
        total = self._final[name][step.nodes] if name in self._final else None
        if step.number == len(self.plan.steps) - 1:
            return total
        return _plus(total, self._collect(name, step.number + 1))

    def _collect(self, name: str, level: int) -> Tensor | None:
        """The gradients that the inboxes reading a level's rows have left, summed by row."""
        if name not in self._of_edge:
            return None
        outbox, grads = self._outbox, self._of_edge[name]
        most = outbox.most[level]
        if most == 0:
            return None
        rows = slice(outbox.rows[level], outbox.rows[level + 1])
        if most == 1:
            return grads.index_select(0, outbox.only[rows])
        edges = outbox.edge[outbox.bounds[level] : outbox.bounds[level + 1]]
        return gather_sum(grads, edges, outbox.first[rows])

    def _hand_on(self, step: Step, grads: dict[str, Tensor | None]) -> None:
        """Leave the gradients of what a step looked up where those whom they concern will find them."""
        for name in self.job.fields:
            grad = grads.get(name)
            if grad is not None and name not in self._of_edge:
                like = self._rows_like[name]
                # One row more than there are edges: what a row that nobody reads collects.
                self._of_edge[name] = like.new_zeros(self.plan.num_edges + 1, *like.shape[1:])
            if name in self._of_edge and step.degree != 0:
                self._of_edge[name][step.edges] = 0 if grad is None else grad
            own = grads.get(f"own.{name}")
            if own is not None:
                assert self.job.initial_row is not None
                self._initial[name].index_add_(0, self.job.initial_row[self.plan.nodes(step)], own)
        for name, total in self.of_edges.items():
            if (grad := grads.get(name)) is not None:
                edge = self.plan.edge[step.edges]
                total.index_add_(0, edge.clamp(min=0), grad.masked_fill(virtual_edges(edge, grad), 0))

    def _undo_given(self) -> None:
        if self.job.initial_row is None:
            return
        for name, total in self._initial.items():
            grad = self._collect(name, 0)
            if grad is not None:
                total.index_add_(0, self.job.initial_row[self.plan.given], grad)


def _call(cell: Cell, x: Tensor, inbox: Inbox, own: Own) -> Any:
    try:
        return cell(x, inbox, own)
    except RuntimeError as error:
        if "leaf Variable that requires grad" in str(error):
            raise NotSweepable("the cell writes into its x, its inbox or its own state") from error
        raise


def _gradients(
    outputs: list[GradientEdge], grad_outputs: list[Tensor], inputs: list[Any], keep: bool
) -> list[Tensor | None]:
    """`torch.autograd.grad`, less its checks of shapes and types, which take longer than a small step itself."""
    if not outputs:
        return [None] * len(inputs)
    return list(
        _engine_run_backward(
            tuple(outputs),
            tuple(grad_outputs),
            keep,
            False,  # create_graph
            tuple(inputs),
            allow_unreachable=True,
            accumulate_grad=False,
        )
    )


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b

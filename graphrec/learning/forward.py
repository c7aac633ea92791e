"""Rules that run forwards: what a gradient needs of the past travels along with the states."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..engine.initial import initial_fields
from ..runs import run, steps
from ..schedule import Schedule
from .first_order import check_first_order, check_untransformed
from .online import Online
from .reach import WayBack
from .refusals import check_first_step, check_run
from .rule import Rule
from .traced import Trace, Traced


class ForwardRule(Rule):
    """A rule whose traces travel along the schedule as states do: nothing is kept longer than it is read.

    dL/dtheta = sum_v dL/dstate_v dstate_v/dtheta, where dL/dstate_v is that of the readout alone, without the paths
    through other states, and the rule computes the second factor, exactly or approximately. So it differentiates a
    run: the backward pass is the same schedule again, forwards. Or it learns during the run: see `Online`.

    The gradient of x includes the effect of each row on its own node's state, but not on later nodes.
    `reach` names the parameters below it.
    """

    def __init__(self) -> None:
        self._tried: WeakKeyDictionary[Cell, tuple[bool, int]] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tried": None}  # the cells that were tried belong to this process

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_tried": WeakKeyDictionary()})

    def trace(self, cell: Cell, with_initial: bool = False) -> Trace:
        """The trace that this rule sends along with the states of a cell.

        Raises:
            ValueError: a cell that the rule does not support, or that is too large for it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no trace(cell).")

    def verdict(self, cell: Cell) -> str:
        """In words, how this rule's gradients of a cell's weights differ from the true ones; empty: not at all."""
        raise NotImplementedError(f"{type(self).__name__} has no verdict(cell).")

    def run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        """The state that `graphrec.run` returns for the same arguments; the backward pass gives this rule's gradients.

        Raises:
            ValueError: a schedule in rounds, with cycles or in a given order; a cell with batch normalisation or
                dropout in training, one that begins with x, or one that torch.func cannot differentiate; edge
                features that require a gradient.
        """
        check_untransformed(type(self).__name__, x)
        traced = self.traced(cell, plan, x, initial)
        fields = initial_fields(initial)
        weights = traced.trace.function.weights
        task = ForwardRun(self, traced, plan, initial, len(fields))
        return cell.State(*_Forwards.apply(task, x, *fields, *weights.values()))

    def online(self, model: nn.Module) -> Online:
        """Learning during the run, step by step; the model is one run, or its cell. See `Online`."""
        return Online(self, model)

    def traced(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Traced:
        """The cell with this rule's trace, if the rule supports it."""
        check_run(self, cell, plan, x, initial)
        with_initial = torch.is_grad_enabled() and any(
            field.requires_grad for field in initial_fields(initial)
        )
        traced = Traced(cell, self.trace(cell, with_initial))
        tried = (cell.training, len(traced.trace.function.weights))
        if self._tried.get(cell) != tried and check_first_step(self, traced, plan, x.detach(), initial):
            self._tried[cell] = tried
        return traced


_BELOW = "biased: below a run, whose input has the gradient of its own node's state alone"
_INITIAL = "biased: behind the initial state of a run, of which the rule follows some paths only"


class ForwardRun(WayBack):
    """A run to be differentiated, with the cell and its trace."""

    rule: ForwardRule
    traced: Traced
    plan: Schedule
    initial: Any
    num_fields: int
    num_weights: int

    def __init__(self, rule: ForwardRule, traced: Traced, plan: Schedule, initial: Any, num_fields: int):
        self.rule, self.traced, self.plan, self.initial = rule, traced, plan, initial
        self.num_fields, self.num_weights = num_fields, len(traced.trace.function.weights)

    def behind(self, into: list[Any], wrong: str) -> list[tuple[Any, str]]:
        """x, the initial state and the weights."""
        of, within = into[-(1 + self.num_fields + self.num_weights) :], self.rule.verdict(self.traced.cell)
        initial, weights = of[1 : 1 + self.num_fields], of[1 + self.num_fields :]
        of_initial = wrong or (_INITIAL if within else "")
        return [
            (of[0], wrong or _BELOW),
            *((source, of_initial) for source in initial),
            *((source, wrong or within) for source in weights),
        ]

    def state(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(run(self.traced.cell, self.plan, x, self.initial))

    def gradients(self, x: Tensor, grads: tuple[Tensor, ...], with_x: bool) -> list[Tensor | None]:
        """The gradients of x, of the fields of the initial state and of the weights."""
        traced, trace, function = self.traced, self.traced.trace, self.traced.trace.function
        grad = function.flat(grads)
        of_x = torch.zeros_like(x) if with_x else None
        of_initial = torch.zeros_like(grad) if trace.layout.initial_size else None
        total = x.new_zeros(trace.layout.units, trace.layout.size)
        for visit in steps(traced, self.plan, x, traced.begin(self.initial)):
            here = grad[visit.nodes]
            added, at_nodes = trace.gradient(here, traced.parts(visit.state)[1])
            total += added
            if of_initial is not None:
                of_initial[visit.nodes] = at_nodes
            if of_x is not None and traced.step is not None:
                of_x[visit.nodes] = traced.step.to_x(here)
        traced.step = (
            None  # it looks at the run, and the run has the cell: what is past is to be freed at once
        )
        by_name = trace.layout.by_name(total)
        return [of_x, *self._initial(of_initial), *(by_name[name] for name in function.weights)]

    def _initial(self, of_initial: Tensor | None) -> list[Tensor | None]:
        if of_initial is None:
            return [None] * self.num_fields
        rows, structure = len(initial_fields(self.initial)[0]), self.plan.structure
        row = structure.graph if rows > 1 else torch.zeros_like(structure.graph)
        summed = of_initial.new_zeros(rows, of_initial.shape[1]).index_add(0, row, of_initial)
        return list(self.traced.trace.function.state(summed))


class _Forwards(torch.autograd.Function):
    """A run without a graph; its backward pass is a second run of the same schedule, with traces."""

    @staticmethod
    def forward(ctx: Any, task: ForwardRun, x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """The fields of the state."""
        ctx.task = task
        ctx.save_for_backward(x, *others)  # so that changed weights are noticed
        return task.state(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Forwards."""
        check_first_order(type(ctx.task.rule).__name__, grads)
        x = ctx.saved_tensors[0]
        found = ctx.task.gradients(x, grads, ctx.needs_input_grad[1])
        wanted = ctx.needs_input_grad[1:]
        return None, *(grad if needed else None for grad, needed in zip(found, wanted, strict=True))

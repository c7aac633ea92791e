"""Learning during the run: the gradient after every step, and endless streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..engine import per_graph
from ..io import StructureLike, as_structure
from ..runs import steps
from ..schedule import Schedule, schedule, sinks
from ..structure import Structure
from .losses import check_is_function, check_is_number
from .traced import Trace


class Moment(NamedTuple):
    """One step, and what was learned from it.

    Attributes:
        number: of the step in this piece, from 0.
        nodes: `[n]` long, the nodes that were updated.
        state: their new state, a State of `[n, ·]` tensors.
        loss: `[]`, or None where there was none.
    """

    number: int
    nodes: Tensor
    state: Any
    loss: Tensor | None


class Online:
    """A run that adds to `.grad` after every step, so that an optimiser can step then; states are carried over.

    After a step the gradients are those of its loss by all weights, through the whole past, if the rule is RTRL and
    the weights have not changed since; memory does not grow with the number of steps. A loss's own parameters, of a
    readout for instance, get their gradients by autograd.

        online = RTRL().online(cell)
        for x, target in pieces:                      # of one stream, or of G of them side by side
            for moment in online.steps(s, x, lambda state, nodes: error(readout(state.h), target[nodes])):
                optimiser.step()
                optimiser.zero_grad()

    Args:
        rule: a forward rule.
        model: a cell, or a model that is one run of one (its `step_cell()`).

    Attributes:
        carried: the state after the last piece, with the rule's trace, a row for each graph; None at the
            beginning.
    """

    def __init__(self, rule: Any, model: nn.Module) -> None:
        if not hasattr(rule, "traced") or isinstance(rule, type):
            got = f"the class {rule.__name__}" if isinstance(rule, type) else type(rule).__name__
            raise TypeError(f"rule must be one that learns forwards, such as RTRL() or UORO(), got {got}.")
        made = model if isinstance(model, Cell) else getattr(model, "step_cell", None)
        if made is None or not isinstance(model, nn.Module):
            raise TypeError(
                f"online learning is of one cell, or of a model that is one run of it (graphrec.Recursive), got "
                f"{type(model).__name__}: for models of several runs use rule.gradients(model, s, x, loss)."
            )
        self.rule = rule
        self.cell: Cell = made if isinstance(made, Cell) else made()
        self._num_fields = len(self.cell.State._fields)
        self.reset()

    def reset(self) -> None:
        """Begin again, with a zero state."""
        self.carried: Any = None
        self._odd = -1
        self._is_within = False

    def steps(
        self, s: StructureLike, x: Tensor, loss: Callable[[Any, Tensor], Tensor | None]
    ) -> Iterator[Moment]:
        """Run over the next piece of each stream and learn from every step.

        Args:
            s: a graph for each stream. The next piece continues from its one sink.
            x: `[N, D]`.
            loss: from a step's State, `[n, ·]` each, and its nodes `[n]` to a number, or None: nothing to learn here.

        Raises:
            ValueError: another number of streams than in the last piece, or one that had several sinks; a last
                piece that was not run to its end; a cell that reads `own`, where a state is carried over.
        """
        check_is_function(loss)
        structure = as_structure(s, x)
        self._check(structure)
        plan, x = schedule(structure), x.detach()
        initial = None if self.carried is None else per_graph(self.carried)
        own = None if self.carried is None else per_graph(self.cell.State(*self.carried[: self._num_fields]))
        traced = self.rule.traced(self.cell, plan, x, own)
        last, self._odd, self._is_within = _Last(plan, self.carried), sinks(plan).odd, True
        for visit in steps(traced, plan, x, initial):
            if own is not None and traced.step is not None and traced.step.reads_own():
                raise ValueError(
                    f"{type(self.cell).__name__} reads the node's own previous state, whose sensitivities are not "
                    f"carried on: start over with reset() for each piece."
                )
            state, sent = traced.parts(visit.state)
            value = self._learn(traced.trace, self.cell.State(*state), sent, visit.nodes, loss)
            last.keep(visit.nodes, visit.state)
            yield Moment(visit.number, visit.nodes, state, value)
        traced.step = None  # as in `ForwardRun.gradients`
        self.carried, self._is_within = last.state, False

    def _learn(
        self, trace: Trace, state: Any, sent: Any, nodes: Tensor, loss: Callable[[Any, Tensor], Tensor | None]
    ) -> Tensor | None:
        fields = self.cell.State(*(field.detach().requires_grad_() for field in state))
        with torch.enable_grad():
            value = loss(fields, nodes)
        if value is None:
            return None
        check_is_number(value)
        value.backward()
        grads = [torch.zeros_like(field) if field.grad is None else field.grad for field in fields]
        table, _ = trace.gradient(trace.function.flat(grads), sent)
        weights = trace.function.weights
        for name, grad in trace.layout.by_name(table).items():
            weight = weights[name]
            weight.grad = grad.clone() if weight.grad is None else weight.grad + grad
        return value.detach()

    def _check(self, structure: Structure) -> None:
        if self._is_within:
            raise ValueError(
                "the last piece was left before its end, and so there is no state to continue from: run all its steps, "
                "or start over with reset()."
            )
        if self._odd >= 0:
            raise ValueError(
                f"graph {self._odd} of the last piece had several nodes that no edge leaves, and so no state to "
                f"continue from: start over with reset()."
            )
        if self.carried is not None and len(self.carried[0]) != structure.num_graphs:
            raise ValueError(
                f"the last piece was of {len(self.carried[0])} streams, this one is of {structure.num_graphs}: give a "
                f"graph for each (an empty one where nothing comes), or start over with reset()."
            )


class _Last:
    """The states of the sinks, one for each graph."""

    def __init__(self, plan: Schedule, initial: Any) -> None:
        sink, structure = sinks(plan).node, plan.structure
        self._graph, self._num_graphs = structure.graph, structure.num_graphs
        self._is_last = torch.zeros_like(self._graph, dtype=torch.bool)
        self._is_last[sink[sink >= 0]] = True
        self.state: Any = initial

    def keep(self, nodes: Tensor, state: Any) -> None:
        chosen = self._is_last[nodes]
        if not chosen.any():
            return
        graph = self._graph[nodes[chosen]]
        if self.state is None:
            self.state = type(state)(
                *(field.new_zeros(self._num_graphs, *field.shape[1:]) for field in state)
            )
        self.state = type(state)(
            *(kept.index_copy(0, graph, field[chosen]) for kept, field in zip(self.state, state, strict=True))
        )

"""A cell whose nodes send, with their states, what a forward rule needs of the past."""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..cells.wrapping import Wrapping
from ..engine.initial import Initial, initial_fields
from ..structure import Structure
from .layout import Layout
from .step_function import LocalStep, StepFunction


class Trace:
    """What a rule sends along with states, and how gradients follow from it.

    Args:
        function: the step.
        layout: the weights.

    Attributes:
        names: of what is sent, one tensor for each node.
        with_sources: whether units are assumed to be independent of other units of the sources, too.
        otherwise: what to do about a cell whose units are not independent as they should be.
    """

    function: StepFunction
    layout: Layout

    names: tuple[str, ...]
    with_sources: bool = True
    otherwise: str = "set elementwise to False."

    def __init__(self, function: StepFunction, layout: Layout) -> None:
        self.function, self.layout = function, layout

    def begin(self) -> tuple[Tensor, ...]:
        """What an initial state sends, without a dimension for nodes."""
        raise NotImplementedError

    def after(self, step: LocalStep, inbox: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The new states `[n, K]`, and what they send."""
        raise NotImplementedError

    def gradient(self, grad: Tensor, sent: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The parts of n nodes in the gradient of the weights, `[U, Q]`, and in that of their initial states, `[n, K]`.

        Args:
            grad: dL/dstate, `[n, K]`, of the paths that do not lead through other states.
            sent: what these nodes send.
        """
        raise NotImplementedError


class Traced(Wrapping):
    """A cell with a trace as a part of its state. It projects in each step: those weights count as well.

    Attributes:
        step: the last step.
    """

    def __init__(self, cell: Cell, trace: Trace) -> None:
        super().__init__(cell)
        self.begins_with_x = False
        self.trace = trace
        self.step: LocalStep | None = None

    @property
    def State(self) -> Any:
        """The cell's fields, and the trace's."""
        return _state_type((*self.cell.State._fields, *self.trace.names))

    @property
    def Message(self) -> Any:
        """None: states are sent whole, and messages are made within the step."""
        return None

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of both."""
        return [*self.cell.shapes(), *(tuple(part.shape) for part in self.trace.begin())]

    def project(self, x: Tensor) -> Tensor:
        """x as it is."""
        return x

    def project_edges(self, edge_attr: Any) -> Any:
        """The features, unchanged."""
        return edge_attr

    def edge_rows(self, s: Structure, edges: Tensor | None = None) -> Tensor | None:
        """The features, unchanged."""
        return s.edge_attr

    def begin(self, initial: Any) -> Any:
        """An initial state of the cell, with its trace."""
        if initial is None:
            return None
        fields = initial_fields(initial)
        rows = len(fields[0])
        sent = [part.to(fields[0]).expand(rows, *part.shape) for part in self.trace.begin()]
        state = self.State(*(field.detach() for field in fields), *sent)
        return Initial(state, initial.rows) if isinstance(initial, Initial) else state

    def parts(self, state: Any) -> tuple[Any, tuple[Tensor, ...]]:
        """The cell's state, and what is sent with it."""
        count = len(self.cell.State._fields)
        return self.cell.State(*state[:count]), tuple(state[count:])

    @torch.no_grad()
    def forward(self, x: Tensor, inbox: Any, own: Any) -> Any:
        """One step."""
        self.step = LocalStep(self.trace.function, x, inbox, own)
        flat, sent = self.trace.after(self.step, inbox)
        return self.State(*self.trace.function.state(flat), *sent)


@cache
def _state_type(fields: tuple[str, ...]) -> Any:
    kind: Any = namedtuple("State", fields)
    kind.__reduce__ = lambda self: (_state, (fields, tuple(self)))  # pickle looks types up by their names
    return kind


def _state(fields: tuple[str, ...], values: tuple[Tensor, ...]) -> Any:
    return _state_type(fields)(*values)

"""Truncated backpropagation through time: errors go back a given number of steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..engine.rules import differentiated_by
from ..runs import run
from ..schedule import Schedule
from ..structure.checks import as_count
from .at_once import StatesAndLeaves, all_at_once
from .errors import ErrorsSentBack, WithErrorsSentBack, by_hops, by_windows, sources_of_steps
from .first_order import check_untransformed
from .rule import Rule
from .walk import by_node, check_is_walk, walk


class TruncatedBPTT(Rule):
    """Truncated backpropagation through time, BPTT(h; k), on any structure.

    With `every=1` each loss reaches back exactly h hops: the node that it reads is the first of them, the sources of
    that node the second, and so on; what lies behind counts as constant. With J = dH/dH, the derivative of each node's
    state by its sources' states,

        dL/dz_k = diag(f'(z_k)) [(1 + J' + J'^2 + ... + J'^(h-1)) dL/dH]_k

    so h = 1 is the instantaneous rule delta_k = diag(f'(z_k)) V' L'(y_k), and h at or above the depth of the structure
    is BPTT. With `every=k` the errors of k levels (of a chain: k steps, counted from its beginning) are sent back
    together, once, through the last h levels: those of the last level reach back h levels, those of the first
    h - k + 1. With `every=depth` this is what is commonly called truncated BPTT: the state is detached every k steps.

    Williams & Peng, *An efficient gradient-based algorithm for on-line training of recurrent network trajectories*,
    Neural Computation 2 (1990), BPTT(h) and BPTT(h; h'). A run takes O(h (N + E)) time with `every=1`,
    O((h / k) (N + E)) otherwise, and O(N + E) memory; in a `Stream`, whose calls are short, O(h + the call). With
    `every=1` a hop is one product with J' for all nodes together, unless steps are large: after the run the
    cell is then called again, with all nodes, to be differentiated. In sync mode levels are rounds. In a stack
    each layer's run is truncated separately. First derivatives only.

    Args:
        depth: h, 1 or more.
        every: k, from 1 to h.

    Raises:
        TypeError, ValueError: invalid numbers. When run: iterated cycles, several sweeps in a given order.
    """

    def __init__(self, depth: int, every: int = 1) -> None:
        self.depth: int = as_count("depth", depth, 1)
        self.every: int = as_count("every", every, 1)
        if self.every > self.depth:
            raise ValueError(
                f"every must be at most depth: each time errors go back through depth levels only, and some "
                f"would never be sent, got every={self.every}, depth={self.depth}."
            )
        self.lookback: int = self.every * (-(-self.depth // self.every) - 1)

    def __repr__(self) -> str:
        return f"TruncatedBPTT(depth={self.depth}, every={self.every})"

    def run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        """As `graphrec.run`, with truncated gradients."""
        check_is_walk("TruncatedBPTT", plan)
        check_untransformed("TruncatedBPTT", x)
        with differentiated_by(None):
            if len(plan.steps) <= self.depth or not torch.is_grad_enabled():
                return run(cell, plan, x, initial)  # nothing is out of reach
            return self._run(cell, plan, x, initial)

    def _run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any) -> Any:
        together = all_at_once(cell, plan, x, initial) if self.every == 1 else None
        states, read = _step_by_step(cell, plan, x, initial) if together is None else together
        self._send_errors_back(plan, states, read)
        return cell.State(*(by_node(plan, rows) for rows in map(list, zip(*states, strict=True))))

    def _send_errors_back(self, plan: Schedule, states: list[list[Tensor]], read: list[list[Tensor]]) -> None:
        """Replace the states of all steps by states through which errors go back as this rule does it."""
        at = [
            (step, i)
            for step, fields in enumerate(states)
            for i, field in enumerate(fields)
            if field.requires_grad
        ]
        leaves = [read[step][i] for step, i in at]
        send_back = (
            by_hops(leaves, self.depth)
            if self.every == 1
            else by_windows(leaves, [step for step, _ in at], sources_of_steps(plan), self.depth, self.every)
        )
        if at:
            task = ErrorsSentBack(send_back, leaves, self._verdict(plan))
            tied: Any = WithErrorsSentBack.apply(task, *(states[step][i] for step, i in at))
            for (step, i), state in zip(at, tied, strict=True):
                states[step][i] = state

    def _verdict(self, plan: Schedule) -> str:
        """In words, how gradients of what other nodes read differ from the true ones."""
        if plan.mode == "sync":
            return f"biased: errors go back {self.depth} of {len(plan.steps)} rounds"
        return f"biased: errors go back {self.depth} hops, and the longest path has {len(plan.steps)}"


def _step_by_step(cell: Cell, plan: Schedule, x: Tensor, initial: Any) -> StatesAndLeaves:
    read = []

    def handed_on(state: Any) -> Any:
        read.append([field.detach().requires_grad_(field.requires_grad) for field in state])
        return cell.State(*read[-1])

    return [list(visit.state) for visit in walk(cell, plan, x, initial, handed_on)], read

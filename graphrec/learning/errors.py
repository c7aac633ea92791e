"""Errors dL/dH of a run's steps, sent back by the steps' own derivatives, so far and no further.

Each step of the run has been computed from leaves in place of its sources' states, so that a vector-Jacobian product
goes back by one hop exactly. `computed` and `read` are flat lists: the fields of each step's state, and the leaf that
other steps have read in place of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..schedule import Schedule, out_edges
from .first_order import check_first_order
from .losses import graph_from
from .reach import WayBack

Errors = Sequence[Tensor | None]
SendBack = Callable[[Sequence[Tensor], Errors], Errors]


class ErrorsSentBack(WayBack):
    """How errors go back, the leaves that they go back to, and in words what the gradients then are."""

    def __init__(self, send_back: SendBack, read: Sequence[Tensor], said: str) -> None:
        self.send_back, self.read, self.said = send_back, read, said

    def behind(self, into: list[Any], wrong: str) -> list[tuple[Any, str]]:
        """Cut are the paths of those fields of the state that other nodes read."""
        computed = into[-len(self.read) :]
        reached = {node.variable for node in graph_from(*computed) if hasattr(node, "variable")}
        is_cut = [leaf in reached for leaf in self.read]
        return [(source, wrong or self.said * cut) for source, cut in zip(computed, is_cut, strict=True)]


class WithErrorsSentBack(torch.autograd.Function):
    """The states themselves; on the way back, the errors of the losses and those that are sent back to them."""

    @staticmethod
    def forward(ctx: Any, task: ErrorsSentBack, *computed: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*computed)
        ctx.task = task
        return tuple(state.view_as(state) for state in computed)

    @staticmethod
    def backward(ctx: Any, *errors: Tensor | None) -> tuple[Any, ...]:
        check_first_order("TruncatedBPTT", errors)
        # The graphs of the steps are kept, for autograd to go on with.
        return None, *ctx.task.send_back(ctx.saved_tensors, errors)


def by_hops(read: Sequence[Tensor], depth: int) -> SendBack:
    """All errors at once, `depth - 1` hops: (1 + J' + ... + J'^(h-1)) dL/dH, J being dH/dH of all nodes."""

    def send_back(computed: Sequence[Tensor], errors: Errors) -> Errors:
        error = [torch.zeros_like(c) if e is None else e for c, e in zip(computed, errors, strict=True)]
        total = error
        for _ in range(depth - 1):
            error = torch.autograd.grad(
                computed, read, error, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            total = [t + e for t, e in zip(total, error, strict=True)]
        return total

    return send_back


def by_windows(
    read: Sequence[Tensor], step: Sequence[int], sources: Sequence[Sequence[int]], depth: int, every: int
) -> SendBack:
    """The errors of `every` steps together, from the last of these on through `depth` steps.

    Args:
        read: the leaves.
        step: of which step each is.
        sources: for each step those that it reads.
        depth, every: h and k.
    """
    fields: list[list[int]] = [[] for _ in sources]
    for index, number in enumerate(step):
        fields[number].append(index)

    def send_back(computed: Sequence[Tensor], errors: Errors) -> Errors:
        total = list(errors)
        for start in range(0, len(sources), every):
            stop = min(start + every, len(sources))
            first = max(0, stop - depth)
            arrived: dict[int, Tensor] = {}  # in this window, from later steps
            for number in range(stop - 1, first - 1, -1):
                here = {
                    i: _sum(errors[i] if number >= start else None, arrived.pop(i, None))
                    for i in fields[number]
                }
                here = {i: error for i, error in here.items() if error is not None}
                before = [i for source in sources[number] if source >= first for i in fields[source]]
                if here and before:
                    sent = torch.autograd.grad(
                        [computed[i] for i in here],
                        [read[i] for i in before],
                        list(here.values()),
                        retain_graph=True,
                        allow_unused=True,
                    )
                    for i, error in zip(before, sent, strict=True):
                        if error is not None:
                            arrived[i] = _sum(arrived.get(i), error)
                            total[i] = _sum(total[i], error)
        return total

    return send_back


def _sum(one: Tensor | None, other: Tensor | None) -> Any:
    return one if other is None else other if one is None else one + other


def sources_of_steps(plan: Schedule) -> list[list[int]]:
    """For each step the earlier steps whose states it reads; a round reads the round before."""
    if plan.mode == "sync":
        return [[number - 1] if number else [] for number in range(len(plan.steps))]
    sources: list[list[int]] = [[] for _ in plan.steps]
    for number, readers in enumerate(out_edges(plan).readers[1:]):  # (the first are those of boundary rows)
        for reader in readers:
            sources[reader].append(number)
    return sources

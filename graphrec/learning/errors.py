"""Errors dL/dH of a run's steps, sent back by the steps' own derivatives over a limited number of hops.

Each step of the run has been computed from leaves instead of its sources' states, so that a vector-Jacobian product
goes back by exactly one hop. `computed` and `read` are flat lists: the fields of each step's state, and the leaf that
other steps have read instead of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..operators import leaves_behind
from ..schedule import Schedule, out_edges
from .first_order import check_first_order
from .reach import WayBack

Errors = Sequence[Tensor | None]
SendBack = Callable[[Sequence[Tensor], Errors], Errors]


class ErrorsSentBack(WayBack):
    """How errors are sent back, the leaves that they reach, and in words what is wrong with the gradients."""

    send_back: SendBack
    read: Sequence[Tensor]
    verdict: str

    def __init__(self, send_back: SendBack, read: Sequence[Tensor], verdict: str) -> None:
        self.send_back, self.read, self.verdict = send_back, read, verdict

    def behind(self, into: list[Any], wrong: str) -> list[tuple[Any, str]]:
        """The paths of those fields of the state that other nodes read are cut."""
        computed = into[-len(self.read) :]
        reached = leaves_behind(*computed)
        is_cut = [leaf in reached for leaf in self.read]
        return [(source, wrong or self.verdict * cut) for source, cut in zip(computed, is_cut, strict=True)]


class WithErrorsSentBack(torch.autograd.Function):
    """The states themselves; in the backward pass, the errors of the losses and those that are sent back to them."""

    @staticmethod
    def forward(ctx: Any, task: ErrorsSentBack, *computed: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*computed)
        ctx.task = task
        return tuple(state.view_as(state) for state in computed)

    @staticmethod
    def backward(ctx: Any, *errors: Tensor | None) -> tuple[Any, ...]:
        check_first_order("TruncatedBPTT", errors)
        # The graphs of the steps are kept, for autograd to continue with.
        return None, *ctx.task.send_back(ctx.saved_tensors, errors)


def by_hops(read: Sequence[Tensor], depth: int) -> SendBack:
    """All errors in one pass, `depth - 1` hops: (1 + J' + ... + J'^(h-1)) dL/dH, J being dH/dH of all nodes."""

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
    """The errors of `every` steps together, from the last of these back through `depth` steps.

    Args:
        read: the leaves.
        step: the step of each leaf.
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
            received: dict[int, Tensor] = {}  # in this window, from later steps
            for number in range(stop - 1, first - 1, -1):
                here = {
                    i: _sum(errors[i] if number >= start else None, received.pop(i, None))
                    for i in fields[number]
                }
                here = {i: error for i, error in here.items() if error is not None}
                earlier = [i for source in sources[number] if source >= first for i in fields[source]]
                if here and earlier:
                    sent = torch.autograd.grad(
                        [computed[i] for i in here],
                        [read[i] for i in earlier],
                        list(here.values()),
                        retain_graph=True,
                        allow_unused=True,
                    )
                    for i, error in zip(earlier, sent, strict=True):
                        if error is not None:
                            received[i] = _sum(received.get(i), error)
                            total[i] = _sum(total[i], error)
        return total

    return send_back


def _sum(one: Tensor | None, other: Tensor | None) -> Any:
    return one if other is None else other if one is None else one + other


def sources_of_steps(plan: Schedule) -> list[list[int]]:
    """For each step the earlier steps whose states it reads; a round reads the previous round."""
    if plan.mode == "sync":
        return [[number - 1] if number else [] for number in range(len(plan.steps))]
    sources: list[list[int]] = [[] for _ in plan.steps]
    for number, readers in enumerate(out_edges(plan).readers[1:]):  # (the first are those of boundary rows)
        for reader in readers:
            sources[reader].append(number)
    return sources

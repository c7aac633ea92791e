"""A run taken step by step, for rules that need each step's own derivatives."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..engine.loop import Visit
from ..runs import steps
from ..schedule import Schedule


def check_is_walk(who: str, plan: Schedule) -> None:
    """Raise where a step is not a single update of its nodes."""
    if plan.cycles is not None:
        raise ValueError(
            f"{who} follows a run step by step, and here nodes that depend on themselves are iterated within a step: "
            f"use BPTT, or sync mode, in which each round is a step."
        )
    if plan.sweeps is not None and plan.sweeps > 1:
        raise ValueError(
            f"{who} follows one sweep in a given order, got {plan.sweeps} of them: use BPTT, or rounds=1."
        )


def walk(
    cell: Cell, plan: Schedule, x: Tensor, initial: Any, handed_on: Callable[[Any], Any]
) -> Generator[Visit, None, None]:
    """The visits of a run, in which later steps read what `handed_on` makes of each state."""
    loop = steps(cell, plan, x, initial)
    visit = next(loop, None)
    while visit is not None:
        yield visit
        try:
            visit = loop.send(handed_on(visit.state))
        except StopIteration:
            return


def by_node(plan: Schedule, rows: list[Tensor]) -> Tensor:
    """`[N, ...]` in the caller's numbering, from the rows of all steps; in sync mode of the last round."""
    return torch.cat(rows[-1:] if plan.mode == "sync" else rows).index_select(0, plan.inv_perm)

"""All steps of a run as one: each node's state as a function of its sources' states, which are leaves.

A run goes step by step because each step needs earlier states. Once all states are known, one step computes all
nodes together, and a vector-Jacobian product with J = dH/dH costs as much as one step's.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as torch_module

from ..backends import check_loop_may_run
from ..cell import Cell
from ..engine.loop import loop
from ..engine.messages import Rows, Sent
from ..engine.validate import validate
from ..operators import leaves_behind
from ..runs import run
from ..schedule import Schedule, as_one_step
from .layers import BATCH_NORMS, DROPOUTS
from .second_run import random_state, set_random_state

StatesAndLeaves = tuple[list[list[Tensor]], list[list[Tensor]]]
"""For each step the fields of its state, and the leaves that later steps read instead of these."""


def all_at_once(cell: Cell, plan: Schedule, x: Tensor, initial: Any) -> StatesAndLeaves | None:
    """A run as one step: the fields of all states, `[N, ·]` by position, and their leaves.

    None where one step may differ from many: for cells that draw random numbers or look at other nodes, that have
    hooks, or choose their equations by the kinds of a level's nodes; and where nothing is gained.
    """
    if plan.mode == "sync" or plan.structure.kind is not None or _is_another_in_company(cell):
        return None
    width = sum(math.prod(shape) for shape in cell.shapes())
    if x.device.type == "cpu" and plan.num_nodes * width > _LARGE * len(plan.steps):
        return None
    check_loop_may_run("steps one by one")
    drawn = random_state(x.device)
    with torch.no_grad():
        states = run(cell, plan, x, initial)
    if not torch.equal(drawn, random_state(x.device)):  # as if nothing had been tried
        set_random_state(x.device, drawn)
        return None
    leaves = [field.index_select(0, plan.perm).requires_grad_() for field in states]
    checked, fields = validate(cell, plan, x, initial)
    checked = replace(checked, plan=as_one_step(checked.plan))
    held = _Held(checked.plan, Sent(cell.State(*leaves), cell))
    computed = list(next(loop(checked, x, fields, held)).state)
    if not all(map(_are_the_same, computed, leaves)):
        return None
    if not _is_trained(computed, leaves):
        computed = [field.detach() for field in computed]
    return [computed], [leaves]


_LARGE = 16_384  # numbers in a step's states, above which computing takes longer on a CPU than launching


class _Held(Rows):
    """Messages for one step in which every source's state is known from the beginning."""

    def __init__(self, plan: Schedule, states: Sent) -> None:
        super().__init__(plan)
        self._states = states

    def send(self, level: int, sent: Sent) -> None:
        """The boundary rows; nobody reads what the one step sends."""
        self._boundary = sent if level == 0 else self._boundary

    def receive(self, step: Any) -> Any:
        """Reads a field, `[e, ...]`."""

        def read(name: str) -> Tensor:
            rows = self._states.read(name)
            if len(self._plan.boundary):
                rows = torch.cat([self._boundary.read(name), rows])
            return rows.index_select(0, self._plan.source)

        return read


def _is_another_in_company(cell: Cell) -> bool:
    """Whether a step with more nodes may differ, is observed from outside, or may count how often it is done."""
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return True
    return any(
        (isinstance(part, BATCH_NORMS) and (part.training or part.running_mean is None))
        or (isinstance(part, DROPOUTS) and part.training and getattr(part, "p", 0) > 0)
        or (part.training and next(part.buffers(recurse=False), None) is not None)
        or part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
        for part in cell.modules()
    )


def _are_the_same(computed: Tensor, states: Tensor) -> bool:
    """Whether they are equal up to round-off; a step that draws random numbers gives different ones."""
    one, other = computed.detach(), states.detach()
    tolerance = 1e3 * torch.finfo(one.dtype).eps
    scale = other.abs().nan_to_num(posinf=0).max().item() if other.numel() else 0.0
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def _is_trained(computed: list[Tensor], leaves: list[Tensor]) -> bool:
    """Whether anything but the leaves has a gradient."""
    return not leaves_behind(*(field.grad_fn for field in computed)).keys() <= set(leaves)

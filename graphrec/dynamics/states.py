"""The cell of a model, and a run that can be differentiated by the states of its nodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..cell import Cell
from ..learning.walk import by_node, walk
from ..models import Recursive
from ..schedule import Schedule


def cell_of(model: Any) -> Cell:
    """The cell that a model runs over its structure, once per node and in dependency order.

    Raises:
        TypeError: neither a cell nor a `Recursive`. ValueError: a model that runs in another mode.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "derivatives are measured, which inference mode does without: leave torch.inference_mode() for that."
        )
    if isinstance(model, Cell):
        return model
    if not isinstance(model, Recursive):
        raise TypeError(
            f"expected a cell or a graphrec.Recursive (LSTM, TreeLSTM, …), which runs one cell, got "
            f"{type(model).__name__}: measure the parts of a larger model one by one, each on the rows that it reads; "
            f"graphrec.from_torch converts torch's own layers."
        )
    if model.mode != "async" or model.cycles != "error" or model.order is not None:
        raise ValueError(
            f"expected a model in async mode, in which each state is computed once, without cycles='iterate' and "
            f"without a given order; got mode={model.mode!r}, cycles={model.cycles!r}, order={model.order!r}: pass "
            f"model.cell, which is then run in async mode."
        )
    return model.cell


def flatten(state: tuple[Tensor, ...]) -> Tensor:
    """The fields of a state, concatenated, `[n, S]`."""
    return torch.cat([field.flatten(1) for field in state], dim=1)


def jacobians(output: Tensor, states: list[Any], weight: Tensor | None = None) -> Tensor:
    """`[n, R, S]`: for each of the n nodes of `states`, the derivatives of R numbers by its whole state.

    Args:
        output: `[M, W]`, of nodes that depend on different ones: the derivatives of all M are found together, and
            those by a node are of the one that depends on it.
        states: by which to differentiate, each a State.
        weight: `[R, M, W]`, the coefficients of the R numbers in a row of the output; by default each entry separately.
    """
    if weight is None:
        unit = torch.eye(output.shape[1], dtype=output.dtype, device=output.device)
        weight = unit.unsqueeze(1).expand(-1, len(output), -1)
    fields = [field for state in states for field in state]
    grads = torch.autograd.grad(
        output, fields, weight, is_grads_batched=True, allow_unused=True, retain_graph=True
    )
    found = [
        field.new_zeros(len(weight), *field.shape) if grad is None else grad
        for field, grad in zip(fields, grads, strict=True)
    ]
    width = len(states[0])
    by_state = [found[i : i + width] for i in range(0, len(found), width)]
    rows = [torch.cat([grad.flatten(2) for grad in state], dim=2) for state in by_state]
    return torch.cat(rows, dim=1).transpose(0, 1)


class Run(NamedTuple):
    """A run that can be differentiated by its intermediate states.

    Attributes:
        state: a State, fields `[N, ·]`, by the structure's numbers.
        offsets: for each step a State of zeros that was added to the new states. The derivative by the zeros is the
            total one by the states, along all paths that lead on from them.
        row: `[N]` long, the row of each node among the rows of all offsets.
    """

    state: Any
    offsets: list[Any]
    row: Tensor


def run_with_offsets(cell: Cell, plan: Schedule, x: Tensor, initial: Any) -> Run:
    """Run a cell; arguments as in `graphrec.run`."""
    states, offsets = [], []

    def with_offset(state: Any) -> Any:
        zeros = cell.State(*(torch.zeros_like(field, requires_grad=True) for field in state))
        states.append(cell.State(*(field + zero for field, zero in zip(state, zeros, strict=True))))
        offsets.append(zeros)
        return states[-1]

    for _ in walk(cell, plan, x, initial, with_offset):
        pass
    state = cell.State(*(by_node(plan, list(rows)) for rows in zip(*states, strict=True)))
    return Run(state, offsets, plan.inv_perm)

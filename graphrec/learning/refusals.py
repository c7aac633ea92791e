"""What forward rules refuse before any work."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..engine.initial import Initial, initial_fields
from ..runs import steps
from ..schedule import Schedule
from ..structure.outside import is_autocast
from .layers import BATCH_NORMS, DROPOUTS
from .layout import Layout, has_rows_for_units
from .step_function import LocalStep, StepFunction
from .traced import Traced


def check_run(rule: Any, cell: Cell, plan: Schedule, x: Tensor, initial: Any) -> None:
    """Raise ValueError unless a rule can follow this schedule with this cell."""
    name, of_cell = type(rule).__name__, type(cell).__name__
    if plan.mode != "async" or plan.cycles is not None or plan.sweeps is not None:
        what = "rounds" if plan.mode != "async" else "a given order" if plan.cycles is None else "cycles"
        raise ValueError(
            f"{name} goes along a schedule in which each node is updated once, after its sources (mode='async'), got "
            f"one with {what}: learn this with BPTT."
        )
    if cell.initial_from_x(x.detach(), plan.structure) is not None:
        raise ValueError(
            f"{name} is for cells that begin with zero or with the initial state that is given, but {of_cell} begins "
            f"with x: learn this with BPTT."
        )
    if is_autocast(x.device):
        raise ValueError(
            f"{name} compares derivatives there and back, which differ under autocast: run it outside, "
            f"torch.autocast({x.device.type!r}, enabled=False), or learn with BPTT."
        )
    check_modules(name, cell)
    features = plan.structure.edge_attr
    if features is not None and not isinstance(features, Tensor):
        raise ValueError(
            f"{name} takes edge features that are one tensor, got {type(features).__name__}: learn this with BPTT."
        )
    for what in ("edge_attr", "edge_weight"):
        if getattr(getattr(plan.structure, what), "requires_grad", False):
            raise ValueError(
                f"{name} has no gradient for edges, but {what} requires one: detach it, or use BPTT."
            )
    fields = initial_fields(initial)
    is_per_node = isinstance(initial, Initial) and initial.rows == "node"
    is_per_node = is_per_node or (bool(fields) and len(fields[0]) not in (1, plan.structure.num_graphs))
    if is_per_node and any(field.requires_grad for field in fields):
        raise ValueError(
            f"{name} has a gradient for initial states with a row for each graph or one for all, got {len(fields[0])} "
            f"rows, one for each node: detach them, or use BPTT."
        )


def check_modules(name: str, cell: Cell) -> None:
    """Raise ValueError for parts whose derivative at a node depends on other nodes, or differs between two calls."""
    for path, part in cell.named_modules():
        if isinstance(part, BATCH_NORMS) and (part.training or part.running_mean is None):
            raise ValueError(
                f"{name} cannot differentiate batch normalisation in training ({path}): a node's state depends on all "
                f"nodes of its step there. Use LayerNorm, or call {path}.eval()."
            )
        if isinstance(part, DROPOUTS) and part.training and getattr(part, "p", 0) > 0:
            raise ValueError(
                f"{name} computes a step more than once, but {path} redraws its dropout each time: put the dropout "
                f"before or after the run, use graphrec.VariationalDropout, or call {path}.eval()."
            )


def check_size(name: str, layout: Layout, limit: int) -> None:
    """Raise ValueError if a node had more sensitivities than the limit."""
    numbers = layout.fields * layout.units * layout.size
    if numbers > limit:
        raise ValueError(
            f"{name} would keep {numbers:,} sensitivities for each node, a state of {layout.fields * layout.units} "
            f"numbers times {layout.units * layout.size:,} weights, and the limit is {limit:,}: take SnAp1(), which "
            f"keeps about one for each weight, a cell whose recurrence is elementwise, or {name}(limit=...)."
        )


def check_units(name: str, function: StepFunction, why: str) -> int:
    """The number of units of a cell, U; raises ValueError where its weights have no part for each of them."""
    cell = function.cell
    units = getattr(cell, "hidden", 0)
    if not units or function.width % units or not has_rows_for_units(function.weights, units):
        raise ValueError(
            f"{name} needs a cell of `hidden` units, each with its own rows of all weights, which "
            f"{type(cell).__name__} is not: {why}"
        )
    return units


def check_first_step(rule: Any, traced: Traced, plan: Schedule, x: Tensor, initial: Any) -> bool:
    """Raise ValueError if torch.func cannot differentiate the cell: the first steps are tried, one with edges.

    Returns whether there was one with edges; without, it is unknown what the cell does with its sources.
    """
    name, of_cell, with_edges = type(rule).__name__, type(traced.cell).__name__, False
    loop = steps(traced, plan, x, traced.begin(initial))
    try:
        for visit in loop:
            assert traced.step is not None
            _check_derivatives(name, of_cell, traced.step)
            _check_independence(name, of_cell, traced)
            with_edges = visit.inbox.num_edges > 0
            if with_edges or visit.number == _TRIED:
                break
    except RuntimeError as error:
        raise ValueError(
            f"{name} differentiates steps by torch.func, which cannot go through {of_cell}: "
            f"{str(error).splitlines()[0]} Write the step without random numbers and "
            f"without writing in place, or learn with BPTT."
        ) from error
    finally:
        loop.close()
        traced.step = None  # as in `ForwardRun.gradients`
    return with_edges


def _check_derivatives(name: str, of_cell: str, step: LocalStep) -> None:
    """Raise ValueError unless the step is a function of its weights, with the same derivatives forwards and back."""
    with torch.enable_grad():
        if step.value().requires_grad:
            raise ValueError(
                f"{of_cell} reads a tensor that requires a gradient and is not one of its parameters, which {name} "
                f"would not reach: make it an nn.Parameter of the cell, or learn with BPTT."
            )
    for _ in range(3):  # along one direction they may agree by chance
        forwards, backwards, scale = step.both_ways()
        if (forwards - backwards).abs() > 1e3 * torch.finfo(scale.dtype).eps * scale:
            raise ValueError(
                f"the step of {of_cell} has other derivatives forwards (torch.func.jvp) than backwards (vjp), as where "
                f"it computes under torch.no_grad: write .detach() there, or learn with BPTT."
            )


def _check_independence(name: str, of_cell: str, traced: Traced) -> None:
    """Raise ValueError unless units are independent of each other, if the trace assumes that."""
    trace, step = traced.trace, traced.step
    assert step is not None
    if trace.layout.units == 1 or not step.across_units(trace.layout, trace.with_sources).any():
        return
    raise ValueError(
        f"{name} takes the {trace.layout.units} units of {of_cell} for independent of each other "
        f"{'in a step' if trace.with_sources else 'but for what they read of the sources'}, and they are not: "
        f"{trace.otherwise}"
    )


_TRIED = 1

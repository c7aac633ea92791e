"""One run, validated: what the loop and all backends are given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell, check_cell
from ..cells.edges import check_edges
from ..schedule import Schedule, check_schedule, schedule_seen_by, slot_fault, with_initial
from ..structure import Structure
from ..structure.checks import check_layout, check_no_batch
from ..structure.outside import is_autocast, outside
from .initial import check_initial


@dataclass(frozen=True)
class Context:
    """The cell, its schedule, and where each node finds its initial state.

    Attributes:
        initial_row: `[N]`, for each node (by the structure's numbers) its row of the initial state, or None
            where no initial state is given.
        dtype: of the state; that of x as given (under autocast a projected x may differ).
        each_its_own: whether node v finds its initial state in row v.
        boundary_row: for each boundary row its row of the initial state, or None: it is that of its node.
    """

    cell: Cell
    plan: Schedule
    initial_row: Tensor | None
    dtype: torch.dtype
    each_its_own: bool = False
    boundary_row: Tensor | None = None

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one node's row of each field."""
        return self.cell.shapes()

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the state's fields."""
        return self.cell.State._fields

    @property
    def message_fields(self) -> tuple[str, ...]:
        """The names of what nodes send to their targets."""
        return self.fields if self.cell.Message is None else self.cell.Message._fields

    @cached_property
    def own_fields(self) -> tuple[str, ...]:
        """The names of what a node reads of itself: its state, and what it sends."""
        return tuple(dict.fromkeys((*self.fields, *self.message_fields)))

    @cached_property
    def of_edges(self) -> dict[str, Tensor]:
        """The structure's `edge_attr` `[E, ...]`, as the cell projects it, and `edge_weight` `[E]`, where given."""
        structure = self.plan.structure
        attr, weight = self.cell.edge_rows(structure), structure.edge_weight
        found = {} if attr is None else {"edge_attr": attr}
        return found if weight is None else {**found, "edge_weight": weight.to(self.dtype)}


def validate(cell: Cell, plan: Schedule, x: Tensor, initial: Any) -> tuple[Context, list[Tensor]]:
    """Refuse bad input before any work is done; returns the run and the fields of the initial state."""
    check_runnable(cell, plan)
    check_x(cell, plan, x)
    with outside():
        if cell.arity is not None and (plan.num_slots > cell.arity or not plan.distinct_slots):
            raise ValueError(slot_fault(plan, cell.arity))
        if cell.edges is not None or cell.relations is not None:
            check_edges(cell, plan.structure)
        cell.check(plan.structure)
    cell.initialize(x, schedule_seen_by(x, plan).structure)
    if initial is None:
        plan = schedule_seen_by(x, plan)
        initial = cell.initial_from_x(x, plan.structure)
        if initial is None:
            return Context(cell, plan, None, x.dtype), []
        nodes = plan.perm if plan.is_identity else torch.arange(plan.num_nodes, device=plan.device)
        return Context(cell, plan, nodes, x.dtype, each_its_own=True), initial_of_x(cell, plan, initial)
    if cell.begins_with_x:
        check_width_is_kept(cell, cell.initial_from_x(x, plan.structure))
    fields, rows, each_its_own = check_initial(cell, plan, x, initial)
    return Context(cell, schedule_seen_by(x, with_initial(plan)), rows, x.dtype, each_its_own), fields


def validate_pair(
    cell: Cell, plan: Schedule, x_source: Tensor, x_target: Tensor | None
) -> tuple[Context, int]:
    """The same for a round from one set of nodes to another; returns the run, and the number of targets."""
    check_runnable(cell, plan)
    num_targets = plan.num_nodes - len(x_source)
    of_source, of_target = cell.inputs if isinstance(cell.inputs, tuple) else (cell.inputs, cell.inputs)
    _check_rows(cell, plan, "x_source", x_source, len(x_source), of_source)
    if x_target is not None:
        _check_rows(cell, plan, "x_target", x_target, num_targets, of_target)
        if x_target.dtype != x_source.dtype:
            raise TypeError(f"x_target must be {x_source.dtype} as x_source is, got {x_target.dtype}.")
    check_edges(cell, plan.structure)
    return Context(cell, schedule_seen_by(x_source, plan), None, x_source.dtype), num_targets


def check_state(run: Context, state: Any, num_nodes: int) -> None:
    """Raise unless a cell has returned what it should."""
    name, fields = type(run.cell).__name__, run.fields
    if getattr(state, "_fields", None) != fields:
        raise TypeError(
            f"{name}.forward must return a {name}.State({', '.join(fields)}), got {type(state).__name__}."
        )
    for field, shape, value in zip(fields, run.shapes, state, strict=True):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}.forward must return tensors, got {type(value).__name__} for {field}.")
        if value.shape != (num_nodes, *shape):
            has_the_width = value.shape[1:] == shape
            hint = "a row for each node or, of edges, their sum, inbox.sum(...)"
            hint = hint if has_the_width else "is self.hidden (or shapes()) right?"
            raise ValueError(
                f"{name}.forward must return {field} of shape {[num_nodes, *shape]} for {num_nodes} nodes, "
                f"got {list(value.shape)}: {hint}"
            )


def check_sent(run: Context, sent: Any, state: Any) -> Any:
    """A state that was sent in from outside the loop, if it can replace this one."""
    if getattr(sent, "_fields", None) != run.fields:
        raise TypeError(
            f"send takes a state with the fields {', '.join(run.fields)}, as the visit has, got {type(sent).__name__}."
        )
    for name, value, like in zip(run.fields, sent, state, strict=True):
        if (value.shape, value.dtype, value.device) != (like.shape, like.dtype, like.device):
            raise ValueError(
                f"the {name} that is sent must have shape {list(like.shape)}, {like.dtype} on {like.device}, got "
                f"{list(value.shape)}, {value.dtype} on {value.device}."
            )
    return run.cell.State(*sent)


def check_runnable(cell: Cell, plan: Schedule) -> None:
    """Raise unless these are a cell and a schedule."""
    check_cell(cell)
    check_schedule(plan)
    if not hasattr(getattr(cell, "State", None), "_fields"):
        raise TypeError(
            f"{type(cell).__name__}.State must be a NamedTuple type, e.g. namedtuple('State', 'h c')."
        )


def check_x(cell: Cell, plan: Schedule | Structure, x: Any) -> None:
    """Raise unless x has a row for each node, as the cell reads them."""
    width = cell.inputs
    if isinstance(width, tuple):
        raise ValueError(
            f"the cell reads rows of width {width[0]} from sources and {width[1]} of targets, two sets of nodes: call "
            f"its model as model((x_source, x_target), edge_index)."
        )
    _check_rows(cell, plan, "x", x, plan.num_nodes, width)


def _check_rows(
    cell: Cell, plan: Schedule | Structure, name: str, x: Any, count: int, width: int | None
) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor with one row per node, got {type(x).__name__}.")
    check_layout(name, x)
    check_no_batch(x, count, f"{count} rows")
    if x.dim() < 1 or x.shape[0] != count:
        raise ValueError(
            f"{name} must have one row per node: expected {count} rows, got shape {tuple(x.shape)}. "
            f"Nodes without an input of their own get a row, too (zeros, for instance)."
        )
    if width is not None and (x.dim() != 2 or x.shape[1] != width):
        raise ValueError(f"{name} must have shape [{count}, {width}] for this cell, got {tuple(x.shape)}.")
    if not x.is_floating_point():
        raise TypeError(
            f"{name} must hold floating-point numbers, got {x.dtype}: embed ids first, or convert with .float()."
        )
    parameter = _first_parameter(cell)
    if parameter is not None and x.dtype != parameter.dtype and not is_autocast(x.device):
        raise TypeError(
            f"{name} is {x.dtype}, but the cell's parameters are {parameter.dtype}: convert one, "
            f"{name}.to({parameter.dtype}) or cell.to({x.dtype})."
        )
    if parameter is not None and x.device != parameter.device:
        raise ValueError(
            f"{name} is on {x.device}, but the cell's parameters are on {parameter.device}: move one with .to()."
        )
    if x.device != plan.device and not x.is_meta:  # (meta tensors run shapes only)
        raise ValueError(
            f"{name} is on {x.device}, but the schedule is on {plan.device}: schedule the structure there, "
            f"graphrec.schedule(s.to('{x.device}'))."
        )


def initial_of_x(cell: Cell, plan: Schedule, initial: Any) -> list[Tensor]:
    """The fields of the state that a cell makes of its input, if a run can begin with them."""
    name = type(cell).__name__
    if getattr(initial, "_fields", None) != cell.State._fields:
        raise TypeError(
            f"{name}.initial_from_x must return a {name}.State({', '.join(cell.State._fields)}), got "
            f"{type(initial).__name__}."
        )
    for field, shape, value in zip(cell.State._fields, cell.shapes(), initial, strict=True):
        if value.shape[0] != plan.num_nodes:
            raise ValueError(
                f"{name}.initial_from_x must return one row per node, {plan.num_nodes}, got {tuple(value.shape)} for "
                f"{field}."
            )
        if value.shape[1:] != shape and plan.rounds != 1:
            raise ValueError(
                f"the cell turns a {field} of width {list(value.shape[1:])} into one of {list(shape)}, which can be "
                f"done for one round (mode='sync', rounds=1), and not again and again: take a cell that keeps the "
                f"width, or a cell for each round (graphrec.GNN)."
            )
    return list(initial)


def check_width_is_kept(cell: Cell, initial: Any) -> None:
    """Raise if an initial state would stand in place of an x of another width; initial: what the cell makes of x."""
    if initial is not None and [value.shape[1:] for value in initial] != cell.shapes():
        raise ValueError(
            f"an initial state stands in place of x, which this cell turns from width {list(initial[0].shape[1:])} "
            f"into {list(cell.shapes()[0])}: give it as x."
        )


def _first_parameter(module: nn.Module) -> Tensor | None:
    # Like next(module.parameters()), which makes lists of them all; this runs at every call.
    for parameter in module._parameters.values():
        if parameter is not None:
            return parameter
    for part in module._modules.values():
        parameter = None if part is None else _first_parameter(part)
        if parameter is not None:
            return parameter
    return None

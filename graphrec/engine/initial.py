"""The initial state of a run, as its caller gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..schedule import Schedule
from ..schedule.derived import derived
from ..structure.checks import check_layout


@dataclass(frozen=True)
class Initial:
    """An initial state whose rows are declared to be one per graph, or one per node; see `per_graph`, `per_node`."""

    state: Any
    rows: str


def per_graph(state: Any) -> Initial:
    """An initial state, a State or a tensor, with a row for each graph: `model(x, s, initial=gr.per_graph(h0))`.

    Needed only where a batch has as many graphs as nodes (so some graphs are empty) and the number of rows is
    ambiguous. One row for all is accepted, too.
    """
    return _declared(state, "graph")


def per_node(state: Any) -> Initial:
    """An initial state with a row for each node; see `per_graph`."""
    return _declared(state, "node")


def _declared(state: Any, rows: str) -> Initial:
    if not isinstance(state, Initial):
        return Initial(state, rows)
    if state.rows != rows:
        raise TypeError(
            f"an initial state whose rows are declared to be one per {state.rows} has none per {rows}."
        )
    return state


def initial_fields(initial: Any) -> list[Any]:
    """The fields of an initial state, in whichever form it was given; nothing, where it is None."""
    given = initial.state if isinstance(initial, Initial) else initial
    return [given] if isinstance(given, Tensor) else list(given) if isinstance(given, list | tuple) else []


def check_initial(cell: Cell, plan: Schedule, x: Tensor, initial: Any) -> tuple[list[Tensor], Tensor, bool]:
    """The fields of the initial state, each node's row of them, `[N]`, and whether node v has row v.

    Raises:
        TypeError, ValueError: a state that is not of this cell's type, or has other rows than x; as many rows as
            graphs and nodes, where it matters which they are and is not declared.
    """
    declared = initial.rows if isinstance(initial, Initial) else None
    fields = _fields(cell, initial)
    _check_past(cell, plan)
    structure, count = plan.structure, fields[0].shape[0]
    wanted = {
        "node": (plan.num_nodes, "one per node"),
        "graph": (structure.num_graphs, "one per graph"),
        "all": (1, "one for all"),
    }
    allowed = {kind: wanted[kind] for kind in wanted if declared in (None, kind) or kind == "all"}
    _check_rows(cell, x, fields, dict(allowed.values()))
    fits = [kind for kind, (rows, _) in allowed.items() if rows == count]
    is_node_per_graph = "graph" in fits and _is_node_per_graph(plan)
    if fits[:2] == ["node", "graph"] and not is_node_per_graph:
        raise ValueError(
            f"there are as many graphs as nodes, {count}, so that the rows of the initial state may be one per graph "
            f"or one per node, which is not the same here: say which, graphrec.per_graph(state) or "
            f"graphrec.per_node(state)."
        )
    if fits[0] == "graph" and is_node_per_graph:
        return fields, structure.graph, True
    if fits[0] == "node" and (count > 1 or declared == "node"):
        return fields, torch.arange(plan.num_nodes, device=plan.device), True
    # (One row is for all, graphs without nodes among them.)
    return fields, torch.zeros_like(structure.graph) if count == 1 else structure.graph, False


@derived
def _is_node_per_graph(plan: Schedule) -> bool:
    """Whether graph g consists of node g, so that rows of graphs are rows of nodes."""
    s = plan.structure
    return s.num_graphs == s.num_nodes and torch.equal(s.graph, torch.arange(s.num_nodes, device=s.device))


def _fields(cell: Cell, initial: Any) -> list[Tensor]:
    names, given = cell.State._fields, initial_fields(initial)
    if not given or not all(isinstance(value, Tensor) for value in given):
        raise TypeError(
            f"the initial state must be a State({', '.join(names)}) of tensors, or a tensor where it has one field, "
            f"got {type(getattr(initial, 'state', initial)).__name__}."
        )
    if len(given) != len(names):
        raise ValueError(
            f"the initial state must have the fields of the cell's State ({', '.join(names)}), got {len(given)}."
        )
    for name, value in zip(names, given, strict=True):
        check_layout(f"initial {name}", value)
        if value.dim() < 1:
            raise ValueError(f"initial {name} must have rows, [·, H], got a single number.")
    return given


def _check_past(cell: Cell, plan: Schedule) -> None:
    past, arity = plan.structure.past, cell.arity
    if plan.mode == "async" and past is not None and arity is not None and bool((past > arity).any()):
        raise ValueError(
            f"the initial state would fill {int(past.max())} slots of a node, its past, but the cell has {arity}: "
            f"use a cell with as many slots as there are lags, or one that sums its inbox."
        )


def _check_rows(cell: Cell, x: Tensor, fields: list[Tensor], rows: dict[int, str]) -> None:
    for name, shape, value in zip(cell.State._fields, cell.shapes(), fields, strict=True):
        check_layout(f"initial {name}", value)
        if value.dim() < 1 or value.shape[1:] != shape or value.shape[0] not in rows:
            allowed = " or ".join(f"{count} ({what})" for count, what in rows.items())
            raise ValueError(
                f"initial {name} must have rows of shape {list(shape)}, {allowed}, got shape {tuple(value.shape)}."
            )
        if value.shape[0] != fields[0].shape[0]:
            raise ValueError(
                f"the fields of the initial state must have equally many rows, got {name} with {value.shape[0]}."
            )
        if value.dtype != x.dtype or value.device != x.device:
            raise TypeError(
                f"initial {name} must be {x.dtype} on {x.device} as x is, got {value.dtype} on {value.device}."
            )

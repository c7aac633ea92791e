"""What a page shows: the runs of a model, recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..backends import telling, untouched
from ..cell import Cell
from ..engine.rules import differentiated_by
from ..learning import Rule
from ..runs import rounds, run
from ..schedule import Schedule, schedule
from ..structure import Structure
from ..structure.checks import as_texts


class Recorded(NamedTuple):
    """One run of a cell.

    Attributes:
        cell, plan, x, initial: what was run, as in `graphrec.run`.
        states: the State after the run, fields `[N, ·]`; in sync mode those of all rounds, round 0 first.
        backend: what ran it.
        reasons: why others did not, by name.
    """

    cell: Cell
    plan: Schedule
    x: Tensor
    initial: Any
    states: list[Any]
    backend: str
    reasons: dict[str, str]


class Recorder(Rule):
    """Is handed every run of a model, as learning rules are; does it as ever, and keeps what it gave."""

    def __init__(self) -> None:
        self.runs: list[Recorded] = []

    def __repr__(self) -> str:
        return "graphrec.viz.html"  # so that a refusal of rules names who asked

    def run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        """The state that `graphrec.run` returns."""
        told: list[tuple[str, dict[str, str]]] = []

        def note(context: Any, backend: str, reasons: dict[str, str]) -> None:
            if context.cell is cell:
                told.append((backend, reasons))

        with telling(note):
            state = run(cell, plan, x, initial)
        states = rounds(cell, plan, x, initial) if plan.mode == "sync" else [state]
        self.runs.append(Recorded(cell, plan, x, initial, states, *told[-1]))
        return state


def record(model: Callable[..., Any], s: Any, x: Any, initial: Any = None) -> list[Recorded]:
    """All runs that a call does, one or more; the model is afterwards as it was, and so are torch's random numbers.

    Raises:
        TypeError: what holds no cell, a class; a schedule, and not a cell to run over it.
        ValueError: a call that runs no cell.
    """
    _check_runs_cells(model)
    recorder = Recorder()
    with untouched(model, x), torch.no_grad():
        if isinstance(model, Cell):
            plan = s if isinstance(s, Schedule) else schedule(s)
            recorder.run(model, plan, x, initial)
        elif isinstance(s, Schedule):
            raise TypeError(
                f"a schedule is what a cell runs over; {type(model).__name__} makes its own: give it the structure."
            )
        else:
            with differentiated_by(recorder):
                model(x, s) if initial is None else model(x, s, initial=initial)
    if not recorder.runs:
        raise ValueError(f"{_name(model)}(x, s) ran no cell, so that there is nothing to show.")
    return recorder.runs


def _check_runs_cells(model: Any) -> None:
    """Raise TypeError for a class, and for a module that holds no cell. (What a function calls is seen later.)"""
    expected = "expected a model, a cell or a function that calls one, got"
    if not callable(model):
        raise TypeError(f"{expected} {type(model).__name__}.")
    if isinstance(model, type):
        raise TypeError(f"{expected} the class {model.__name__}.")
    if isinstance(model, nn.Module) and not any(isinstance(part, Cell) for part in model.modules()):
        raise TypeError(f"{expected} {_name(model)}, which holds no cell.")


def _name(model: Any) -> str:
    return type(model).__name__ if isinstance(model, nn.Module) else getattr(model, "__name__", repr(model))


def texts_of(structure: Structure, labels: Any = None) -> list[str | None]:
    """One text per node, or None: what was given, or the structure's tokens, or else its labels.

    Raises:
        ValueError: not one for each node.
    """
    if labels is None:
        none = (None,) * structure.num_nodes
        pairs = zip(structure.tokens or none, structure.labels or none, strict=True)
        return [label if token is None else token for token, label in pairs]
    labels = as_texts("labels", labels)
    if len(labels) != structure.num_nodes:
        raise ValueError(f"labels must be one per node: expected {structure.num_nodes}, got {len(labels)}.")
    return list(labels)

"""Who runs a cell over a schedule: a table of backends, each of which says what it does not take."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from ..cell import Cell, Fused
from ..engine.validate import Context
from ..schedule import chains
from ..sparse import is_plain_only
from .chain_sweep import ChainSweep
from .lowered import Lowered
from .torch_operators import TorchOperators

# The fastest first. What none of them takes runs in the loop.
BACKENDS: tuple[Any, ...] = (ChainSweep, TorchOperators)
LOOP = "loop"
NAMES = (LOOP, *(backend.name for backend in BACKENDS))

_forced: ContextVar[str | None] = ContextVar("backend", default=None)
_noted: ContextVar[list[Choice] | None] = ContextVar("noted", default=None)
_warned: WeakSet[type] = WeakSet()


class SlowPathWarning(UserWarning):
    """A subclass of a standard cell runs in the loop, where the cell itself has a faster backend."""


@dataclass(frozen=True)
class Choice:
    """What a cell ran on.

    Attributes:
        cell, backend: which, and the name of what ran it.
        nodes, steps: of the schedule.
        reasons: why others did not, by name.
    """

    cell: Cell
    backend: str
    nodes: int
    steps: int
    reasons: dict[str, str]


@contextmanager
def running_on(backend: str | None) -> Iterator[None]:
    """While this lasts, runs are done by this backend, and raise where it does not take them; None: by the fastest.

    Raises:
        ValueError: no such backend.
    """
    if backend is not None and backend not in NAMES:
        raise ValueError(f"there is no backend {backend!r}: choose among {', '.join(map(repr, NAMES))}.")
    token = _forced.set(backend)
    try:
        yield
    finally:
        _forced.reset(token)


def check_loop_may_run(what: str) -> None:
    """Raise ValueError where another backend was asked for than the loop."""
    if _forced.get() not in (None, LOOP):
        raise ValueError(
            f"backend {_forced.get()!r} does not run {what}, which only the loop does: leave backend out."
        )


def choose(run: Context, x: Tensor, initial: list[Tensor]) -> Lowered | None:
    """A run by a backend that takes it, the fastest; None: it is the loop's.

    Args:
        run: the run.
        x: `[N, D]`, in the caller's order.
        initial: per field `[K, ...]` (see `Context.initial_row`), or nothing.

    Raises:
        ValueError: the backend that was asked for does not take it.
    """
    forced = _forced.get()
    if forced == LOOP:
        return _note(run, LOOP, {})
    fused, why_not = _operator(run, x, initial)
    reasons: dict[str, str] = {}
    for backend in BACKENDS:
        reason = why_not or backend.refuses(fused.operator, x)  # type: ignore[union-attr]
        if reason is not None:
            reasons[backend.name] = reason
        elif forced in (None, backend.name):
            _note(run, backend.name, reasons)
            return backend(run.plan, chains(run.plan), fused, x, _of_chains(run, initial))
    if forced is not None:
        raise ValueError(
            f"backend {forced!r} does not run {type(run.cell).__name__} here: {reasons[forced]}. Leave backend out for "
            f"the fastest one that does."
        )
    return _note(run, LOOP, reasons)


def _note(run: Context, name: str, reasons: dict[str, str]) -> None:
    if (noted := _noted.get()) is not None:
        noted.append(Choice(run.cell, name, run.plan.num_nodes, len(run.plan.steps), reasons))


def _of_chains(run: Context, initial: list[Tensor]) -> list[Tensor]:
    """The state before each chain."""
    of_plan = chains(run.plan)
    if run.initial_row is None or of_plan is None:
        return initial
    row = run.initial_row[of_plan.heads]
    return [field.index_select(0, row) for field in initial]


def _operator(run: Context, x: Tensor, initial: list[Tensor]) -> tuple[Fused | None, str | None]:
    """The operator that a cell is on chains; or why this run is none for backends over chains."""
    if run.plan.edge_mask is not None:
        return None, "messages are masked"
    if run.plan.mode != "async" or run.plan.cycles is not None or run.plan.sweeps is not None:
        return (
            None,
            "it runs in rounds"
            if run.plan.mode != "async"
            else "it runs more than once, or in a given order",
        )
    if is_plain_only(x):
        return None, "a transform of torch.func, a forward-mode derivative, or an input without values"
    fused = run.cell.fused()
    if fused is None:
        return None, _why_not_fused(run)
    is_cast = torch.is_autocast_enabled(x.device.type)
    for tensor in (x, *initial, *fused[1:]):
        # (Of other types is whatever overloads operations.)
        if tensor is not None and type(tensor) not in (Tensor, nn.Parameter):
            return None, f"there is a {type(tensor).__name__} among x, state and weights"
        if tensor is not None and tensor.dtype != x.dtype and not is_cast:
            return None, f"x is {x.dtype}, but there is {tensor.dtype} among state and weights"
    # Torch's operators trust the shapes that they are given; what is wrong with others, the equations say.
    if not fused.has_shapes(x.shape[1], run.cell.hidden):
        return None, "a weight has another shape than the cell's widths say"
    if chains(run.plan) is None:
        return (
            None,
            "the structure is not made of chains alone" if run.plan.num_nodes else "there are no nodes",
        )
    return fused, None


def _why_not_fused(run: Context) -> str:
    kind = next((kind for kind in type(run.cell).__mro__ if "fused" in vars(kind)), Cell)
    if kind is Cell:
        return f"{type(run.cell).__name__} is none of torch's operators"
    if kind is type(run.cell):
        return "the cell is changed: its activation, a hook, or a part that is no plain nn.Linear"
    _warn_of_subclass(run, kind)
    return f"{type(run.cell).__name__} is a subclass of {kind.__name__}, whose equations may differ"


def _warn_of_subclass(run: Context, kind: type[Cell]) -> None:
    if (
        type(run.cell) in _warned
        or chains(run.plan) is None
        or type(run.cell).__module__.startswith("graphrec.")
    ):
        return
    _warned.add(type(run.cell))
    warnings.warn(
        f"{type(run.cell).__name__} is a subclass of {kind.__name__} and runs in the loop, step by step, which on long "
        f"chains is many times slower than the backend of {kind.__name__}: graphrec.explain(model, s) says what runs.",
        SlowPathWarning,
        stacklevel=_frames_inside(),
    )


def _frames_inside() -> int:
    """How many calls lead from the user's line to the one that warns."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] in ("graphrec", "torch"):
        frame, count = frame.f_back, count + 1
    return count


class Explanation(tuple[Choice, ...]):
    """What ran each cell, and why nothing faster; prints as a text, a line for each."""

    def __repr__(self) -> str:
        return "\n".join(map(_line, self)) or "no cell was run"


def _line(choice: Choice) -> str:
    line = f"{type(choice.cell).__name__} ({choice.nodes} nodes, {choice.steps} steps): {choice.backend}"
    reasons: dict[str, list[str]] = {}
    for name, reason in choice.reasons.items():
        reasons.setdefault(reason, []).append(name)
    return "; ".join([line, *(f"not {', '.join(names)}: {reason}" for reason, names in reasons.items())])


def explain(model: nn.Module, s: Any, x: Tensor | None = None) -> Explanation:
    """Which backend runs each cell of a model over a structure, and why not a faster one.

    The model is run once, in evaluation mode and without gradients.

    Args:
        model: called as `model(x, s)`.
        s: what it runs over.
        x: its input; by default zeros, as wide as the model's first cell takes them.
    """
    if x is None:
        cell = next((part for part in model.modules() if isinstance(part, Cell)), None)
        if cell is None or not isinstance(cell.inputs, int) or not hasattr(s, "num_nodes"):
            raise ValueError(
                "model and structure do not say what shape the input has: give x, explain(model, s, x)."
            )
        like = next(iter(model.parameters()), torch.zeros(()))
        x = like.new_zeros(s.num_nodes, cell.inputs)
    choices: list[Choice] = []
    token, training = _noted.set(choices), [part for part in model.modules() if part.training]
    try:
        with torch.no_grad():
            model.eval()(x, s)
    finally:
        _noted.reset(token)
        for part in training:
            part.training = True
    return Explanation(choices)

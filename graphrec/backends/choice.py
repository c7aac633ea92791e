"""Which backend runs a cell over a schedule: a table of backends, each of which says what it refuses."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from ..cell import Cell, Fused
from ..engine.validate import Context
from ..operators import is_plain_only
from ..schedule import chains
from .hand_derived import HandDerived
from .runner import Loop, Runner
from .torch_operators import TorchOperators

# The fastest first. What none of them accepts runs in the loop.
BACKENDS: tuple[Any, ...] = (HandDerived, TorchOperators)
NAMES = (Loop.name, *(backend.name for backend in BACKENDS))

_forced: ContextVar[str | None] = ContextVar("backend", default=None)
# Called with each choice: the run, the backend's name, and why others refuse, by name.
Listener = Callable[[Context, str, dict[str, str]], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_warned: WeakSet[type] = WeakSet()


class SlowPathWarning(UserWarning):
    """A subclass of a standard cell runs in the loop, where the standard cell has a faster backend."""


@contextmanager
def running_on(backend: str | None) -> Iterator[None]:
    """In this context runs use this backend, and raise where it does not accept them; None: the fastest.

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


@contextmanager
def telling(listener: Listener) -> Iterator[None]:
    """In this context the listener is told of each choice."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def check_loop_may_run(what: str) -> None:
    """Raise ValueError where a backend other than the loop was asked for."""
    if _forced.get() not in (None, Loop.name):
        raise ValueError(
            f"backend {_forced.get()!r} does not run {what}, which only the loop does: leave backend out."
        )


def choose(run: Context, x: Tensor, initial: list[Tensor]) -> Runner:
    """The run by the fastest backend that accepts it, or by the one asked for; arguments as in `Runner`.

    Raises:
        ValueError: the backend that was asked for does not accept it.
    """
    forced, reasons, found = _forced.get(), {}, Loop(run, x, initial)
    fused, why_not = (None, "the loop was asked for") if forced == Loop.name else _operator(run, x, initial)
    for backend in BACKENDS:
        reason = why_not or backend.refuses(fused.operator, x)  # type: ignore[union-attr]
        if reason is not None:
            reasons[backend.name] = reason
        elif forced in (None, backend.name):
            found = backend(run, x, initial, chains(run.plan), fused)
            break
    if forced not in (None, found.name):
        raise ValueError(
            f"backend {forced!r} does not run {type(run.cell).__name__} here: {reasons[forced]}. Leave backend out for "
            f"the fastest one that does."
        )
    if (listener := _listener.get()) is not None:
        listener(run, found.name, reasons)
    return found


def _operator(run: Context, x: Tensor, initial: list[Tensor]) -> tuple[Fused | None, str | None]:
    """The cell as one of torch's operators on chains; or why backends over chains do not accept this run."""
    if run.plan.edge_mask is not None:
        return None, "messages are masked"
    if run.plan.mode != "async":
        return None, "it runs in rounds"
    if run.plan.cycles is not None or run.plan.sweeps is not None:
        return None, "it runs more than once, or in a given order"
    if is_plain_only(x):
        return None, "a transform of torch.func, a forward-mode derivative, or an input without values"
    fused = run.cell.fused()
    if fused is None:
        return None, _why_not_fused(run)
    is_cast = torch.is_autocast_enabled(x.device.type)
    for tensor in (x, *initial, *fused[1:]):
        # (A subclass of Tensor may overload operations.)
        if tensor is not None and type(tensor) not in (Tensor, nn.Parameter):
            return None, f"there is a {type(tensor).__name__} among x, state and weights"
        if tensor is not None and tensor.dtype != x.dtype and not is_cast:
            return None, f"x is {x.dtype}, but there is {tensor.dtype} among state and weights"
    # Torch's operators do not check shapes; on wrong ones the equations raise a clear error.
    if not fused.has_shapes(x.shape[1], run.cell.hidden):
        return None, "a weight has another shape than the cell's widths say"
    if not run.plan.num_nodes:
        return None, "there are no nodes"
    if chains(run.plan) is None:
        return None, "the structure is not made of chains alone"
    return fused, None


def _why_not_fused(run: Context) -> str:
    kind = next((kind for kind in type(run.cell).__mro__ if "fused" in vars(kind)), Cell)
    if kind is Cell:
        return f"{type(run.cell).__name__} is not one of torch's operators"
    if kind is type(run.cell):
        return "the cell is changed: its activation, a hook, or a part that is not a plain nn.Linear"
    _warn_of_subclass(run, kind)
    return f"{type(run.cell).__name__} is a subclass of {kind.__name__}, whose equations may differ"


def _warn_of_subclass(run: Context, kind: type[Cell]) -> None:
    made = type(run.cell)
    if made in _warned or chains(run.plan) is None or made.__module__.startswith("graphrec."):
        return
    _warned.add(made)
    frame, count = sys._getframe(), 1  # up to the user's line
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] in ("graphrec", "torch"):
        frame, count = frame.f_back, count + 1
    warnings.warn(
        f"{made.__name__} is a subclass of {kind.__name__} and runs in the loop, step by step, which on long "
        f"chains is many times slower than the backend of {kind.__name__}: graphrec.explain(model, s) says what runs.",
        SlowPathWarning,
        stacklevel=count,
    )

"""Which backend runs a cell over a schedule: a table of backends, each of which says what it refuses."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

from torch import Tensor

from ..cell import Cell
from ..engine.validate import Context
from ..schedule import chains
from .programs import NativePrograms, TorchPrograms
from .request import Request
from .runner import Loop, Runner, forced, stacklevel_of_user
from .scans import Scans
from .torch_operators import TorchOperators

# The fastest first. What none of them accepts runs in the loop.
BACKENDS: tuple[Any, ...] = (Scans, NativePrograms, TorchOperators, TorchPrograms)
NAMES = (Loop.name, *(backend.name for backend in BACKENDS))

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
    if backend is not None and (not isinstance(backend, str) or backend not in NAMES):
        raise ValueError(f"there is no backend {backend!r}: choose among {', '.join(map(repr, NAMES))}.")
    token = forced.set(backend)
    try:
        yield
    finally:
        forced.reset(token)


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
    if forced.get() not in (None, Loop.name):
        raise ValueError(
            f"backend {forced.get()!r} does not run {what}, which only the loop does: leave backend out."
        )


def choose(run: Context, x: Tensor, initial: list[Tensor], like: Request | None = None) -> Runner:
    """The run by the fastest backend that accepts it, or by the one asked for; arguments as in `Request`.

    Raises:
        ValueError: the backend that was asked for does not accept it.
    """
    asked_for, listener, reasons = forced.get(), _listener.get(), {}
    request, found = Request(run, x, initial, like), None
    is_loop_slow = True  # but where another backend gains nothing
    for backend in BACKENDS:
        if backend.name != asked_for and not backend.is_for(run.cell):
            continue
        if asked_for == Loop.name:
            taken = "the loop was asked for"
        elif (idle := None if asked_for else backend.gains_nothing(request)) is not None:
            is_loop_slow = False
            # Who listens is told the reason that holds on larger structures, too, if there is one.
            refused = None if listener is None else backend.take(request)
            taken = refused if isinstance(refused, str) else idle
        else:
            taken = backend.take(request)
        if isinstance(taken, str):
            reasons[backend.name] = taken
        elif asked_for in (None, backend.name):
            found = taken
            break
    found = found or Loop(run, x, initial)
    if asked_for not in (None, found.name):
        raise ValueError(
            f"backend {asked_for!r} does not run {type(run.cell).__name__} here: {reasons[asked_for]}. Leave backend "
            f"out for the fastest one that does."
        )
    if found.name == Loop.name and is_loop_slow and asked_for is None and request.overridden is not None:
        _warn_of_subclass(run, request.overridden)
    if listener is not None:
        listener(run, found.name, reasons)
    return found


def _warn_of_subclass(run: Context, kind: type[Cell]) -> None:
    made = type(run.cell)
    if made in _warned or chains(run.plan) is None or made.__module__.startswith("graphrec."):
        return
    _warned.add(made)
    warnings.warn(
        f"{made.__name__} is a subclass of {kind.__name__} and runs in the loop, step by step, which on long "
        f"chains is many times slower than the backend of {kind.__name__}: graphrec.explain(model, s) says what runs.",
        SlowPathWarning,
        stacklevel=stacklevel_of_user(),
    )

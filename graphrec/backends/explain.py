"""Which backend runs each cell of a model, and why not a faster one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..cell import Cell
from ..engine.validate import Context
from .choice import telling


class Choice(NamedTuple):
    """The backend that ran a cell.

    Attributes:
        cell, backend: the cell, and the backend's name.
        nodes, steps: of the schedule.
        reasons: why others did not run it, by name.
    """

    cell: Cell
    backend: str
    nodes: int
    steps: int
    reasons: dict[str, str]

    def __str__(self) -> str:
        line = f"{type(self.cell).__name__} ({self.nodes} nodes, {self.steps} steps): {self.backend}"
        names: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            names.setdefault(reason, []).append(name)
        return "; ".join([line, *(f"not {', '.join(of)}: {reason}" for reason, of in names.items())])


class Explanation(tuple[Choice, ...]):
    """What ran each cell, and why nothing faster did; prints as one line each."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "no cell was run"


def explain(model: nn.Module, s: Any, x: Tensor | None = None) -> Explanation:
    """Which backend runs each cell of a model over a structure, and why not a faster one.

    The model is run once, without gradients and in the mode it is in: with dropout, say, a cell may be recorded after
    `model.eval()` alone. Its buffers and torch's random numbers are afterwards as they were.

    What a backend could not run on any structure is said of one that is too small to gain anything, too.

    Args:
        model: called as `model(x, s)`; one whose `forward` takes one argument by its place, a batch, as `model(s)`.
            What torch has compiled, it or parts of it, runs as if it had not been.
        s: what it runs over.
        x: its input; by default zeros, of the width that the model (its `inputs`) or its first cell takes.
    """
    if not callable(model) or isinstance(model, type):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model must be a model, called as model(x, s), got {got}.")
    given = (s,) if _takes_one(model) else (_zeros_for(model, s) if x is None else x, s)
    if len(given) == 1 and x is not None:
        raise ValueError(
            f"{type(model).__name__} takes a batch alone: give explain(model, batch), without x."
        )
    choices: list[Choice] = []

    def note(run: Context, backend: str, reasons: dict[str, str]) -> None:
        choices.append(Choice(run.cell, backend, run.plan.num_nodes, len(run.plan.steps), reasons))

    like = given[0] if len(given) == 2 else next(_parameters(model), None)
    eager = torch.compiler.set_stance("force_eager")  # what is compiled chooses no backend as it runs
    with telling(note), torch.no_grad(), untouched(model, like), eager:
        model(*given)
    return Explanation(choices)


def _takes_one(model: Any) -> bool:
    """Whether a model is called with a batch alone, as networks on PyG's batches often are."""
    if hasattr(model, "_orig_mod"):  # of what torch.compile has made, which takes anything
        model = model._orig_mod
    try:
        parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    except (TypeError, ValueError):
        return False
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(by_place) == 1 and not any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _parameters(model: Any) -> Iterator[Tensor]:
    """A module's; a function shows none."""
    return model.parameters() if isinstance(model, nn.Module) else iter(())


def _zeros_for(model: Any, s: Any) -> Tensor:
    """An input for a model that says how wide it is."""
    parts = model.modules() if isinstance(model, nn.Module) else ()
    cell = next((part for part in parts if isinstance(part, Cell)), None)
    width = getattr(model, "inputs", getattr(cell, "inputs", None))
    if not isinstance(width, int) or not hasattr(s, "num_nodes"):
        raise ValueError("model and s do not say what shape the input has: give x, explain(model, s, x).")
    like = next(_parameters(model), torch.zeros(()))
    return like.new_zeros(s.num_nodes, width)


@contextmanager
def untouched(model: Any, x: Any) -> Iterator[None]:
    """After this context a model's buffers, if it is a module, and torch's random numbers are as they were."""
    buffers = [
        (part, name, buffer, None if is_lazy(buffer) else buffer.clone())
        for part in (model.modules() if isinstance(model, nn.Module) else ())
        for name, buffer in part.named_buffers(recurse=False)
    ]
    devices = [x.device] if isinstance(x, Tensor) and x.is_cuda else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        for part, name, buffer, before in buffers:
            if before is not None:  # (what the first run fills stays filled)
                setattr(part, name, buffer)
                if not torch.equal(buffer, before):
                    with torch.no_grad():
                        buffer.copy_(before)

"""Tasks that are timed in turns; those of a backend that is not there are named as missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import graphrec as gr
from graphrec.backends.choice import telling

from ..timing import interleave
from .figures import Timed

NEW = "new"  # graphrec as its users call it: the fastest backend
LOOP = "loop"  # today's build is the plain loop
PROGRAMS = "torch_programs"  # the executor of recorded cells in PyTorch

Task = Callable[[], object]
Made = TypeVar("Made")


class Race:
    """Who is timed.

    Args:
        new: graphrec's own task, run by whatever it chooses.
    """

    def __init__(self, new: Task) -> None:
        self.tasks: dict[str, Task] = {NEW: new}
        self.missing: dict[str, str] = {}
        self.told = {NEW: ", ".join(backends_of(new))}

    def add(self, name: str, task: Task) -> None:
        """One more."""
        self.tasks[name] = task

    def add_backend(self, backend: str) -> None:
        """graphrec's own task on a backend, if there is such a one and it accepts the task."""
        task = on(backend, self.tasks[NEW])
        try:
            task()
        except ValueError as reason:
            self.missing[backend] = str(reason)
        else:
            self.tasks[backend] = task

    def run(self, rounds: int) -> Timed:
        """Time all."""
        return Timed(interleave(self.tasks, rounds), self.missing, self.told)


def on(backend: str, task: Callable[[], Made]) -> Callable[[], Made]:
    """The task with all its runs forced onto a backend; ValueError, when called, if that does not run it."""

    def forced() -> Made:
        with gr.running_on(backend):
            return task()

    return forced


def backends_of(task: Task) -> list[str]:
    """The backends that ran it."""
    names: list[str] = []
    with telling(lambda run, backend, reasons: names.append(backend)):
        task()
    return list(dict.fromkeys(names))

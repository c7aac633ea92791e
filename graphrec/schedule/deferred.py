"""Schedules that cannot be made yet: of structures that are inputs of a traced program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..structure import Structure
from .plan import Cache, Schedule, Steps


class DeferredSchedule(Schedule):
    """A schedule whose structure has no numbers while a program is traced; it is made when the program runs.

    It knows the structure, the mode and the rounds, and refuses whatever depends on who depends on whom.

    Args:
        structure: of tensors that stand for the program's inputs.
        mode, rounds: as in `schedule`.
        backward: whether it is the structure's reverse that will be scheduled.
    """

    def __init__(self, structure: Structure, mode: str, rounds: int | None) -> None:
        known = {
            "structure": structure,
            "mode": mode,
            "rounds": rounds,
            "relation": structure.relation,
            # No slot is known to be filled; that cells have those that are is checked when the program runs.
            "num_slots": 0,
            "distinct_slots": True,
            "cycles": None,
            "sweeps": None,
            "edge_mask": None,
            "message_mask": None,
            "cache": _NotYet(),
        }
        self.__dict__.update(known)

    @property
    def device(self) -> torch.device:
        """Where the index tensors live."""
        return self.structure.device

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _not_yet(name)

    @property
    def steps(self) -> Steps:  # type: ignore[override]
        """Not known."""
        raise _not_yet("steps")


class _NotYet(Cache):
    """What is derived from a schedule that is not made yet."""

    def derive(self, compute: Callable[[Schedule], Any], plan: Schedule) -> Any:
        raise _not_yet(compute.__name__)


def _not_yet(name: str) -> ValueError:
    return ValueError(
        f"{name} of a schedule depends on the edges, which are an input of a program that is being traced and have no "
        f"values yet: make the structure beforehand, of ordinary tensors, and let the program use it."
    )

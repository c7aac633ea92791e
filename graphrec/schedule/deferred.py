"""Schedules that cannot be made yet: of structures that are inputs of a program which is being traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..structure.traced import TracedStructure
from .plan import Cache, Schedule


class DeferredSchedule(Schedule):
    """What is known of a schedule that is made when the program runs: the structure's shapes, the mode, the rounds.

    Whatever depends on who depends on whom is refused.
    """

    structure: TracedStructure

    @classmethod
    def of(
        cls, structure: TracedStructure, mode: str, rounds: Any, cycles: str, order: Any
    ) -> DeferredSchedule:
        """Arguments as in `schedule`.

        Raises:
            ValueError: what programs do not run.
        """
        if cycles != "error" or order is not None:
            raise ValueError(
                "cycles that are iterated, and a given order, are no programs yet: the loop runs them."
            )
        made = object.__new__(cls)
        made.__dict__.update(
            structure=structure,
            mode=mode,
            rounds=rounds,
            relation=structure.relation,
            # No slot is known to be filled; those that are must be the cell's, which is checked when the program runs.
            num_slots=0,
            distinct_slots=True,
            cycles=None,
            sweeps=None,
            edge_mask=None,
            message_mask=None,
            cache=_NotYet(),
        )
        return made

    @property
    def device(self) -> torch.device:
        """Where the index tensors live."""
        return self.structure.device

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("__") else _not_yet(name)


class _NotYet(Cache):
    def derive(self, name: str, compute: Callable[[Schedule], Any], plan: Schedule) -> Any:
        raise _not_yet(compute.__name__)


def _not_yet(name: str) -> ValueError:
    return ValueError(
        f"{name} of a schedule depends on the edges, which are an input of a program that is being traced and have no "
        f"values yet: make the structure beforehand, of ordinary tensors, and let the program use it."
    )

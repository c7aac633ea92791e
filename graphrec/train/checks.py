"""What tasks refuse before any work."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..learning import Online, Rule, Stream
from ..learning.rule import check_has_cells


def check_rule(rule: Any, network: nn.Module) -> None:
    """Raise unless a rule can differentiate runs of a network, step after step.

    Raises:
        TypeError: no rule; one that learns in the middle of a run, or carries states from batch to batch.
        ValueError: a network without cells.
    """
    if rule is None:
        return
    if isinstance(rule, type) and issubclass(rule, Rule):
        raise TypeError(f"rule is a class, {rule.__name__}: give one of it, {rule.__name__}(...).")
    if isinstance(rule, Stream):
        raise TypeError(
            "a Stream carries states from batch to batch: graphrec.train.StreamTask makes one of a model and a rule."
        )
    if isinstance(rule, Online):
        raise TypeError(
            "online learning steps the optimizer in the middle of a run, and a task after it: give the rule itself, "
            f"{rule.rule!r}, or loop over online.steps(...)."
        )
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a graphrec.learning.Rule, got {type(rule).__name__}.")
    check_has_cells(rule, network)

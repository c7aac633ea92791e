"""What tasks refuse before any work."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

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


def check_function(name: str, value: Any) -> None:
    """Raise TypeError unless something can be called, such as what makes an optimizer."""
    if not callable(value):
        how = {
            "optimizer": "a function of the parameters, such as functools.partial(torch.optim.AdamW, lr=1e-3)",
            "scheduler": "a function of an optimizer and the number of steps, that makes a schedule of the rate",
        }.get(name, "a function of outputs and targets")
        raise TypeError(f"{name} must be {how}, got {type(value).__name__}.")


def check_loss_rows(losses: Any, outputs: Tensor, y: Tensor) -> None:
    """Raise unless losses are one number, or of rows none of which was repeated.

    Raises:
        TypeError: no tensor.
        ValueError: another number of rows; more numbers than outputs and targets have.
    """
    if not isinstance(losses, Tensor):
        raise TypeError(f"the loss must be a tensor, of a number for each row, got {type(losses).__name__}.")
    if losses.dim() and (len(losses) != len(y) or losses.numel() > max(outputs.numel(), y.numel())):
        raise ValueError(
            f"expected a loss for each of {len(y)} rows, got losses of shape {tuple(losses.shape)} of outputs "
            f"{tuple(outputs.shape)} and targets {tuple(y.shape)}: if one was repeated for the other, give both one "
            f"shape, y[:, None] for instance."
        )

"""What all learning rules have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..engine.rules import differentiated_by
from ..schedule import Schedule


class Rule:
    """A way of differentiating a run: given to a call, `model(x, s, rule=rule)`, or asked for gradients itself."""

    def run(self, cell: Any, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        """The state that `graphrec.run` returns for the same arguments, with this rule's gradients on the way back."""
        raise NotImplementedError(f"{type(self).__name__} has no run(cell, plan, x, initial).")

    def gradients(self, model: nn.Module, s: Any, x: Tensor, loss: Callable[[Any], Tensor]) -> Tensor:
        """Add this rule's gradients to `.grad` of the model's parameters; returns the loss, `[]`, detached.

        Args:
            model: called as `model(x, s)`; every run in it is differentiated by this rule.
            s, x: what it is called with.
            loss: from what the model returns to a number.
        """
        with differentiated_by(self):
            value = loss(model(x, s))
        value.backward()
        return value.detach()

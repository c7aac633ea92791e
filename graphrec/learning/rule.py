"""What all learning rules have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..cell import Cell
from ..engine.rules import differentiated_by
from ..schedule import Schedule
from .losses import backward, check_is_function
from .reach import Reach, reach


class Rule:
    """A way of differentiating a run: given to a call, `model(x, s, rule=rule)`, or asked for gradients directly.

    Attributes:
        lookback: the number of steps before a call of a `Stream` that the losses of that call reach, in each run.
        every: the number of steps that a call of a `Stream` must be a multiple of, if there is a lookback.
    """

    lookback: int = 0
    every: int = 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        """The state that `graphrec.run` returns for the same arguments; backward gives this rule's gradients."""
        raise NotImplementedError(f"{type(self).__name__} has no run(cell, plan, x, initial).")

    def gradients(self, model: nn.Module, s: Any, x: Tensor, loss: Callable[[Any], Tensor]) -> Tensor:
        """Add this rule's gradients to `.grad` of the model's parameters; returns the loss, `[]`, detached.

        Args:
            model: called as `model(x, s)`; every run in it is differentiated by this rule.
            s, x: the arguments of the call.
            loss: from what the model returns to a number. It may have its own parameters, which get their
                gradients, too, but reads nothing of the model and of x besides what the model returns.

        Raises:
            TypeError: a loss that is not a function, or does not return a tensor.
            ValueError: a loss that is not a scalar, does not depend on what the model returns, or reads parameters of
                the model or x; a model without a run that could be handed to the rule.
        """
        check_is_function(loss)
        check_has_cells(self, model)
        counted = CountedRule(self)
        with differentiated_by(counted):
            output = model(x, s)
        counted.check(model)
        return backward(loss, output, model, x)

    def reach(self, model: nn.Module, s: Any, x: Tensor, **given: Any) -> Reach:
        """How this rule's gradients of each parameter differ from the true ones, before training; nothing is trained.

        Which paths the rule follows depends on the structure: use one as deep as those to come. A
        parameter that nothing returned by the model depends on is not reached.

        Args:
            model: called as `model(x, s, **given)`, with its readout, so that the readout's parameters are included.
            s, x, given: the arguments of the call.
        """
        check_has_cells(self, model)
        return reach(self, model, s, x, **given)


class CountedRule(Rule):
    """A rule, and how many runs were handed to it."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.runs = rule, 0

    def __repr__(self) -> str:
        return repr(self.rule)

    def run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        self.runs += 1
        return self.rule.run(cell, plan, x, initial)

    def check(self, model: nn.Module) -> None:
        """Raise ValueError if a call of the model has handed no run to the rule."""
        if not self.runs:
            raise ValueError(
                f"no run of {type(model).__name__} was handed to {type(self.rule).__name__}: modules that are not "
                f"graphrec models are differentiated by autograd alone. Leave out the rule, model(x, s)."
            )


def check_has_cells(rule: Rule, model: nn.Module) -> None:
    """Raise unless a model has cells, whose runs a rule could differentiate."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a model (torch.nn.Module), got {type(model).__name__}.")
    if not any(isinstance(part, Cell) for part in model.modules()):
        raise ValueError(
            f"{type(rule).__name__} differentiates runs of cells, and {type(model).__name__} has no cell: make a model "
            f"of one, graphrec.Recursive(cell), or use autograd, loss.backward()."
        )

"""How long cycles are iterated: for a number of rounds, or until nothing changes any more."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..structure.checks import as_number, check_one_of

Fields = Sequence[Tensor]
_OTHERWISE = ("error", "warn")


@dataclass(frozen=True)
class FixedPoint:
    """Iterate until no state changes by more than a tolerance.

    Gradients are those of the fixed point itself, h = f(h), by the implicit function theorem: no forward iterate is
    kept, and the backward pass solves g = dh + (df/dh)^T g by a similar iteration. Second derivatives are found in the
    same way. Almeida, *A learning rule for asynchronous perceptrons with feedback*, ICNN 1987; Pineda, *Generalization
    of back-propagation to recurrent neural networks*, Phys. Rev. Lett. 59 (1987); Scarselli et al., *The graph neural
    network model*, IEEE Trans. Neural Networks 20 (2009), section III.

    Attributes:
        tolerance: the largest change of any entry of the state between two rounds that counts as no change. Each
            strongly connected component stops separately, so that a batch gives what its members give alone.
        limit: the largest number of rounds, in the forward and in the backward pass.
        otherwise: what happens if they do not suffice: `"error"`, or `"warn"`, and the last round is used. Both report
            the residual.
    """

    tolerance: float = 1e-6
    limit: int = 200
    otherwise: str = "error"

    def __post_init__(self) -> None:
        if not as_number("tolerance", self.tolerance) > 0:
            raise ValueError(f"the tolerance must be a number above 0, got {self.tolerance!r}.")
        if not isinstance(self.limit, int) or isinstance(self.limit, bool) or self.limit < 1:
            raise ValueError(f"limit must be a number of rounds, 1 or more, got {self.limit!r}.")
        check_one_of("otherwise", self.otherwise, _OTHERWISE)


class NoFixedPointError(RuntimeError):
    """The rounds did not suffice to reach a fixed point.

    Attributes:
        residual: the largest change in the last round.
    """

    def __init__(self, message: str, residual: float) -> None:
        super().__init__(message)
        self.residual = residual


class NoFixedPointWarning(UserWarning):
    """The same as a warning instead of an error."""


def iterate(
    once: Callable[[Fields], Fields], state: Fields, until: FixedPoint, component: Tensor, what: str
) -> Fields:
    """The fields of a state after as many rounds as it takes until no component changes any more.

    Args:
        once: a round.
        state: the initial one.
        until: when to stop.
        component: `[n]`, the number of each node's component, from 0 on.
        what: is iterated, for the error.
    """
    moving = torch.ones(int(component.max()) + 1, dtype=torch.bool, device=component.device)
    residual = torch.full(moving.shape, torch.inf, device=component.device)
    for _ in range(until.limit):
        new = once(state)
        residual = _change(state, new, component, len(moving))
        # A component that has settled keeps its state, however long others take.
        unsettled = moving[component]
        state = [torch.where(_like(unsettled, a), b, a) for a, b in zip(state, new, strict=True)]
        moving = moving & ~(residual <= until.tolerance)
        if not bool(moving.any()):
            return state
    left = float(residual[moving].max())
    message = (
        f"{what} of {int(moving.sum())} of {len(moving)} cyclic components still change by {left:.0e} after "
        f"{until.limit} rounds, more than the tolerance of {until.tolerance:.3g}: raise the limit or the tolerance, "
        f"take a number of rounds, or a cell that contracts (smaller weights)."
    )
    if until.otherwise == "error":
        raise NoFixedPointError(message, left)
    warnings.warn(message, NoFixedPointWarning, stacklevel=3)
    return state


def _change(old: Fields, new: Fields, component: Tensor, count: int) -> Tensor:
    """For each component the largest change of any entry of the state."""
    most = torch.zeros(count, device=component.device, dtype=old[0].dtype)
    for a, b in zip(old, new, strict=True):
        change = (b - a).abs().reshape(len(a), -1).amax(1) if a.numel() else a.new_zeros(len(a))
        most = most.scatter_reduce(0, component, change, "amax")
    return most


def _like(mask: Tensor, rows: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (rows.dim() - 1))

"""How long cycles are iterated: for a number of rounds, or until nothing changes any more."""

from __future__ import annotations

from dataclasses import dataclass

_OTHERWISE = ("error", "warn")


@dataclass(frozen=True)
class FixedPoint:
    """Iterate until no state changes by more than a tolerance.

    Gradients are those of the fixed point itself, h = f(h), by the implicit function theorem: no forward iterate is
    kept, and the backward pass solves g = dh + (df/dh)^T g by a similar iteration. Almeida, *A learning rule for
    asynchronous perceptrons with feedback*, ICNN 1987; Pineda, *Generalization of back-propagation to recurrent
    neural networks*, Phys. Rev. Lett. 59 (1987); Scarselli et al., *The graph neural network model*, IEEE Trans.
    Neural Networks 20 (2009), section III.

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
        if not self.tolerance > 0:
            raise ValueError(f"the tolerance must be a number above 0, got {self.tolerance!r}.")
        if not isinstance(self.limit, int) or isinstance(self.limit, bool) or self.limit < 1:
            raise ValueError(f"limit must be a number of rounds, 1 or more, got {self.limit!r}.")
        if self.otherwise not in _OTHERWISE:
            raise ValueError(f"otherwise must be one of {', '.join(_OTHERWISE)}, got {self.otherwise!r}.")


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

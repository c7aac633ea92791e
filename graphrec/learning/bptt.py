"""Backpropagation through time, and through structure."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..cell import Cell
from ..engine.rules import differentiated_by
from ..runs import run
from ..schedule import Schedule
from .rule import Rule


class BPTT(Rule):
    """Backpropagation through time: the gradient of the whole run, by autograd, as without a rule.

    delta_k = diag(f'(z_k)) (V' L'(y_k) + sum of U' delta_m over the targets m of k)

    for h_k = f(z_k), z_k = W x_k + U (sum of h over the sources of k) + b, y_k = V h_k, primes of matrices being
    transposes: on a chain k has one target, k + 1, on a tree its parent, on a DAG any number of them. The gradients
    of U, W and b are the sums over k of delta_k h', delta_k x_k' and delta_k. `graphrec.learning.local_gradients` gives
    the deltas, dL/dz, and dL/dh of every node.

    Werbos, *Backpropagation through time: what it does and how to do it*, Proc. IEEE 78 (1990); through structure:
    Goller & Küchler, *Learning task-dependent distributed representations by backpropagation through structure*, ICNN
    1996. Time O(N + E), memory O(N + E).

    In a `Stream` each call is differentiated as a whole, and the state that it begins with is a constant.
    """

    def run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        """As `graphrec.run`."""
        with differentiated_by(None):
            return run(cell, plan, x, initial)

"""Backpropagation through time, and through structure."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..engine.rules import differentiated_by
from ..runs import run
from ..schedule import Schedule
from ..structure.checks import as_count
from .recomputed import run_by_blocks
from .rule import Rule
from .walk import check_is_walk


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

    **In bounded memory.** With `recompute=K` the gradient is the same, and a run keeps its states alone, of which later
    blocks of K levels (in sync mode: K rounds) read some: gates and whatever else the cell computes are forgotten, and
    in the backward pass each block is run again, the last one first. That costs one more forward run, and memory for
    the intermediate values of one block at a time; on a chain of T steps, K near the square root of T keeps least. Both
    runs of a block are done by whatever backend is the fastest, with the same random numbers. First derivatives only.
    What a cell does once for all nodes (`project`) it does for a block at a time, and what a node sends (`as_message`)
    it makes again for each block that reads it: random numbers that are drawn there are others than without.

    Griewank & Walther, *Revolve: an implementation of checkpointing for the reverse or adjoint mode of computational
    differentiation*, ACM Transactions on Mathematical Software 26 (2000); Chen, Xu, Zhang & Guestrin, *Training deep
    nets with sublinear memory cost* (2016).

    Args:
        recompute: K, 1 or more; None: everything is kept. A run of at most K steps is as without.

    Raises:
        TypeError, ValueError: an invalid number. When run with `recompute`: iterated cycles, several sweeps in a
            given order, masks of edges, transforms of torch.func; a cell that would do something else the second
            time, because it keeps something from step to step, draws numbers that are not torch's, or has batch
            normalisation in training.
        RuntimeError: in the backward pass, where weights, buffers or attributes of the cell are others than in the run.
    """

    def __init__(self, recompute: int | None = None) -> None:
        self.recompute: int | None = None if recompute is None else as_count("recompute", recompute, 1)

    def __repr__(self) -> str:
        return "BPTT()" if self.recompute is None else f"BPTT(recompute={self.recompute})"

    def run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        """As `graphrec.run`."""
        with differentiated_by(None):
            if self.recompute is None or not torch.is_grad_enabled():
                return run(cell, plan, x, initial)
            check_is_walk(repr(self), plan)
            if len(plan.steps) <= self.recompute:
                return run(cell, plan, x, initial)
            return run_by_blocks(repr(self), cell, plan, x, initial, self.recompute)

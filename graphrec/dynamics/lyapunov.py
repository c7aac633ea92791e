"""Whether states that are close to each other stay close."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from ..io import from_pyg
from ..runs import steps
from ..schedule import Schedule, schedule
from ..structure import Structure
from ..structure.checks import as_count
from .states import cell_of, flatten, jacobians


def lyapunov_spectrum(
    model: Any,
    x: Tensor,
    s: Structure | Data,
    initial: Any = None,
    *,
    count: int | None = None,
    skip: int = 0,
) -> Tensor:
    """The Lyapunov exponents of a cell along its run over a chain, largest first, as natural logarithms per step.

        Q_t R_t = J_t Q_{t-1},  J_t = ds_t/ds_{t-1},  λ_i = mean over t of log |R_t|_ii

    s is the whole state, all fields concatenated, S numbers. Small differences between states grow or shrink like
    exp(λ_1 t), and so does the norm of ds_t/ds_k over t - k: where λ_1 < 0 gradients vanish in the long run, and
    where λ_1 > 0 they explode.

    Benettin, Galgani, Giorgilli & Strelcyn, *Lyapunov characteristic exponents for smooth dynamical systems and for
    Hamiltonian systems*, Meccanica 15 (1980), the QR method; Engelken, Wolf & Abbott, *Lyapunov spectra of chaotic
    recurrent neural networks*, Physical Review Research 5 (2023).

    Args:
        model: a cell, or a model that runs one in async mode.
        x: `[T, D]`, the inputs.
        s: a chain of T nodes, of one sequence; it gives T - 1 Jacobians.
        initial: the initial state, as in `graphrec.run`.
        count: how many exponents, the largest ones; by default all S.
        skip: leave this many of the first Jacobians out of the mean, until the run has settled, and
            Q has aligned with the directions of the exponents.

    Returns:
        `[count]`, in the dtype of x. Where a Jacobian has no inverse the last ones are -inf, or low without meaning.
        A step costs S backward passes through the cell; memory does not grow with T.

    Raises:
        TypeError, ValueError: a model of several cells, in sync mode, with iterated cycles or a given order; not one
            chain; too few nodes; more exponents than S; and what `graphrec.run` refuses.
    """
    cell = cell_of(model)
    s = s if isinstance(s, Structure) else from_pyg(s)
    plan = schedule(s)
    _check_chain(plan, as_count("skip", skip))
    total: Any = 0.0
    with torch.enable_grad():
        loop = steps(cell, plan, x, initial)
        visit = next(loop)
        q = _first_directions(visit.state, count)
        for step in range(plan.num_nodes - 1):
            previous = cell.State(*(field.detach().requires_grad_() for field in visit.state))
            visit = loop.send(previous)
            jacobian = jacobians(flatten(visit.state), [previous]).squeeze(0)
            q, r = torch.linalg.qr(jacobian @ q)
            if step >= skip:
                total = total + r.diagonal().abs().log()
    return (total / (plan.num_nodes - 1 - skip)).sort(descending=True).values


def _first_directions(state: Any, count: int | None) -> Tensor:
    """`[S, count]`, orthonormal."""
    like = flatten(state)
    size = like.shape[1]
    count = size if count is None else as_count("count", count, 1)
    if count > size:
        raise ValueError(f"count must be {size} or less, the width of the whole state, got {count}.")
    return torch.eye(size, count, dtype=like.dtype, device=like.device)


def _check_chain(plan: Schedule, skip: int) -> None:
    nodes, edges = plan.num_nodes, plan.structure.num_edges
    if nodes and (len(plan.steps) != nodes or edges != nodes - 1):
        raise ValueError(
            f"Lyapunov exponents are of one run: expected a chain, each node the source of the next, got "
            f"{nodes} nodes in {len(plan.steps)} levels with {edges} edges; take the sequences of a batch one by one."
        )
    if nodes - 1 <= skip:
        raise ValueError(
            f"a chain of {nodes} nodes gives {max(nodes - 1, 0)} Jacobians, and {skip} of them are to be skipped: "
            f"expected {skip + 2} nodes or more."
        )

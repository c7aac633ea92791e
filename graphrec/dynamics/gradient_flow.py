"""How much the state of a node depends on the states of its ancestors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from ..cell import Cell
from ..io import from_pyg
from ..schedule import schedule
from ..structure import Structure
from ..structure.checks import as_count, as_whole_numbers, check_layout, check_one_of
from .ancestors import Ancestors
from .flow import GradientFlow
from .states import cell_of, flatten, jacobians, run_with_offsets

NORMS: dict[str, Any] = {"spectral": 2, "frobenius": "fro"}  # as torch.linalg.matrix_norm calls them


def gradient_flow(
    model: Any,
    x: Tensor,
    s: Structure | Data,
    initial: Any = None,
    *,
    targets: Tensor | Iterable[int] | None = None,
    loss: Callable[[Any, Tensor], Tensor] | None = None,
    norm: str = "spectral",
    probes: int | None = None,
    seed: int = 0,
) -> GradientFlow:
    """The norm of the Jacobian ds_t/ds_k of target nodes t and all their ancestors k, over the distance between them.

    s is a node's whole state, all fields concatenated, e.g. (h, c) of an LSTM, S numbers; ds_t/ds_k is `[S, S]`, the
    total derivative along all paths from k to t. On a chain of the SRN h_t = tanh(W x_t + U h_{t-1} + b) it is the
    product of diag(1 - h_i²) U for i from t down to k + 1. With a loss it is the error signal dL_t/ds_k, `[S]`.

    Bengio, Simard & Frasconi, *Learning long-term dependencies with gradient descent is difficult*, IEEE Transactions
    on Neural Networks 5 (1994); Pascanu, Mikolov & Bengio, *On the difficulty of training recurrent neural networks*,
    ICML 2013, section 2.

    A target costs as much as S backward passes, run side by side, which need memory for S × N × S numbers; with
    probes, as much as their number; with a loss, one. Targets in different graphs of a batch share their passes.

    Args:
        model: a cell, or a model that runs one in async mode, such as `graphrec.LSTM`.
        x: `[N, D]`, one row per node.
        s: a Structure, or PyG data: chains, trees, DAGs, or a batch of them.
        initial: the initial state, as in `graphrec.run`.
        targets: the nodes t; by default those that no edge leaves: last nodes of chains, roots of trees.
        loss: called with a State of some of the targets, fields `[n, ·]`, and their numbers `[n]`; returns `[n]`, the
            loss L_t of each.
        norm: `"spectral"`, the largest singular value, or `"frobenius"`, the root of the sum of squares. For dL_t/ds_k
            both are the Euclidean norm.
        probes: estimate the Frobenius norm from this many random rows vᵀ ds_t/ds_k instead of computing all S. The
            entries of v are ±1; the mean of |vᵀ ds_t/ds_k|² is the squared norm, without bias (Hutchinson 1990).
        seed: of the probes.

    Raises:
        TypeError, ValueError: a model of several cells, in sync mode, with iterated cycles or a given order; a
            structure without nodes, or with a cycle; targets that do not exist; an unknown norm, or probes for the
            spectral one; a loss that is not one number per target; and what `graphrec.run` refuses.
    """
    cell = cell_of(model)
    s = s if isinstance(s, Structure) else from_pyg(s)
    check_layout("x", x)
    chosen = _as_targets(targets, s)
    _check_norm(norm, probes)
    if loss is not None and not callable(loss):
        raise TypeError(f"loss must be a function of states and their nodes, got {type(loss).__name__}.")
    plan = schedule(s)
    signs = torch.Generator(x.device).manual_seed(as_count("seed", seed))
    ancestors, pairs = Ancestors(s), []
    with torch.enable_grad():
        run = run_with_offsets(cell, plan, x, initial)
        for group in ancestors.apart(chosen):
            state = cell.State(*(field[group] for field in run.state))
            output = flatten(state) if loss is None else _as_losses(loss(state, group), group).unsqueeze(1)
            weight = None if probes is None else _random_signs(probes, output, signs) / probes**0.5
            target, source, hops = ancestors.of(group)
            jacobian = jacobians(output, run.offsets, weight)[run.row[source]]
            pairs.append((target, source, hops, _norms(jacobian, norm)))
    return GradientFlow(_measured(cell, norm, loss), *map(torch.cat, zip(*pairs, strict=True)))


def _norms(jacobian: Tensor, norm: str) -> Tensor:
    """`[P, R, S] → [P]`; infinite where an entry is not finite."""
    finite = jacobian.isfinite().all(dim=2).all(dim=1)
    found = jacobian.new_full((len(jacobian),), torch.inf)
    found[finite] = torch.linalg.matrix_norm(jacobian[finite], NORMS[norm])
    return found


def _random_signs(probes: int, output: Tensor, generator: torch.Generator) -> Tensor:
    size = (probes, *output.shape)
    return 2 * torch.randint(2, size, generator=generator, device=output.device).to(output) - 1


def _measured(cell: Cell, norm: str, loss: Any) -> str:
    fields = cell.State._fields
    s = fields[0] if len(fields) == 1 else f"({', '.join(fields)})"
    if loss is not None:
        return f"norm of dL_t/d{s}_k"
    return f"{norm.replace('frob', 'Frob')} norm of d{s}_t/d{s}_k"


def _as_targets(targets: Any, s: Structure) -> Tensor:
    """The nodes, ascending, each once; by default the sinks."""
    if not s.num_nodes:
        raise ValueError(
            "expected a structure with nodes, got one without: no state depends on another in it."
        )
    if targets is None:
        return (torch.bincount(s.source.cpu(), minlength=s.num_nodes) == 0).nonzero().flatten()
    nodes = as_whole_numbers(targets, "targets must be whole numbers").cpu()
    if nodes.dim() != 1 or not len(nodes):
        raise ValueError(f"targets must be a list of nodes, one or more, got shape {tuple(nodes.shape)}.")
    wrong = nodes[(nodes < 0) | (nodes >= s.num_nodes)]
    if len(wrong):
        raise ValueError(
            f"there is no node {int(wrong[0])} to be a target: the nodes are 0 to {s.num_nodes - 1}."
        )
    return nodes.unique()


def _check_norm(norm: str, probes: int | None) -> None:
    check_one_of("norm", norm, NORMS)
    if probes is None:
        return
    as_count("probes", probes, 1)
    if norm != "frobenius":
        raise ValueError(
            f"probes estimate the Frobenius norm: say norm='frobenius' or leave them out, got {norm!r}."
        )


def _as_losses(losses: Any, group: Tensor) -> Tensor:
    if isinstance(losses, Tensor) and losses.shape == group.shape and losses.requires_grad:
        return losses
    got = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
    raise ValueError(
        f"loss must return one number for each of the {len(group)} targets that it is given, as with "
        f"reduction='none', and depend on their states; got {got}."
    )

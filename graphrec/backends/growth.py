"""Linear recurrences whose states grow beyond what their dtype holds."""

from __future__ import annotations

import math
import warnings
from weakref import WeakSet

import torch
from torch import Tensor

from ..cells.affine import AffineCell
from ..schedule import Schedule, sinks
from .runner import stacklevel_of_user

_FEW = 64  # steps, over which hardly anything overflows
_warned: WeakSet[AffineCell] = WeakSet()


class GrowthWarning(UserWarning):
    """A linear recurrence is so long, and its factors are so large, that its states overflow."""


def warn_of_growth(cell: AffineCell, factor: Tensor, h: Tensor, plan: Schedule) -> None:
    """Warn once for each cell; looks at a few rows only, and not where a device would have to be waited for.

    A factor that all nodes have in common tells it before. Factors of their own are looked at where the last states,
    of all or of a graph, have overflowed.
    """
    depth, is_common = len(plan.steps), factor.shape[0] == 1
    if depth < _FEW or not h.is_cpu or cell in _warned:
        return
    if not is_common and bool(h.detach()[_ends(plan)].isfinite().all()):
        return
    modulus = _modulus(factor.detach())
    if not modulus > 1:  # (also NaN)
        return
    longest = int(math.log(torch.finfo(h.dtype).max) / math.log(modulus))
    if depth <= longest:
        return
    _warned.add(cell)
    warnings.warn(
        f"{type(cell).__name__} multiplies states by factors of modulus up to {modulus:.6g}, so that "
        f"{str(h.dtype).removeprefix('torch.')} overflows from {longest:,} steps on, and here are {depth:,}: bound the "
        f"factor (by a sigmoid, say), or cut the structure into shorter pieces.",
        GrowthWarning,
        stacklevel=stacklevel_of_user(),
    )


def _ends(plan: Schedule) -> Tensor:
    """The nodes of the last level, and a sink of each graph (-1, some node, where there is none)."""
    start, stop = plan.steps.nodes[-2:].tolist()
    return torch.cat([plan.perm[start:stop], sinks(plan).node])


def _modulus(factor: Tensor) -> float:
    """The largest absolute value, for blocks of an eigenvalue."""
    if factor.dim() == 2:
        return factor.abs().max().item()
    if not bool(factor.isfinite().all()):
        return math.inf
    return torch.linalg.eigvals(factor.permute(0, 3, 1, 2)).abs().max().item()

"""Models made of models."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from ..structure import Structure, as_structure


def _cat(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], dim=-1)


def _mean(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) / 2


_MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cat": _cat, "sum": torch.add, "mean": _mean}


class Reversed(nn.Module):
    """A model run against the direction of the edges: a tree top-down, a sequence from its end.

    Args:
        model: called as `model(x, s)`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, s: Structure | Data | Tensor) -> Tensor:
        """`[N, D] → [N, H]`."""
        return self.model(x, as_structure(s, x).reverse())


class Bidirectional(nn.Module):
    """Two models, one along the edges and one against them, side by side on the same inputs.

    Args:
        along, against: called as `model(x, s)` with the structure and with its reverse.
        merge: `"cat"`, `"sum"`, `"mean"`, or a module of two arguments `[N, H]`, those of `along` first.

    Raises:
        ValueError: an unknown merge.
    """

    def __init__(self, along: nn.Module, against: nn.Module, merge: str | nn.Module = "cat") -> None:
        super().__init__()
        if isinstance(merge, str) and merge not in _MERGES:
            raise ValueError(f"merge must be one of {', '.join(_MERGES)}, or a module, got {merge!r}.")
        for model in (along, against):
            if not isinstance(model, nn.Module):
                raise TypeError(f"expected two models (torch.nn.Module), got {type(model).__name__}.")
        if along is against:
            raise ValueError("the two directions must be two models; the same one was given twice.")
        self.along = along
        self.against = Reversed(against)
        self.merge = _MERGES[merge] if isinstance(merge, str) else merge

    def forward(self, x: Tensor, s: Structure | Data | Tensor) -> Tensor:
        """`[N, D] → [N, 2H]` (or whatever `merge` makes of it)."""
        structure = as_structure(s, x)
        return self.merge(self.along(x, structure), self.against(x, structure))

"""Models made of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..structure import Structure
from ..structure.checks import as_list, as_share, check_one_of
from .model import Model, check_model, count_states, run_inner


def _cat(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], dim=-1)


def _mean(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) / 2


_MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cat": _cat, "sum": torch.add, "mean": _mean}


class Reversed(Model):
    """A model run against the direction of the edges: a tree top-down, a sequence from its end.

    Args:
        model: called as `model(x, s)`.
    """

    runs: tuple[str, ...] | None = ("model",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = check_model(model)
        self.num_states: int = count_states(model)

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """As in the model; a sequence's final state is that of its first node."""
        return run_inner(self.model, x, s.reverse(), initial, return_states)

    def final(self, states: list[Any]) -> Tensor:
        """As in the model."""
        return final_of(self.model, states)


class Bidirectional(Model):
    """Two models, one along the edges and one against them, side by side on the same inputs.

        h_t = merge(along_t, against_t)

    Schuster & Paliwal, *Bidirectional recurrent neural networks*, IEEE Trans. Signal Processing 45 (1997), section
    II, figure 3.

    Args:
        along, against: called as `model(x, s)` with the structure and with its reverse.
        merge: `"cat"`, `"sum"`, `"mean"`, or a module of two arguments `[N, H]`, those of `along` first.

    Raises:
        ValueError: an unknown merge.
    """

    runs: tuple[str, ...] | None = ("along", "against")

    def __init__(self, along: nn.Module, against: nn.Module, merge: str | nn.Module = "cat") -> None:
        super().__init__()
        if not callable(merge):
            check_one_of("merge", merge, _MERGES, otherwise=", or a module")
        for model in (along, against):
            check_model(model)
        if along is against:
            raise ValueError("the two directions must be two models; the same one was given twice.")
        self.along = along
        self.against: Reversed = Reversed(against)
        self.merge: Any = merge if callable(merge) else _MERGES[merge]
        self.num_states: int = count_states(along) + count_states(against)

    @property
    def merges_by_concatenation(self) -> bool:
        """Whether the outputs of both directions are concatenated, as in torch."""
        return self.merge is _cat

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """`[N, 2H]` (or what `merge` returns), and the final states, those of `along` first."""
        first = count_states(self.along)
        along, states = run_inner(self.along, x, s, initial[:first], return_states)
        against, more = run_inner(self.against, x, s, initial[first:], return_states)
        return self.merge(along, against), [*states, *more]

    def final(self, states: list[Any]) -> Tensor:
        """The final row of `along`, merged with that of `against`, which is at the first node."""
        first = count_states(self.along)
        return self.merge(final_of(self.along, states[:first]), self.against.final(states[first:]))


class UpDown(Model):
    """Two passes over a DAG, the second against the edges and with the first one's states as inputs.

        up_v = up(x)_v,  h_v = down([x_v, up_v])_v

    So a node reads all that it depends on and, in the second pass, all that depends on it, together with what these
    nodes depend on. On a tree this is the inside-outside recursion of Le & Zuidema, *The inside-outside recursive
    neural network model for dependency parsing*, EMNLP 2014.

    Args:
        up: called as `up(x, s)`.
        down: called as `down([x, up], s.reverse())`: its inputs are as wide as x and up's rows together.
    """

    runs: tuple[str, ...] | None = ("up", "down")

    def __init__(self, up: nn.Module, down: nn.Module) -> None:
        super().__init__()
        for model in (up, down):
            check_model(model)
        self.up = up
        self.down: Reversed = Reversed(down)
        self.num_states: int = count_states(up) + count_states(down)

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """The rows of the second pass, and the final states of both."""
        first = count_states(self.up)
        up, states = run_inner(self.up, x, s, initial[:first], return_states)
        h, more = run_inner(self.down, _cat(x, up), s, initial[first:], return_states)
        return h, [*states, *more]

    def final(self, states: list[Any]) -> Tensor:
        """As in the second pass."""
        return self.down.final(states[count_states(self.up) :])


class Stacked(Model):
    """Models in series: each reads the rows that its predecessor returns.

        h^1 = layer_1(x),  h^l = layer_l(h^{l-1})

    El Hihi & Bengio, *Hierarchical recurrent neural networks for long-term dependencies*, NIPS 1995; Graves,
    *Generating sequences with recurrent neural networks* (2013), equations (1) and (2) without skips. Each layer runs
    over all time before the next begins, with one input projection for all nodes; `GridCell` over `graphrec.grid` is
    the same as one run.

    Args:
        layers: called as `layer(x, s)`.
        dropout: the probability with which rows between two layers are dropped in training (not after the
            last layer, as in torch).

    Raises:
        ValueError: no layers, or a dropout that is not between 0 and 1.
    """

    runs: tuple[str, ...] | None = ("layers",)

    def __init__(self, layers: Sequence[nn.Module], dropout: float = 0.0) -> None:
        super().__init__()
        if isinstance(layers, nn.Module) and not isinstance(layers, nn.ModuleList | nn.Sequential):
            check_model(layers)
            raise TypeError(
                f"expected a list of layers, got one {type(layers).__name__}: put it into a list."
            )
        layers = as_list("layers", layers)
        if not layers:
            raise ValueError("expected at least one layer, got none.")
        for layer in layers:
            check_model(layer)
        self.layers: nn.ModuleList = nn.ModuleList(layers)
        self.dropout: float = as_share("dropout", dropout)
        self.num_states: int = sum(map(count_states, layers))

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """The last layer's rows, and the final states of all layers."""
        states: list[Any] = []
        used = 0
        for number, layer in enumerate(self.layers):
            if number:
                x = F.dropout(x, self.dropout, self.training)
            here = initial[used : used + count_states(layer)]
            x, final = run_inner(layer, x, s, here, return_states)
            states += final
            used += len(here)
        return x, states

    def final(self, states: list[Any]) -> Tensor:
        """As in the last layer."""
        top = self.layers[-1]
        return final_of(top, states[len(states) - count_states(top) :])


def final_of(model: nn.Module, states: list[Any]) -> Tensor:
    """`[G, H]`: see `Model.final`."""
    if isinstance(model, Model):
        return model.final(states)
    raise TypeError(f"{type(model).__name__} has no states, and so no final row: it is not a graphrec model.")

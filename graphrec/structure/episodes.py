"""Rollouts with resets inside: chains that end where an episode ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from .build import chains
from .checks import as_flag, check_layout
from .outside import made_outside, seen_by, unwrapped
from .structure import Structure


@dataclass(frozen=True, eq=False)
class Episodes:
    """The episodes of a rollout, T steps of B environments side by side: each is a graph of the batch, a chain.

    Row v of a model over `structure` is row v of `x.flatten(0, 1)`: nothing is padded, split or moved. Episodes are
    numbered as their first rows are, so that in a rollout `[T, B]` the first B of them are those at step 0.

    Attributes:
        structure: their chains. An edge leads from each step of a column to the next, unless that is a first one.
        column: `[G]` long, the column of each episode.
        goes_on: `[G]` bool, whether it has begun in an earlier rollout.
        last: `[B]` long, the last episode of each column.
        steps: T.
    """

    structure: Structure
    column: Tensor
    goes_on: Tensor
    last: Tensor
    steps: int

    @property
    def num_columns(self) -> int:
        """B."""
        return len(self.last)

    def initial(self, carried: Any = None, reset: Any = None) -> Any:
        """The state with which each episode begins, `[G, ·]`: `model(x, s, initial=episodes.initial(carried))`.

        Args:
            carried: the state that the last rollout handed on, `[B, ·]`, for episodes that go on; where an episode
                begins at step 0 it is not read, and gets no gradient. A tensor, a State, or a list of these, as a
                model's states are.
            reset: the state of episodes that begin here, with one row for all, `[1, ·]`, or one for each column,
                `[B, ·]`, or episode, `[G, ·]`; None: zero.

        Returns:
            the same with a row for each episode; None, a run without an initial state, where nothing is given.

        Raises:
            ValueError: an episode goes on, and no state is carried over; other rows or widths.
            TypeError: what is no state; carried and reset states of different kinds, dtypes or devices.
        """
        like = reset if carried is None else carried
        if isinstance(like, list | tuple):
            parts = [_parts(name, given, like) for name, given in (("carried", carried), ("reset", reset))]
            return _like(like, [self.initial(*pair) for pair in zip(*parts, strict=True)])
        if carried is None:
            self._check_all_begin()
            return None if reset is None else self._rows_of_reset(reset)
        self._check_rows("carried", carried, {self.num_columns: "one per column"})
        going_on = carried.index_select(0, seen_by(carried, self.column))
        begun = torch.zeros_like(going_on) if reset is None else self._rows_of_reset(reset, carried)
        goes_on = seen_by(carried, self.goes_on).view(-1, *[1] * (carried.dim() - 1))
        return torch.where(goes_on, going_on, begun)

    def final(self, state: Any) -> Any:
        """The states to hand on, `[B, ·]`, of a model's final states, `[G, ·]`: those of each column's last episode.

        Raises:
            ValueError, TypeError: not a tensor, a State, or a list of these, with a row for each episode.
        """
        if isinstance(state, list | tuple):
            return _like(state, [self.final(part) for part in state])
        self._check_rows("final", state, {len(self.column): "one per episode"})
        return state.index_select(0, seen_by(state, self.last))

    def _rows_of_reset(self, reset: Any, like: Tensor | None = None) -> Tensor:
        count = len(self.column)
        # (Where there are as many episodes as columns, episode b is that of column b.)
        wanted = {1: "one for all", self.num_columns: "one per column", count: "one per episode"}
        self._check_rows("reset", reset, wanted)
        if like is not None and reset.shape[1:] != like.shape[1:]:
            raise ValueError(
                f"reset states must be as wide as carried ones, {list(like.shape[1:])}, got {list(reset.shape[1:])}."
            )
        if like is not None and (reset.dtype, reset.device) != (like.dtype, like.device):
            raise TypeError(
                f"reset states must be {like.dtype} on {like.device} as carried ones are, got {reset.dtype} on "
                f"{reset.device}."
            )
        if len(reset) == count:
            return reset
        if len(reset) == 1:
            return reset.expand(count, *reset.shape[1:])
        return reset.index_select(0, seen_by(reset, self.column))

    def _check_rows(self, name: str, state: Any, allowed: dict[int, str]) -> None:
        if not isinstance(state, Tensor):
            raise TypeError(
                f"{name} states must be a tensor, a State of tensors, or a list of these, got {type(state).__name__}."
            )
        check_layout(f"{name} states", state)
        if state.dim() < 1 or len(state) not in allowed:
            rows = " or ".join(f"{count} ({what})" for count, what in allowed.items())
            raise ValueError(f"{name} states must have {rows} rows, got shape {tuple(state.shape)}.")
        if state.device != self.last.device and not state.is_meta:
            raise ValueError(
                f"{name} states are on {state.device}, but is_first was on {self.last.device}: move one of them with "
                f".to(...)."
            )

    def _check_all_begin(self) -> None:
        going_on = self.goes_on.nonzero()
        if len(going_on):
            column = int(self.column[going_on[0]])
            raise ValueError(
                f"the episode of column {column} goes on from an earlier rollout (is_first is False at its step 0), "
                f"and the state that it goes on from was not given: give what the last call returned; or mark the "
                f"step as a first one; or give zeros, if it shall go on from these."
            )

    def __repr__(self) -> str:
        old = int(self.goes_on.sum())
        return (
            f"Episodes(steps={self.steps}, columns={self.num_columns}, episodes={len(self.column)}, of which {old} "
            f"go{'es' * (old == 1)} on from before)"
        )


@made_outside
def episodes(is_first: Tensor, batch_first: bool = False) -> Episodes:
    """The episodes of a rollout: `[T, B]` steps with resets inside become chains that end where an episode ends.

        e = graphrec.episodes(is_first)
        h, state = model(x.flatten(0, 1), e.structure, initial=e.initial(state), return_states=True)
        state = e.final(state)

    Args:
        is_first: `[T, B]` bool: whether x[t, b] is the first observation of a new episode, so that the state before it
            is dropped. Where flags say that a step was the last one of its episode, it is the flag of step t - 1.
        batch_first: whether it is `[B, T]` instead, and rows are numbered so.

    Raises:
        TypeError: not a bool tensor.
        ValueError: other dimensions.
    """
    given, batch_first = _checked(is_first), as_flag("batch_first", batch_first)
    at = given.cpu().numpy()
    if not (at[:, 1:] if batch_first else at[1:]).any():
        return _without_resets(at, batch_first, given.device)
    known = _remembered.get(given)
    if known is None or not known.is_of(at, batch_first, given.device):
        known = _remembered[given] = _Known(at.copy(), batch_first, _cut(at, batch_first, given.device))
    return known.episodes


class _Known(NamedTuple):
    """Episodes, and the flags of which they were made."""

    at: np.ndarray
    batch_first: bool
    episodes: Episodes

    def is_of(self, at: np.ndarray, batch_first: bool, device: torch.device) -> bool:
        """Whether they would be made of these, too."""
        is_same = self.batch_first == batch_first and self.episodes.structure.device == device
        return is_same and np.array_equal(self.at, at)


# Epochs are run over one rollout again and again. An entry lives as long as the caller's is_first.
_remembered = WeakTensorKeyDictionary()


def _without_resets(at: np.ndarray, batch_first: bool, device: torch.device) -> Episodes:
    """An episode for each column, which goes on or begins at step 0 (of no steps: goes on)."""
    by_step = at.T if batch_first else at
    steps, columns = by_step.shape
    first = by_step[0] if steps else np.zeros(columns, dtype=bool)
    number = torch.arange(columns, device=device)
    goes_on = torch.from_numpy(~first).to(device)
    return Episodes(_side_by_side(steps, columns, batch_first, device), number, goes_on, number, steps)


@lru_cache(maxsize=16)
def _side_by_side(steps: int, columns: int, batch_first: bool, device: torch.device) -> Structure:
    # One step at a time it is the same for all resets, and keeps its schedule.
    return chains([steps] * columns, batch_first).to(device)


def _cut(at: np.ndarray, batch_first: bool, device: torch.device) -> Episodes:
    axis, stride = (1, 1) if batch_first else (0, at.shape[1])
    time, column = (np.ascontiguousarray(np.indices(at.shape)[i]) for i in (axis, 1 - axis))
    begins = at | (time == 0)
    # The number of the episode that begins at a row stays that of its column until another one begins.
    number = begins.cumsum().reshape(at.shape) - 1
    graph = np.maximum.accumulate(number * begins, axis=axis)
    last = graph.take(-1, axis=axis)
    begins, graph, time, column = begins.ravel(), graph.ravel(), time.ravel(), column.ravel()
    first, later = np.flatnonzero(begins), np.flatnonzero(~begins)
    level = time - time[first][graph]
    length = np.bincount(graph)
    structure = Structure.counted_out(
        num_nodes=len(graph),
        edge_index=torch.from_numpy(np.stack([later - stride, later])),
        slot=torch.zeros(len(later), dtype=torch.long),
        graph=torch.from_numpy(graph),
        num_graphs=len(first),
        level=torch.from_numpy(level),
        level_reversed=torch.from_numpy(length[graph] - 1 - level),
    )
    of_episodes = (column[first], ~at.ravel()[first], last)
    column, goes_on, last = (torch.from_numpy(part).to(device) for part in of_episodes)
    return Episodes(structure.to(device), column, goes_on, last, at.shape[axis])


def _checked(is_first: Any) -> Tensor:
    expected = (
        "is_first must be a bool tensor [T, B] (or [B, T] with batch_first), True at first observations"
    )
    if not isinstance(is_first, Tensor):
        raise TypeError(
            f"{expected}, got {type(is_first).__name__}: convert it with torch.as_tensor(is_first, dtype=torch.bool)."
        )
    if is_first.dtype != torch.bool:
        raise TypeError(f"{expected}, got {is_first.dtype}: convert it with is_first.bool().")
    if is_first.dim() != 2:
        raise ValueError(f"{expected}, got shape {tuple(is_first.shape)}.")
    return unwrapped(is_first, "is_first")


def _parts(name: str, given: Any, like: Any) -> list[Any]:
    """The parts of a state; None for each, where it is not given."""
    if given is None:
        return [None] * len(like)
    if not isinstance(given, list | tuple) or len(given) != len(like):
        got = len(given) if isinstance(given, list | tuple) else type(given).__name__
        raise TypeError(
            f"carried and reset states must have the same parts, {len(like)} of them, got {got} in {name}."
        )
    return list(given)


def _like(state: Any, parts: list[Any]) -> Any:
    """A State, list or tuple as this one, of other parts."""
    make: Callable[..., Any] = type(state)
    return make(*parts) if hasattr(state, "_fields") else make(parts)

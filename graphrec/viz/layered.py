"""DAGs by levels: in what order the nodes of a level stand, where, and how long edges get past the levels between."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

SWEEPS = 8  # over the levels, half of them down and half up; each of ordering and of placing
MOST_BENDS = 20_000
NARROW = 0.5  # the room of a bend, where that of a node is 1
Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Routes:
    """Where nodes stand, and where edges bend.

    Attributes:
        at: `[N, 2]` float: across, and the level.
        bends: `[B, 2]` float: a bend on each level that an edge passes, edge after edge, from its source to its target.
        edge: `[B]` long: whose bend it is.
    """

    at: Tensor
    bends: Tensor
    edge: Tensor

    def lines(self, source: Tensor, target: Tensor) -> list[Tensor]:
        """For each edge the points that it runs through, `[2 + its bends, 2]`, from source to target."""
        counts = torch.bincount(self.edge, minlength=len(source)).tolist()
        between = self.bends.split(counts) if counts else ()
        ends = zip(self.at[source], between, self.at[target], strict=True)
        return [torch.cat([start[None], bends, end[None]]) for start, bends, end in ends]


def route(level: Tensor, source: Tensor, target: Tensor, across: Tensor | None = None) -> Routes:
    """Place nodes on given levels so that few edges cross, and edges so that none runs through a node.

    An edge that passes levels has a bend on each of them, which takes its place among the nodes there; so every line
    runs from one level to the next. The method is that of Sugiyama, Tagawa & Toda, *Methods for visual understanding of
    hierarchical system structures*, 1981: sweeps in which nodes are sorted by the mean of their neighbours, and then
    moved towards it. Bends are at most `MOST_BENDS`, so that cost is linear: where there would be more, the
    longest edges have none.

    Args:
        level: `[N]` long.
        source, target: `[E]` long. Edges that lead to a lower level are routed likewise; those within a level are not.
        across: `[N]`, in what order nodes stand at first; by default that of their numbers.
    """
    count = len(level)
    low, high = (
        torch.where(level[source] <= level[target], *ends) for ends in ((source, target), (target, source))
    )
    span = level[high] - level[low]
    shortest_first = torch.argsort(span, stable=True)
    fits = torch.cumsum((span[shortest_first] - 1).clamp(min=0), 0) <= MOST_BENDS
    routed = torch.zeros_like(fits)
    routed[shortest_first] = fits
    passed = torch.where(routed, span - 1, 0).clamp(min=0)
    edge = torch.repeat_interleave(torch.arange(len(source)), passed)
    step = torch.arange(len(edge)) - (torch.cumsum(passed, 0) - passed)[edge] + 1
    bend = count + torch.arange(len(edge))

    # Hops lead from one level to the next: from the lower end of an edge by its bends to the upper one.
    first, last = step == 1, step == passed[edge]
    direct = span == 1
    near = torch.cat([low[direct], torch.where(first, low[edge], bend - 1), bend[last]])
    far = torch.cat([high[direct], bend, high[edge[last]]])
    levels = torch.cat([level, level[low[edge]] + step])
    start = torch.arange(count, dtype=torch.double) if across is None else across.double()
    start = torch.cat([start, start[low[edge]]])
    found = torch.from_numpy(
        _Placing(levels.numpy(), near.numpy(), far.numpy(), count, start.numpy()).place()
    )
    at = torch.stack([found, levels.double()], dim=1).float()
    from_source = torch.where((low == source)[edge], step, passed[edge] + 1 - step)
    bends = at[count:][torch.argsort(edge * (len(levels) + 1) + from_source)]
    return Routes(at[:count], bends, edge)


class _Placing:
    """The positions of nodes and bends across; hops lead from each level to the next."""

    def __init__(self, level: Array, near: Array, far: Array, nodes: int, start: Array) -> None:
        self._is_bend = np.arange(len(level)) >= nodes
        order = np.lexsort((start, level))
        bounds = np.searchsorted(level[order], np.arange(level.max(initial=-1) + 2))
        self._rows = [order[a:b] for a, b in pairwise(bounds)]
        self._across = np.zeros(len(level))
        for rows in self._rows:
            self._spread(rows)
        # Straight lines matter most between two bends, and least between two nodes (Gansner et al., 1993).
        weight = np.array([1.0, 2.0, 8.0])[self._is_bend[near].astype(int) + self._is_bend[far]]
        self._below = self._links(far, near, weight, level)
        self._above = self._links(near, far, weight, level)
        self._place_in_row = np.zeros(len(level), dtype=np.int64)

    def _links(
        self, here: Array, there: Array, weight: Array, level: Array
    ) -> list[tuple[Array, Array, Array]]:
        """For each level its hops to one side: their ends here and there, and their weights."""
        order = np.argsort(level[here], kind="stable")
        bounds = np.searchsorted(level[here][order], np.arange(len(self._rows) + 1))
        parts = [order[a:b] for a, b in pairwise(bounds)]
        return [(here[part], there[part], weight[part]) for part in parts]

    def place(self) -> Array:
        levels = range(len(self._rows))
        for sweep in range(SWEEPS):
            for k in reversed(levels) if sweep % 2 else levels:
                self._sort(k, (self._above if sweep % 2 else self._below)[k])
        for sweep in range(SWEEPS):
            for k in reversed(levels) if sweep % 2 else levels:
                self._move(k, sweep)
        return self._across - self._across.min(initial=np.inf) if len(self._across) else self._across

    def _spread(self, rows: Array) -> None:
        room = np.where(self._is_bend[rows], NARROW, 1.0)
        right = np.cumsum(room)
        self._across[rows] = right - room / 2 - (right[-1] / 2 if len(rows) else 0)

    def _mean(self, k: int, *links: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """For each of a level's nodes the weighted mean of its neighbours (its own place, if none), and the weight."""
        rows = self._rows[k]
        self._place_in_row[rows] = np.arange(len(rows))
        total, weight = np.zeros(len(rows)), np.zeros(len(rows))
        for here, there, weights in links:
            place = self._place_in_row[here]
            total += np.bincount(place, weights * self._across[there], minlength=len(rows))
            weight += np.bincount(place, weights, minlength=len(rows))
        mean = np.where(weight > 0, total / np.maximum(weight, 1), self._across[rows])
        return mean, np.maximum(weight, 0.1)

    def _sort(self, k: int, links: tuple[Array, Array, Array]) -> None:
        if len(self._rows[k]) > 1:
            mean, _ = self._mean(k, links)
            self._rows[k] = self._rows[k][np.argsort(mean, kind="stable")]
            self._spread(self._rows[k])

    def _move(self, k: int, sweep: int) -> None:
        """Move the nodes of a level as close to the means as their order and their room allow."""
        rows = self._rows[k]
        if not len(rows):
            return
        # At last both sides count, so that nodes stand between their neighbours.
        links = (
            (self._below, self._above) if sweep >= SWEEPS - 2 else ((self._below, self._above)[sweep % 2],)
        )
        mean, weight = self._mean(k, *(side[k] for side in links))
        room = np.where(self._is_bend[rows], NARROW, 1.0)
        offset = np.cumsum(room) - room / 2
        self._across[rows] = offset + _ascending(mean - offset, weight)


def _ascending(wish: Array, weight: Array) -> Array:
    """The ascending numbers closest to the wishes, by weighted squares: neighbours in the wrong order are pooled."""
    means: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for mean, w in zip(wish.tolist(), weight.tolist(), strict=True):
        size = 1
        while means and means[-1] > mean:
            mean = (mean * w + means[-1] * weights[-1]) / (w + weights[-1])
            w += weights.pop()
            size += sizes.pop()
            means.pop()
        means.append(mean)
        weights.append(w)
        sizes.append(size)
    return np.repeat(means, sizes)

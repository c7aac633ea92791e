"""Gradients over distance: the measured norms, the rate fitted to them, and what they mean in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..structure.checks import as_share

VANISHED = 1e-3  # the remaining share of a gradient whose distance the report names


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow:
    """The norms of derivatives between P pairs of nodes; `print` it for a report.

    Attributes:
        measured: what the norms are of, in words.
        target, source: `[P]` long, the nodes t and k of each pair.
        distance: `[P]` long, the number of hops of the shortest path from k to t; 0 where they are one node.
        norm: `[P]`, not negative.
    """

    measured: str
    target: Tensor
    source: Tensor
    distance: Tensor
    norm: Tensor

    @property
    def distances(self) -> Tensor:
        """`[D]` long: the distances that occur, ascending."""
        return self.distance.unique()

    def quantile(self, q: float) -> Tensor:
        """`[D]`: this quantile of the norms at each of the `distances`; 0.5 is the median."""
        q = as_share("q", q)
        ascending = self.norm.argsort(stable=True)
        norm = self.norm[ascending[self.distance[ascending].argsort(stable=True)]]
        place = torch.cumsum(self.pairs, 0) - self.pairs + q * (self.pairs - 1).double()
        below = place.floor().long()
        found = torch.lerp(norm[below], norm[place.ceil().long()], (place - below).to(norm))
        return found.nan_to_num(torch.inf, torch.inf)  # between two infinite norms there is nan

    @property
    def pairs(self) -> Tensor:
        """`[D]` long: how many pairs there are at each of the `distances`."""
        return self.distance.unique(return_counts=True)[1]

    @property
    def rate(self) -> float:
        """The factor by which the norm changes per hop.

        The least-squares line through the logarithms of the medians over the distances has the slope log(rate). Zeros
        and infinite norms are left out. With at most one point, the rate is 0 or infinite, as the
        norms are; where no pair is a hop or more apart, nan.
        """
        hops, median = (
            self.distances.double().numpy(force=True),
            self.quantile(0.5).double().numpy(force=True),
        )
        if len(hops) < 2:
            return math.nan
        on_line = np.isfinite(median) & (median > 0)
        if on_line.sum() < 2:
            return 0.0 if median[-1] == 0 else math.inf
        return math.exp(np.polyfit(hops[on_line], np.log(median[on_line]), 1)[0])

    @property
    def verdict(self) -> str:
        """`"vanish"` or `"explode"` if over the longest distance the rate makes a factor of 10, else `"last"`.

        Where the median at the longest distance is 0 or infinite, `"vanish"` or `"explode"`, too; where no pair is a
        hop or more apart, `"nothing flows"`.
        """
        rate, farthest = self.rate, self.quantile(0.5)[-1].item()
        if math.isnan(rate):
            return "nothing flows"
        if farthest in (0, math.inf):
            return "explode" if farthest else "vanish"
        change = math.log(rate) * int(self.distance.max())
        return "vanish" if change < -math.log(10) else "explode" if change > math.log(10) else "last"

    def __str__(self) -> str:
        """The verdict, the rate and its consequence, and the measured norms."""
        return f"{self._in_words()}\n\n{self._table()}"

    def __repr__(self) -> str:
        return f"GradientFlow({len(self.norm)} pairs, rate {self.rate:.3g}: {self.verdict})"

    def _in_words(self) -> str:
        rate, verdict, median = self.rate, self.verdict, self.quantile(0.5)
        if verdict == "nothing flows":
            return "Nothing flows: no node that was asked about depends on another one."
        begin, changes = (
            f"Gradients {verdict}: the {self.measured}",
            f"changes by a factor of {rate:.3g} per hop",
        )
        if median[-1] in (0, math.inf):
            first = int(self.distances[int((median != median[-1]).nonzero().max()) + 1])
            change = f" {changes} and" if 0 < rate < math.inf else ""
            return f"{begin}{change} is {median[-1]:.0f} from {first} hop{'s' * (first > 1)} on."
        if verdict == "vanish":
            return f"{begin} {changes}; after {_hops(rate, VANISHED)} hops {VANISHED:g} is left."
        if verdict == "explode":
            times = 1 / VANISHED
            return f"{begin} {changes}; after {_hops(rate, times)} hops it is {times:g} times as large."
        reach = int(self.distance.max())
        return f"{begin} {changes}; after {reach} hops, the most there are here, {rate**reach:.2g} is left."

    def _table(self) -> str:
        """Quantiles at distances that about double from row to row, and at the longest."""
        hops = self.distances.tolist()
        columns = [hops, self.pairs.tolist(), *(self.quantile(q).tolist() for q in (0.1, 0.5, 0.9))]
        lines = [f"{'hops':>6}  {'pairs':>6}  {'10 %':>8}  {'median':>8}  {'90 %':>8}"]
        for d, count, low, median, high in zip(*columns, strict=True):
            if d.bit_count() < 2 or d == hops[-1]:
                lines.append(f"{d:>6}  {count:>6}  {low:>8.2g}  {median:>8.2g}  {high:>8.2g}")
        return "\n".join(lines)


def _hops(rate: float, change: float) -> int:
    """The number of hops after which such a change is reached."""
    return math.ceil(math.log(change) / math.log(rate))

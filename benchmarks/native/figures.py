"""A figure: a ratio of two times, what it should come to, and whether it does."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import NamedTuple

from ..timing import Timing

MISSING = "not available"


class Target(NamedTuple):
    """What a ratio should come to.

    Attributes:
        bound: "at least"; "at most" where small ratios are good.
        reach: what to reach for.
        small: whether small ratios are good.
    """

    bound: float
    reach: float | None
    small: bool = False

    def verdict(self, ratio: float) -> str:
        """How far it got."""
        if self.reach is not None and self._is_met(ratio, self.reach):
            return "reached"
        return "held" if self._is_met(ratio, self.bound) else "missed"

    def _is_met(self, ratio: float, wanted: float) -> bool:
        return ratio <= wanted if self.small else ratio >= wanted


class Figure(NamedTuple):
    """A row of the table.

    Attributes:
        job, case: what is done, on what.
        quotient: whose time over whose, in words.
        ratios: one per round; none where a side is not available.
        target: what the median should come to, or None: it is told for comparison.
        detail: both sides' times, or why there are none.
    """

    job: str
    case: str
    quotient: str
    ratios: list[float]
    target: Target | None
    detail: str

    @property
    def verdict(self) -> str:
        """Against the target."""
        if not self.ratios:
            return MISSING
        return "–" if self.target is None else self.target.verdict(statistics.median(self.ratios))

    def cells(self) -> list[str]:
        """As the table shows it."""
        bound, reach = _wanted(self.target)
        return [
            self.job,
            self.case,
            self.quotient,
            _spread(self.ratios),
            bound,
            reach,
            self.verdict,
            self.detail,
        ]


@dataclass(frozen=True)
class Timed:
    """The times of a race, and why some did not take part.

    Attributes:
        timings, missing: by name.
        told: what to add to a name, by name, such as the backend.
    """

    timings: dict[str, Timing]
    missing: dict[str, str]
    told: dict[str, str]

    def figure(
        self, job: str, case: str, top: str | tuple[str, ...], bottom: str, target: Target | None = None
    ) -> Figure:
        """The time of `top` over that of `bottom`; of several, that of the fastest."""
        names = (top,) if isinstance(top, str) else top
        here = [name for name in names if name in self.timings]
        if not here or bottom not in self.timings:
            absent = bottom if here else names[0]
            return Figure(job, case, f"{' or '.join(names)} / {bottom}", [], target, self.missing[absent])
        fastest = min(here, key=lambda name: self.timings[name].median)
        ratios = self.timings[fastest].ratios_to(self.timings[bottom])
        detail = f"{self._ms(fastest)}; {self._ms(bottom)}"
        return Figure(job, case, f"{fastest} / {bottom}", ratios, target, detail)

    def _ms(self, name: str) -> str:
        told = self.told.get(name)
        said = f"{name} ({told})" if told else name
        return f"{said} {1e3 * self.timings[name].median:.3g}"


def table(figures: list[Figure]) -> str:
    """All figures, one a line."""
    head = [
        "job",
        "case",
        "ratio of",
        "median (lowest to highest)",
        "at least",
        "reach for",
        "",
        "ms, medians",
    ]
    lines = [head, ["---"] * len(head), *(figure.cells() for figure in figures)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(figures: list[Figure]) -> str:
    """How many figures with a target came how far, in a line."""
    verdicts = [figure.verdict for figure in figures if figure.target is not None]
    counts = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in ("reached", "held", "missed", MISSING))
    return f"{len(verdicts)} figures with a target: {counts}"


def _wanted(target: Target | None) -> tuple[str, str]:
    if target is None:
        return "–", "–"
    bound = f"at most {target.bound:g}" if target.small else f"{target.bound:g}"
    return bound, "–" if target.reach is None else f"{target.reach:g}"


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return MISSING
    return f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"

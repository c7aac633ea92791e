"""What a check has found, as a table that one can read."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from ..structure import Structure
from .structures import written

PASSED, FAILED, NOT_APPLICABLE = "passed", "FAILED", "not applicable"
WIDTH = 100


@dataclass(frozen=True)
class Failure:
    """The smallest case that was found in which a claim does not hold.

    Attributes:
        structure: over which.
        seed: of the random numbers.
        message: what was expected and what was found.
    """

    structure: Structure
    seed: int
    message: str

    def __str__(self) -> str:
        where = f"on {self.structure.num_nodes} nodes and {self.structure.num_edges} edges, seed {self.seed}"
        return f"{where}:\n{written(self.structure)}\n{self.message}"


@dataclass(frozen=True)
class Result:
    """What became of a claim.

    Attributes:
        claim, about: its name, and what it says.
        verdict: `"passed"`, `"FAILED"` or `"not applicable"`.
        reason: why it is not applicable, or what else there is to say; or nothing.
        structures: how many it was tested on.
        failure: the smallest failing case.
    """

    claim: str
    about: str
    verdict: str
    reason: str = ""
    structures: int = 0
    failure: Failure | None = None


@dataclass(frozen=True)
class Report:
    """What `check_cell` has found; prints as a table.

    Attributes:
        cell: the name of the cell's class.
        results: one for each claim.
    """

    cell: str
    results: tuple[Result, ...]

    def __getitem__(self, claim: str) -> Result:
        """The result of a claim, by name."""
        for result in self.results:
            if result.claim == claim:
                return result
        raise KeyError(f"there is no claim {claim!r}: {', '.join(result.claim for result in self.results)}.")

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the claims that do not hold."""
        return tuple(result.claim for result in self.results if result.verdict == FAILED)

    def __str__(self) -> str:
        claims = max(len(result.claim) for result in self.results)
        lines = [
            f"{self.cell}: {self._count(PASSED)} passed, {self._count(FAILED)} failed, "
            f"{self._count(NOT_APPLICABLE)} not applicable"
        ]
        for result in self.results:
            beside = result.about if result.verdict == FAILED else result.reason
            beside = beside or f"on {result.structures} structure{'s' * (result.structures != 1)}"
            head = f"  {result.claim:<{claims}}  {result.verdict:<{len(NOT_APPLICABLE)}}  "
            lines += textwrap.wrap(beside, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [
                head
            ]
        for result in self.results:
            if result.failure is not None:
                lines += ["", f"{result.claim}, {result.failure}"]
        return "\n".join(lines)

    __repr__ = __str__

    def _count(self, verdict: str) -> int:
        return sum(result.verdict == verdict for result in self.results)


class CellError(AssertionError):
    """A cell does not do what every cell must; the message is the report.

    Attributes:
        report: what was found.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(f"\n{report}")
        self.report = report

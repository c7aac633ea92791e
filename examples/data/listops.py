"""ListOps expressions that are drawn, and their data set."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch_geometric.data import Data

from graphrec.datasets import Samples, TreeDataset, checksum
from graphrec.datasets.listops import (
    CLOSE,
    DIGITS,
    OPERATORS,
    VOCABULARY,
    binarise,
    check_form,
    evaluate,
    read_expressions,
    store_expressions,
)


@dataclass(frozen=True)
class ListOpsGenerator:
    """Draws ListOps expressions, all different, the same ones for the same seed.

    Each place in an expression is a list with probability `nest`, else a digit; a list has an operator drawn
    evenly and 2 to `max_args` places, their number drawn evenly. The whole expression is at depth 1, and at
    `max_depth` every place is a digit. This is the process of N. Nangia and S. Bowman, "ListOps: A Diagnostic
    Dataset for Latent Tree Learning", NAACL Student Research Workshop 2018 (its section on the dataset, and
    `make_data.py` in its code at github.com/nyu-mll/spinn); the defaults are theirs. The shallower public
    variant has `operators=("MIN", "MAX", "FIRST", "LAST"), max_depth=8, max_args=3`.

    No expression comes twice, so that slices of one draw (`dataset[:9000]`, `dataset[9000:]`) are disjoint.

    Args:
        size: the number of expressions.
        seed: of the random numbers.
        operators: among MIN, MAX, MED (the median; between two middle values their mean, rounded down), SM
            (the sum modulo 10), PM (the product modulo 10), FIRST and LAST.
        max_depth, max_args, nest: see above.
        without: a file that `graphrec.datasets.ListOps` reads, for instance one to test on; its expressions are not
            drawn.
    """

    size: int
    seed: int = 0
    operators: tuple[str, ...] = ("MIN", "MAX", "MED", "SM")
    max_depth: int = 20
    max_args: int = 5
    nest: float = 0.25
    without: str | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.operators if name not in OPERATORS]
        if unknown or not self.operators:
            raise ValueError(f"operators must be some of {', '.join(OPERATORS)}, got {list(self.operators)}.")
        if self.size < 1 or self.max_depth < 1 or self.max_args < 2 or not 0 <= self.nest <= 1:
            raise ValueError(
                f"size and max_depth must be 1 or more, max_args 2 or more, nest from 0 to 1, got {self}."
            )

    def expressions(self) -> list[list[str]]:
        """`size` expressions.

        Raises:
            ValueError: the grammar has hardly that many different ones.
        """
        rng = random.Random(self.seed)
        excluded: set[tuple[str, ...]] = set()
        if self.without is not None:
            excluded = {tuple(words) for _, words in read_expressions(Path(self.without))}
        drawn: dict[tuple[str, ...], None] = {}
        for _ in range(100 * self.size):
            words = tuple(self._draw(rng))
            if words not in excluded:
                drawn[words] = None
            if len(drawn) == self.size:
                return [list(words) for words in drawn]
        raise ValueError(
            f"expected {self.size} different expressions, got {len(drawn)} in {100 * self.size} draws: allow "
            f"a greater depth, more arguments, or a higher nest."
        )

    def lines(self) -> list[str]:
        """The expressions in the public file format, `value TAB binarised parse`."""
        return [f"{evaluate(words)}\t{binarise(words)}" for words in self.expressions()]

    def _draw(self, rng: random.Random) -> list[str]:
        words: list[str] = []
        missing: list[int] = []  # per open list, how many places it still has
        while not words or missing:
            if len(missing) + 1 < self.max_depth and rng.random() < self.nest:
                words.append("[" + rng.choice(self.operators))
                missing.append(rng.randint(2, self.max_args))
                continue
            words.append(rng.choice(DIGITS))
            while missing:
                missing[-1] -= 1
                if missing[-1]:
                    break
                missing.pop()  # all places are filled: the list closes and fills a place of the one around it
                words.append(CLOSE)
        return words


class DrawnListOps(TreeDataset):
    """Expressions of a generator, with samples like those that `graphrec.datasets.ListOps` reads from files.

    Args:
        generator: what to draw; nobody holds rights in it.
        form: `"parse"` or `"operators"`, see `graphrec.datasets.ListOps`.
        transform: applied to each sample when it is taken.
    """

    def __init__(
        self,
        generator: ListOpsGenerator,
        form: str = "parse",
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        self._generator, self._form = generator, check_form(form)
        without = None if generator.without is None else checksum(Path(generator.without))
        key = {"drawn": asdict(generator), "without": without, "form": form, "vocabulary": VOCABULARY}
        super().__init__("drawn", key, transform)

    def make(self) -> dict[str, Samples]:
        return {self.split: store_expressions(self._generator.expressions(), self._form)}

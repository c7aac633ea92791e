"""ListOps expressions, as lists of words such as `[MAX 2 9 ]`: drawn, evaluated, written, made into trees."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..structure.brackets import TreeRows
from ._files import read_lines

OPERATORS: dict[str, Callable[[Sequence[int]], int]] = {
    "MIN": min,
    "MAX": max,
    "MED": lambda values: int(statistics.median(values)),
    "SM": lambda values: sum(values) % 10,
    "FIRST": lambda values: values[0],
    "LAST": lambda values: values[-1],
}
DIGITS = tuple("0123456789")
CLOSE = "]"


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
            (the sum modulo 10), FIRST and LAST.
        max_depth, max_args, nest: see above.
        without: a file in the public format, for instance one to test on; its expressions are not drawn.
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
            lines = read_lines(Path(self.without))
            excluded = {tuple(words_of(line.partition("\t")[2])) for _, line in lines}
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


def evaluate(words: Sequence[str]) -> int:
    """The value of an expression, 0 to 9.

    Raises:
        ValueError: these words are no expression; the message says which word is wrong.
    """
    open_lists: list[tuple[str, list[int]]] = [("", [])]  # the first holds the value of the whole expression
    for position, word in enumerate(words):
        if word in DIGITS:
            value = int(word)
        elif word.startswith("[") and word[1:] in OPERATORS:
            open_lists.append((word[1:], []))
            continue
        elif word == CLOSE and len(open_lists) > 1 and open_lists[-1][1]:
            operator, values = open_lists.pop()
            value = OPERATORS[operator](values)
        else:
            raise ValueError(f"word {position} of the expression, {word!r}, is unknown or out of place")
        open_lists[-1][1].append(value)
    if len(open_lists) > 1 or len(open_lists[0][1]) != 1:
        raise ValueError(f"expected one complete expression, got {len(open_lists) - 1} lists left open")
    return open_lists[0][1][0]


def binarise(words: Sequence[str]) -> str:
    """The binarised parse, the paper's gold parse: `[MAX 2 9 ]` is `( ( ( [MAX 2 ) 9 ) ] )`."""
    parts: list[str] = []  # a list that is still open is one part, with everything that it has so far
    open_lists: list[int] = []  # which parts
    for word in words:
        if word.startswith("["):
            open_lists.append(len(parts))
            parts.append(word)
            continue
        parts.append(word)
        if word == CLOSE:
            parts[-2:] = [f"( {parts[-2]} {parts[-1]} )"]
            open_lists.pop()
        if open_lists:
            parts[-2:] = [f"( {parts[-2]} {parts[-1]} )"]
    return parts[0]


def words_of(parse: str) -> list[str]:
    """The words of a binarised parse, the other way round from `binarise`."""
    return [word for word in parse.split() if word not in "()"]


def operator_tree(words: Sequence[str]) -> TreeRows:
    """The expression as mathematicians draw it: an operator above its arguments, no closing brackets."""
    rows = TreeRows([], [], [], [])
    open_lists: list[tuple[str | None, list[int]]] = [(None, [])]
    for word in words:
        if word.startswith("["):
            open_lists.append((word, []))
            continue
        if word == CLOSE:
            operator, arguments = open_lists.pop()
            node = rows.add(arguments, operator, None)
        else:
            node = rows.add([], word, None)
        open_lists[-1][1].append(node)
    return rows

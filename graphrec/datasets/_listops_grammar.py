"""ListOps expressions, as lists of words such as `[MAX 2 9 ]`: drawn, evaluated, written, made into trees."""

from __future__ import annotations

import math
import random
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..io import parse_brackets
from ..structure import TreeRows
from ._files import fault, read_lines

OPERATORS: dict[str, Callable[[Sequence[int]], int]] = {
    "MIN": min,
    "MAX": max,
    "MED": lambda values: int(statistics.median(values)),
    "SM": lambda values: sum(values) % 10,
    "PM": lambda values: math.prod(values) % 10,
    "FIRST": lambda values: values[0],
    "LAST": lambda values: values[-1],
}
DIGITS = tuple("0123456789")
CLOSE = "]"

# A list may be written with or without blanks around its brackets.
_WORD = re.compile(r"\[?[^\s()\[\]]+|[()\[\]]")


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
        without: a file that `ListOps` reads, for instance one to test on; its expressions are not drawn.
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
    # A bracket for each argument, and one for the end, opens before the operator and closes behind the argument.
    opened, closed = [0] * len(words), [0] * len(words)
    open_lists: list[int] = []  # the places of their operators
    for place, word in enumerate(words):
        if word.startswith("["):
            open_lists.append(place)
            continue
        if word == CLOSE:
            opened[open_lists.pop()] += 1
            closed[place] += 1
        if open_lists:
            opened[open_lists[-1]] += 1
            closed[place] += 1
    return " ".join(
        "( " * before + word + " )" * behind
        for before, word, behind in zip(opened, words, closed, strict=True)
    )


def words_and_brackets(text: str) -> list[str]:
    """What an expression is written with, in whatever form: words, and the round brackets of a parse."""
    return _WORD.findall(text)


def words_of(text: str) -> list[str]:
    """The words of an expression; of a binarised parse it is the other way round from `binarise`."""
    return [word for word in words_and_brackets(text) if word not in ("(", ")")]


def binary_tree(words: Sequence[str]) -> TreeRows:
    """The binarised parse as a tree: an open list takes up its arguments one by one, and then its end."""
    rows = TreeRows([], [], [], [])
    open_lists: list[int] = []  # of each the node that has taken up everything so far
    for word in words:
        node = rows.add([], word, None)
        if word.startswith("["):
            open_lists.append(node)
            continue
        if word == CLOSE:
            node = rows.add([open_lists.pop(), node], None, None)
        if open_lists:
            open_lists[-1] = rows.add([open_lists[-1], node], None, None)
    return rows


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


def read_expressions(path: Path) -> list[tuple[int, list[str]]]:
    """Of each line of a file the value and the words; for the forms of a line see `ListOps`.

    Raises:
        ValueError: a malformed or wrongly computed line, with file, line and position.
    """
    lines = read_lines(path)
    if [_unquoted(field).lower() for field in lines[0][1].split("\t")] == ["source", "target"]:
        lines = lines[1:]
    if not lines:
        raise ValueError(f"{path}: expected one expression per line, got only a header. Replace it.")
    found = []
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != 2:
            what = "expected a value, a tab and an expression such as [MAX 2 9 ], or the other way round"
            raise fault(path, number, f"{what}, got {len(fields)} fields")
        is_first = "[" not in fields[0]  # Long Range Arena writes the value behind the expression
        written, text = (_unquoted(field) for field in (fields if is_first else reversed(fields)))
        words = words_of(text)
        try:
            if "(" in text or ")" in text:
                parse_brackets(text, labels=False)  # says where a bracket is missing
            value = evaluate(words)
        except ValueError as error:
            raise fault(path, number, str(error)) from error
        parse = binarise(words)
        if words_and_brackets(text) not in (words, parse.split()):
            what = f"expected the left-branching parse {_excerpt(parse)}, or no round brackets"
            raise fault(path, number, f"{what}, got {_excerpt(text)}")
        if written != str(value):
            position = 0 if is_first else len(fields[0]) + 1
            raise fault(path, number, f"expected the value {value} at position {position}, got {written!r}")
        found.append((value, words))
    return found


def _unquoted(field: str) -> str:
    """A field without the quotes that some writers of tables put around it."""
    return field[1:-1] if len(field) > 1 and field[0] == field[-1] == '"' else field


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")

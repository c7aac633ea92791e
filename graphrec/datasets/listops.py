"""ListOps: nested lists of digits whose value is to be computed."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data

from ..io import parse_brackets
from ..structure import TreeRows
from ._base import Samples, TreeDataset, store
from ._files import checksum, fault, raw_file, raw_folder, read_lines

FORMS = ("parse", "operators")
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
VOCABULARY = ("", *DIGITS, *(f"[{name}" for name in OPERATORS), CLOSE)

_NUMBER: dict[str | None, int] = {None: 0} | {word: i for i, word in enumerate(VOCABULARY) if i}
# A list may be written with or without blanks around its brackets.
_WORD = re.compile(r"\[?[^\s()\[\]]+|[()\[\]]")


class ListOps(TreeDataset):
    """Expressions such as `[MAX 2 9 [MIN 4 7 ] 0 ]`, each with its value, a digit.

    Source: N. Nangia and S. Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", NAACL Student
    Research Workshop 2018, https://arxiv.org/abs/1804.06028. Public files come with the paper's code,
    github.com/nyu-mll/spinn, under the licence that it states.

    File: one expression per line, `value TAB binarised parse`, such as `9 TAB ( ( ( [MAX 2 ) 9 ) ] )`, looked
    for in `root/listops`, `root`, or without root in `$GRAPHREC_DATA/listops`. The round brackets may be left
    out (`9 TAB [MAX 2 9 ]`), and the value may come second, below the header `Source TAB Target`, as in the files
    of Long Range Arena (Y. Tay et al., 2021). Every value is checked.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, E]`, from child to parent; the root is the last node;
    - `slot` `[E]`, which child;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: a word, its index in `vocabulary`; 0 for a node without one;
    - `y` `[1]` long: the value, 0 to 9.

    Args:
        file: its name, or its path.
        root: where it is, see above.
        form: `"parse"` for the paper's binary trees, left-branching, with all words at the leaves (what its
            Tree-LSTM reads); `"operators"` for trees of operators above their arguments, without brackets.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed or wrongly computed line, with file, line and position.
    """

    def __init__(
        self,
        file: str | Path = "test_d8.tsv",
        root: str | Path | None = None,
        form: str = "parse",
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        self._form = check_form(form)
        mend = "Place it there, or name its folder with root=...."
        self._file = raw_file(raw_folder("listops", root), str(Path(file).expanduser()), mend)
        key = {"raw": checksum(self._file), "form": form, "vocabulary": VOCABULARY}
        super().__init__(self._file.stem, key, transform)

    @staticmethod
    def value(token: Sequence[int]) -> int:
        """The value of an expression by the numbers of its words, such as `sample.token.tolist()`; 0s are not words.

        Raises:
            ValueError: these words are not an expression.
        """
        return evaluate([VOCABULARY[number] for number in token if number])

    def make(self) -> dict[str, Samples]:
        return {
            self.split: store_expressions([words for _, words in read_expressions(self._file)], self._form)
        }


def check_form(form: str) -> str:
    """The form, if there is such a one."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
    return form


def store_expressions(expressions: Sequence[Sequence[str]], form: str) -> Samples:
    """Samples of expressions, given as lists of words, as `ListOps` has them."""
    tree_of = operator_tree if form == "operators" else binary_tree
    trees = [tree_of(words) for words in expressions]
    per_node = {"token": torch.tensor([_NUMBER[token] for tree in trees for token in tree.token])}
    per_sample = {"y": torch.tensor([evaluate(words) for words in expressions])}
    return store(trees, per_node, per_sample, {"vocabulary": list(VOCABULARY), "classes": list(DIGITS)})


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

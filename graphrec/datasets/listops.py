"""ListOps: nested lists of digits whose value is to be computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch_geometric.data import Data

from ._base import Samples, TreeDataset, store
from ._files import checksum, raw_file, raw_folder
from ._listops_grammar import (
    CLOSE,
    DIGITS,
    OPERATORS,
    ListOpsGenerator,
    binary_tree,
    evaluate,
    operator_tree,
    read_expressions,
)

FORMS = ("parse", "operators")
VOCABULARY = ("", *DIGITS, *(f"[{name}" for name in OPERATORS), CLOSE)

_NUMBER: dict[str | None, int] = {None: 0} | {word: i for i, word in enumerate(VOCABULARY) if i}


class ListOps(TreeDataset):
    """Expressions such as `[MAX 2 9 [MIN 4 7 ] 0 ]`, each with its value, a digit.

    Source: N. Nangia and S. Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", NAACL Student
    Research Workshop 2018, https://arxiv.org/abs/1804.06028. Expressions are drawn here (see
    `ListOpsGenerator`; nobody holds rights in them) or read from a file in the paper's format. Public files
    come with the paper's code, github.com/nyu-mll/spinn, under the licence that it states.

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
        source: a `ListOpsGenerator`, or the name of a file.
        root: where the file is, see above.
        form: `"parse"` for the paper's binary trees, left-branching, with all words at the leaves (what its
            Tree-LSTM reads); `"operators"` for trees of operators above their arguments, without brackets.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed or wrongly computed line, with file, line and position.
    """

    def __init__(
        self,
        source: ListOpsGenerator | str = "test_d8.tsv",
        root: str | Path | None = None,
        form: str = "parse",
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
        self._form = form
        if isinstance(source, ListOpsGenerator):
            self._source: ListOpsGenerator | Path = source
            without = None if source.without is None else checksum(Path(source.without))
            key = {"drawn": asdict(source), "without": without, "form": form, "vocabulary": VOCABULARY}
            super().__init__("drawn", key, transform)
        else:
            mend = (
                "Place it there, name its folder with root=..., or draw: ListOps(ListOpsGenerator(10_000))."
            )
            self._source = raw_file(raw_folder("listops", root), source, mend)
            key = {"raw": checksum(self._source), "form": form, "vocabulary": VOCABULARY}
            super().__init__(Path(source).stem, key, transform)

    @staticmethod
    def value(token: Sequence[int]) -> int:
        """The value of an expression by the numbers of its words, such as `sample.token.tolist()`; 0s are not words.

        Raises:
            ValueError: these words are not an expression.
        """
        return evaluate([VOCABULARY[number] for number in token if number])

    def make(self) -> dict[str, Samples]:
        if isinstance(self._source, ListOpsGenerator):
            expressions = self._source.expressions()
            values = [evaluate(words) for words in expressions]
        else:
            read = read_expressions(self._source)
            values, expressions = [value for value, _ in read], [words for _, words in read]
        tree_of = operator_tree if self._form == "operators" else binary_tree
        trees = [tree_of(words) for words in expressions]
        per_node = {"token": torch.tensor([_NUMBER[token] for tree in trees for token in tree.token])}
        info = {"vocabulary": list(VOCABULARY), "classes": list(DIGITS)}
        return {self.split: store(trees, per_node, {"y": torch.tensor(values)}, info)}

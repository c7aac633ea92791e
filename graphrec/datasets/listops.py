"""ListOps: nested lists of digits whose value is to be computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch_geometric.data import Data

from ..structure.brackets import TreeRows, parse_brackets
from ._base import Samples, TreeDataset, store
from ._files import checksum, fault, raw_file, raw_folder, read_lines
from ._listops_grammar import (
    CLOSE,
    DIGITS,
    OPERATORS,
    ListOpsGenerator,
    binarise,
    evaluate,
    operator_tree,
    words_of,
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
    for in `root/listops`, `root`, or without root in `$GRAPHREC_DATA/listops`. Every value is checked.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, E]`, from child to parent; the root is the last node;
    - `slot` `[E]`, which child;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: a word, its place in `vocabulary`; 0 for a node without one;
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
            super().__init__("drawn", {"drawn": asdict(source), "without": without, "form": form}, transform)
        else:
            mend = "Place it there, name another, or draw expressions: ListOps(ListOpsGenerator(10_000))."
            self._source = raw_file(raw_folder("listops", root), source, mend)
            super().__init__(Path(source).stem, {"raw": checksum(self._source), "form": form}, transform)

    def make(self) -> dict[str, Samples]:
        if isinstance(self._source, ListOpsGenerator):
            drawn = self._source.expressions()
            values = [evaluate(words) for words in drawn]
            trees = [self._tree(words, parse_brackets(binarise(words), labels=False)) for words in drawn]
        else:
            values, trees = self._read(self._source)
        per_node = {"token": torch.tensor([_NUMBER[token] for tree in trees for token in tree.token])}
        info = {"vocabulary": list(VOCABULARY), "classes": list(DIGITS)}
        return {self.split: store(trees, per_node, {"y": torch.tensor(values)}, info)}

    def _tree(self, words: list[str], parse: TreeRows) -> TreeRows:
        return operator_tree(words) if self._form == "operators" else parse

    def _read(self, path: Path) -> tuple[list[int], list[TreeRows]]:
        values, trees = [], []
        for number, line in read_lines(path):
            written, tab, parse = line.partition("\t")
            if not tab:
                raise fault(path, number, "expected a value, a tab and an expression, got no tab")
            words = words_of(parse)
            try:
                tree = parse_brackets(parse, labels=False)
                value = evaluate(words)
            except ValueError as error:
                raise fault(path, number, str(error)) from error
            if parse.split() != binarise(words).split():
                what = f"expected the left-branching parse {binarise(words)!r}, got {parse!r}"
                raise fault(path, number, what)
            if written != str(value):
                raise fault(path, number, f"expected the value {value} at position 0, got {written!r}")
            values.append(value)
            trees.append(self._tree(words, tree))
        return values, trees

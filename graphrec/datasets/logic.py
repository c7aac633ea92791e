"""Logic: pairs of propositional formulas and the relation between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data

from ..structure.brackets import TreeRows, parse_brackets
from ._base import Samples, TreeDataset, store
from ._files import checksum, fault, raw_file, raw_folder, read_lines
from ._propositions import RELATIONS, VARIABLES, relation, truth_table

SPLITS = ("train", "test")
VOCABULARY = ("", *VARIABLES, "not", "and", "or")

_WORD = re.compile(r"[^\s()]+")
_NUMBER: dict[str | None, int] = {None: 0} | {word: i for i, word in enumerate(VOCABULARY) if i}


class Logic(TreeDataset):
    """Pairs of formulas over the variables a to f, labelled with one of seven relations.

    `=` equivalence, `<` entailment, `>` reverse entailment, `^` negation, `|` alternation, `v` cover,
    `#` independence. The size of a pair is the number of operators in its larger formula; the paper trains on
    sizes up to 4 and tests on all. Source: S. Bowman, C. Potts and C. Manning, "Recursive Neural Networks Can
    Learn Logical Semantics", CVSC 2015 (the experiment on recursive structure),
    https://arxiv.org/abs/1406.1827. The data comes with the paper's code, which states no licence.

    Files: `train0`, `test0`, `train1`, …, one pair per line, `relation TAB formula TAB formula`, such as
    `< TAB ( a ( and b ) ) TAB ( not ( not a ) )`, looked for in `root/logic`, `root`, or without root in
    `$GRAPHREC_DATA/logic`. They make up the folder `propositionallogic` of the paper's code,
    github.com/sleepinyourhat/vector-entailment.

    Each sample is a `torch_geometric.data.Data` that holds both trees as one graph:

    - `edge_index` `[2, E]`, from child to parent; the nodes of the left formula come first;
    - `slot` `[E]`, which child;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: a leaf's word, its place in `vocabulary`; 0 for an internal node;
    - `root_index` `[2]` long: the roots of the left and of the right formula (counted on in a batch);
    - `y` `[1]` long: the relation, its place in `classes`;
    - `num_operators` `[1]` long: the size. (PyG's `Data.size` is a method.)

    Args:
        root: where the files are, see above.
        split: `"train"` or `"test"`.
        sizes: which files to read.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: there is no file for one of the sizes.
        ValueError: no sizes; a relation that is unknown or does not hold, or a malformed formula, with file, line
            and position.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: str = "train",
        sizes: Sequence[int] = (0, 1, 2, 3, 4),
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        if not sizes:
            raise ValueError("sizes must name at least one size, got none.")
        folder = raw_folder("logic", root)
        mend = "Ask for other sizes, or place the files of github.com/sleepinyourhat/vector-entailment there."
        self._files = {size: raw_file(folder, f"{split}{size}", mend) for size in sizes}
        key = {"raw": checksum(*self._files.values()), "sizes": list(self._files)}
        super().__init__(split, key, transform)

    def make(self) -> dict[str, Samples]:
        trees: list[TreeRows] = []
        relations: list[int] = []
        sizes: list[int] = []
        for size, path in self._files.items():
            for label, left, right in _read(path):
                relations.append(label)
                sizes.append(size)
                trees += (left, right)
        lengths = torch.tensor([len(tree.parent) for tree in trees]).view(-1, 2)
        per_node = {"token": torch.tensor([_NUMBER[token] for tree in trees for token in tree.token])}
        per_sample = {
            "root_index": (lengths.cumsum(dim=1) - 1).flatten(),
            "y": torch.tensor(relations),
            "num_operators": torch.tensor(sizes),
        }
        info = {"vocabulary": list(VOCABULARY), "classes": list(RELATIONS)}
        return {self.split: store(trees, per_node, per_sample, info, trees_per_sample=2)}


def _read(path: Path) -> list[tuple[int, TreeRows, TreeRows]]:
    pairs = []
    for number, line in read_lines(path):
        parts = line.split("\t")
        if len(parts) != 3:
            raise fault(path, number, f"expected relation TAB formula TAB formula, got {len(parts) - 1} tabs")
        if parts[0] not in RELATIONS:
            raise fault(path, number, f"expected {' '.join(RELATIONS)} at position 0, got {parts[0]!r}")
        for match in _WORD.finditer(line, len(parts[0])):
            if match[0] not in _NUMBER:
                what = f"expected a to f, not, and, or at position {match.start()}, got {match[0]!r}"
                raise fault(path, number, what)
        formulas, worlds = [], []
        for side, formula in zip(("left", "right"), parts[1:], strict=True):
            try:
                formulas.append(parse_brackets(formula, labels=False))
                worlds.append(truth_table(formula))
            except ValueError as error:
                raise fault(path, number, f"{side} formula, {error}") from error
        right = relation(*worlds)
        if parts[0] != right:
            raise fault(
                path, number, f"expected {right} between these formulas at position 0, got {parts[0]!r}"
            )
        pairs.append((RELATIONS.index(parts[0]), *formulas))
    return pairs

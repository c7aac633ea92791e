"""Logic: pairs of propositional formulas and the relation between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data

from ..io import parse_brackets
from ..structure import TreeRows
from ._base import Samples, TreeDataset, store
from ._files import checksum, fault, raw_file, raw_folder, read_lines

SPLITS = ("train", "test")
CONNECTIVES = ("not", "and", "or")
RELATIONS = ("=", "<", ">", "^", "|", "v", "#")

_WORD = re.compile(r"[^\s()]+")


class Logic(TreeDataset):
    """Pairs of propositional formulas, labelled with one of seven relations.

    `=` equivalence, `<` entailment, `>` reverse entailment, `^` negation, `|` alternation, `v` cover,
    `#` independence. The size of a pair is the number of operators in its larger formula; the paper trains on
    sizes up to 4 and tests on all. Source: S. Bowman, C. Potts and C. Manning, "Recursive Neural Networks Can
    Learn Logical Semantics", CVSC 2015 (the experiment on recursive structure),
    https://arxiv.org/abs/1406.1827. The data comes with the paper's code, which states no licence.

    Files: `train0`, `test0`, `train1`, …, one pair per line, `relation TAB formula TAB formula`, such as
    `< TAB ( a ( and b ) ) TAB ( not ( not a ) )`, looked for in `root/logic`, `root`, or without root in
    `$GRAPHREC_DATA/logic`. They make up the folder `propositionallogic` of the paper's code,
    github.com/sleepinyourhat/vector-entailment.
    There the variables are a to f; any names will do that Python would take for one, such as `p1` or `cat`. The
    vocabulary holds the variables of all training files in the folder, sorted, whatever
    split and sizes are asked for, and then the connectives; a test set may have no others. (Where there are no
    training files, it holds the variables of the files that are read.)

    Each sample is a `torch_geometric.data.Data` that holds both trees as one graph:

    - `edge_index` `[2, E]`, from child to parent; the nodes of the left formula come first;
    - `slot` `[E]`, which child;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: a leaf's word, its index in `vocabulary`; 0 for an internal node;
    - `root_index` `[2]` long: the roots of the left and of the right formula (counted on in a batch);
    - `y` `[1]` long: the relation, its index in `classes`;
    - `num_operators` `[1]` long: the size. (PyG's `Data.size` is a method.)

    Args:
        root: where the files are, see above.
        split: `"train"` or `"test"`.
        sizes: which files to read.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: there is no file for one of the sizes.
        ValueError: no sizes; an unknown relation, malformed brackets, or a variable that no training file has, with
            file, line and position. Relations are taken as they are written: whether they hold is not computed.
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
        mend = (
            "Ask for other sizes, place the files of github.com/sleepinyourhat/vector-entailment there, or name their "
            "folder with root=...."
        )
        self._files = {size: raw_file(folder, f"{split}{size}", mend) for size in sizes}
        numbered = [path for path in folder.glob("train*") if path.name.removeprefix("train").isdecimal()]
        self._named = sorted(numbered) or list(self._files.values())  # the files that name the variables
        key = {"raw": checksum(*self._files.values()), "sizes": list(self._files)}
        key["named"] = checksum(*self._named)
        super().__init__(split, key, transform)

    def make(self) -> dict[str, Samples]:
        vocabulary = ["", *_variables(self._named), *CONNECTIVES]
        number: dict[str | None, int] = {word or None: i for i, word in enumerate(vocabulary)}
        trees: list[TreeRows] = []
        relations: list[int] = []
        sizes: list[int] = []
        for size, path in self._files.items():
            for label, left, right in _read(path, vocabulary):
                relations.append(label)
                sizes.append(size)
                trees += (left, right)
        lengths = torch.tensor([len(tree.parent) for tree in trees]).view(-1, 2)
        per_node = {"token": torch.tensor([number[token] for tree in trees for token in tree.token])}
        per_sample = {
            "root_index": (lengths.cumsum(dim=1) - 1).flatten(),
            "y": torch.tensor(relations),
            "num_operators": torch.tensor(sizes),
        }
        info = {"vocabulary": vocabulary, "classes": list(RELATIONS)}
        return {self.split: store(trees, per_node, per_sample, info, structures_per_sample=2)}


def _variables(paths: Sequence[Path]) -> list[str]:
    """The variables of the formulas in these files, sorted."""
    formulas = (line.partition("\t")[2] for path in paths for _, line in read_lines(path))
    return sorted({word for text in formulas for word in _WORD.findall(text)} - set(CONNECTIVES))


def _read(path: Path, vocabulary: Sequence[str]) -> list[tuple[int, TreeRows, TreeRows]]:
    known = frozenset(vocabulary)
    pairs = []
    for number, line in read_lines(path):
        parts = line.split("\t")
        if len(parts) != 3:
            raise fault(path, number, f"expected relation TAB formula TAB formula, got {len(parts) - 1} tabs")
        if parts[0] not in RELATIONS:
            raise fault(path, number, f"expected {' '.join(RELATIONS)} at position 0, got {parts[0]!r}")
        for match in _WORD.finditer(line, len(parts[0])):
            word = match[0]
            if word not in known:
                what = f"a variable that the training files have ({_list(vocabulary[1 : -len(CONNECTIVES)])})"
                raise fault(path, number, f"expected {what} at position {match.start()}, got {word!r}")
            if not word.isidentifier():
                what = "expected a variable such as a or p1, not, and, or"
                raise fault(path, number, f"{what} at position {match.start()}, got {word!r}")
        formulas = []
        for side, formula in zip(("left", "right"), parts[1:], strict=True):
            try:
                formulas.append(parse_brackets(formula, labels=False))
            except ValueError as error:
                raise fault(path, number, f"{side} formula, {error}") from error
        pairs.append((RELATIONS.index(parts[0]), *formulas))
    return pairs


def _list(words: Sequence[str]) -> str:
    return ", ".join(words[:10]) + (f" and {len(words) - 10} more" if len(words) > 10 else "")

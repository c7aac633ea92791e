"""The functions of Python's standard library, to be named."""

from __future__ import annotations

import sys
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch_geometric.data import Data

from graphrec.datasets import Samples, TreeDataset, checksum, store

from .corpus import (
    NO_WORDS,
    SKIPPED_FOLDERS,
    SPLITS,
    Function,
    frequent_words,
    number_words,
    read_functions,
    source_files,
)


class PythonFunctions(TreeDataset):
    """The functions of a standard library as syntax trees; the first word of each name is to be guessed.

    All functions and methods of the running interpreter's library, without its tests. Source: the `.py` files
    on this machine, under Python's own licence (PSF); nothing is downloaded. The same interpreter gives the
    same data set, another version a slightly different one.

    How it is made:

    - The target is the first word of the name (`_get_data`: get), one of the 40 that are most frequent in the
      training split. Functions with other names are left out, and so are `__dunder__` names.
    - The name is masked everywhere in its function: whatever in an identifier or text spells the same words
      one after another (`getData`, `self._get_data`, "cannot get data") becomes the one word `<name>`.
      Docstrings, also of inner functions and classes, are dropped: they say the name in other words.
    - All functions of a top-level module or package are in one split, chosen by a checksum of the module's
      name: about 80 % train, 10 % val, 10 % test.
    - Of functions that are equal in all that a model sees, one is kept, whatever their names and splits.
    - Nothing is cut off: the largest functions have thousands of nodes. An inner function is a sample of its
      own and part of the one around it.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, E]`, from child to parent; the function itself is the last node;
    - `slot` `[E]`, which child;
    - `edge_type` `[E]`, the relation: in which field of its parent the child stands, by its number in
      `graphrec.SYNTAX_FIELDS`;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `node_type` `[N]` long, in `NODE_TYPES`: the class of the `ast` node; constants with their type
      (`Constant.str`), what is assigned to or deleted with its context (`Name.Store`); operators are nodes;
    - `field` `[N]` long: the same of each node, 0 for the root, for models without edges;
    - `subtoken` `[N, K]` long: the words of a node's identifiers, text or short number, in `vocabulary`; 0 is
      padding, 1 the masked name, 2 an unknown word;
    - `y` `[1]` long: the first word of the name, in `classes`;
    - `name`, `qualified` (`json.decoder.JSONDecoder.decode`) and `path`: texts;
    - `lines` `[2]` long: the first and last line in the file, see `source`.

    Args:
        root: a folder of Python code to take instead of the standard library.
        split: `"train"`, `"val"` or `"test"`.
        num_names: how many first words of names are distinguished.
        max_words: K. A node's further words are dropped; only texts have many.
        min_count: the vocabulary has the words of at least this many functions of the training split; others
            are unknown. This is the default because it can be read back, and because words that training
            never sees should look alike rather than have an embedding each that stays as it was drawn.
        buckets: do without a vocabulary, and number each word by its CRC-32 modulo `buckets`: numbers then
            mean the same in every data set, no word is unknown, and some words share a number.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: the folder has no Python files.
        ValueError: a file that this version of Python cannot parse, with file and line; or a split without
            functions, because the folder holds too few modules.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: str = "train",
        num_names: int = 40,
        max_words: int = 6,
        min_count: int = 3,
        buckets: int | None = None,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        if min(num_names, max_words, min_count, 1 if buckets is None else buckets) < 1:
            raise ValueError("num_names, max_words, min_count and buckets must be 1 or more.")
        self.folder = Path(sysconfig.get_path("stdlib") if root is None else root).expanduser()
        self._files = source_files(self.folder, SKIPPED_FOLDERS)
        if not self._files:
            raise FileNotFoundError(f"expected Python files below {self.folder}, got none: correct root=...")
        self._num_names, self._max_words = num_names, max_words
        self._min_count, self._buckets = min_count, buckets
        key = {
            "python": sys.version,
            "paths": [path.relative_to(self.folder).as_posix() for path in self._files],
            "raw": checksum(*self._files),
            "options": [num_names, max_words, min_count, buckets],
        }
        super().__init__(split, key, transform)

    @property
    def num_subtokens(self) -> int:
        """How many numbers a subtoken can have: the rows of an embedding."""
        return len(self.vocabulary) + (self._buckets or 0)

    def source(self, sample: Data) -> str:
        """The source text of a sample, its name and docstring included."""
        first, last = sample.lines.tolist()
        with tokenize.open(self.folder / sample.path) as file:
            return "".join(file.readlines()[first - 1 : last])

    def make(self) -> dict[str, Samples]:
        found = [f for path in self._files for f in read_functions(path, self.folder, self._max_words)]
        vocabulary = list(NO_WORDS)
        if self._buckets is None:
            vocabulary += frequent_words(found, self._min_count)
        kept = number_words(found, vocabulary, self._buckets)
        counts = Counter(f.target for f in kept if f.split == "train")
        classes = sorted(counts, key=lambda word: (-counts[word], word))[: self._num_names]
        info = {"classes": classes, "vocabulary": vocabulary}
        return {split: self._store([f for f in kept if f.split == split], split, info) for split in SPLITS}

    def _store(self, members: list[Function], split: str, info: dict[str, list[str]]) -> Samples:
        label = {word: i for i, word in enumerate(info["classes"])}
        members = [f for f in members if f.target in label]
        if not members:
            raise ValueError(
                f"expected functions for the split {split!r}, got none: {self.folder} holds too few modules."
            )
        rows = [row + [0] * (self._max_words - len(row)) for f in members for row in f.subtokens]
        field = torch.tensor([n for f in members for n in f.tree.field])
        per_node = {
            "node_type": torch.tensor([n for f in members for n in f.tree.node_type]),
            "field": field,
            "subtoken": torch.tensor(rows),
        }
        per_sample = {
            "y": torch.tensor([label[f.target] for f in members]),
            "name": [f.name for f in members],
            "qualified": [f.qualified for f in members],
            "path": [f.path for f in members],
            "lines": torch.tensor([line for f in members for line in f.lines]),
        }
        trees = [f.tree.rows for f in members]
        has_parent = torch.tensor([parent >= 0 for rows in trees for parent in rows.parent])
        return store(trees, per_node, per_sample, info, per_edge={"edge_type": field[has_parent]})

"""The docstrings of Python's standard library, to be continued character by character."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch_geometric.data import Data

from graphrec.datasets import Samples, TreeDataset, checksum, store

from .chains import chain_rows
from .corpus import SKIPPED_FOLDERS, SPLITS, parse_file, source_files, split_of

NO_CHARACTERS = ("<end>", "<unknown>")  # the first numbers of every vocabulary

_HAS_DOCSTRING = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Docstrings(TreeDataset):
    """The docstrings of a standard library as sequences of characters, each to be predicted from the preceding ones.

    All docstrings (of modules, classes, functions) of the running interpreter's library, without its tests.
    Source: the `.py` files on this machine, under Python's own licence (PSF); nothing is downloaded. The same
    interpreter gives the same data set, another version a slightly different one.

    How it is made:

    - Indentation is taken off as `inspect.cleandoc` does it; lines stay lines.
    - Long texts are cut after `max_length` characters. A text that was cut does not end with the end symbol.
    - All docstrings of a top-level module or package are in one split, chosen by a checksum of the module's name:
      about 80 % train, 10 % val, 10 % test.
    - Of texts that are equal (once cut) one is kept, in all splits together.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, N - 1]`, a chain, and `slot` `[N - 1]`, all 0;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: the characters, by their index in `vocabulary`, and the end symbol unless the text was
      cut;
    - `text`: the text, cut; `path`: the file.

    In the vocabulary 0 is the end symbol and 1 an unknown character; the others are sorted as in Unicode.

    Args:
        root: a folder of Python code to take instead of the standard library.
        split: `"train"`, `"val"` or `"test"`.
        max_length: how many characters of a text are kept.
        min_count: the vocabulary has the characters of at least this many texts of the training split; others
            are unknown.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: the folder has no Python files.
        ValueError: a file that this version of Python cannot parse, with file and line; or a split without
            docstrings, because the folder holds too few modules.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: str = "train",
        max_length: int = 300,
        min_count: int = 3,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        if min(max_length, min_count) < 1:
            raise ValueError(f"max_length and min_count must be 1 or more, got {max_length} and {min_count}.")
        self.folder = Path(sysconfig.get_path("stdlib") if root is None else root).expanduser()
        self._files = source_files(self.folder, SKIPPED_FOLDERS)
        if not self._files:
            raise FileNotFoundError(f"expected Python files below {self.folder}, got none: correct root=...")
        self._max_length, self._min_count = max_length, min_count
        key = {
            "python": sys.version,
            "paths": [path.relative_to(self.folder).as_posix() for path in self._files],
            "raw": checksum(*self._files),
            "options": [max_length, min_count],
        }
        super().__init__(split, key, transform)

    def make(self) -> dict[str, Samples]:
        first: dict[str, _Found] = {}
        for path in self._files:
            relative = path.relative_to(self.folder)
            split = split_of(relative.with_suffix("").parts[0])
            for text in _docstrings(parse_file(path)):
                cut = text[: self._max_length]
                first.setdefault(cut, _Found(cut, cut == text, relative.as_posix(), split))
        counts = Counter(c for found in first.values() if found.split == "train" for c in set(found.text))
        characters = sorted(c for c, count in counts.items() if count >= self._min_count)
        vocabulary = [*NO_CHARACTERS, *characters]
        return {
            split: self._store([found for found in first.values() if found.split == split], split, vocabulary)
            for split in SPLITS
        }

    def _store(self, members: list[_Found], split: str, vocabulary: list[str]) -> Samples:
        if not members:
            raise ValueError(
                f"expected docstrings for the split {split!r}, got none: {self.folder} holds too few modules."
            )
        end, unknown = range(len(NO_CHARACTERS))
        number = {character: i for i, character in enumerate(vocabulary)}
        rows = [
            [*(number.get(c, unknown) for c in found.text), *([end] if found.whole else [])]
            for found in members
        ]
        per_node = {"token": torch.tensor([token for row in rows for token in row])}
        per_sample = {"text": [found.text for found in members], "path": [found.path for found in members]}
        info = {"vocabulary": vocabulary}
        return store([chain_rows(len(row)) for row in rows], per_node, per_sample, info)


class _Found(NamedTuple):
    """A docstring as found in a file."""

    text: str  # cut
    whole: bool  # whether nothing was cut off
    path: str  # relative to the folder
    split: str


def _docstrings(module: ast.Module) -> list[str]:
    """The docstrings of a module and of all in it that are not blank, without their indentation."""
    found = [ast.get_docstring(node) for node in ast.walk(module) if isinstance(node, _HAS_DOCSTRING)]
    return [text for text in found if text and not text.isspace()]

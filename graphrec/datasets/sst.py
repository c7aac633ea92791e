"""The Stanford Sentiment Treebank."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Callable
from numbers import Integral
from pathlib import Path

import torch
from torch_geometric.data import Data

from ..io import parse_brackets
from ..structure import TreeRows
from ._base import Samples, TreeDataset, store
from ._files import cache_folder, checksum, fault, fetch, raw_file, raw_folder, read_lines, written_at_once

URL = "https://nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip"
SHA256 = "5c613a4f673fc74097d523a2c83f38e0cc462984d847b82c7aaf36b01cbbbfcc"
SPLITS = ("train", "dev", "test")
UNKNOWN = "<unknown>"
CLASSES = ("very negative", "negative", "neutral", "positive", "very positive")

_LABELS = {str(value): value for value in range(len(CLASSES))}
_ONLY_A_LABEL = re.compile(r"(?<!\\)\(\s*[^\s()]+\s*\)")
_WRITTEN_LABEL = re.compile(r"\(\s*([^\s()]*)", re.ASCII)


class SST(TreeDataset):
    """Sentences of film reviews, each a binary tree whose every phrase has a sentiment.

    8,544 trees to train, 1,101 to develop, 2,210 to test. Source: R. Socher, A. Perelygin, J. Wu, J. Chuang,
    C. Manning, A. Ng and C. Potts, "Recursive Deep Models for Semantic Compositionality Over a Sentiment
    Treebank", EMNLP 2013, https://nlp.stanford.edu/sentiment. No licence is stated there; the sentences come
    from the reviews collected by Pang and Lee (2005).

    Files: `train.txt`, `dev.txt`, `test.txt`, one tree per line, such as `(3 (2 It) (4 (2 's) (4 good)))`,
    looked for in `root/sst`, `root`, or without root in `$GRAPHREC_DATA/sst`. With neither, the official
    archive is downloaded by pooch into the user's cache, and checked.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, E]`, from child to parent; the root is the last node;
    - `slot` `[E]`, 0 for the left child and 1 for the right;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: a leaf's word, its index in `vocabulary`; 0 for an internal node, 1 for an unknown
      word;
    - `y` `[N]` long: the sentiment of each phrase, 0 (very negative) to 4 (very positive), see `classes`.

    Args:
        root: where the files are, see above.
        split: `"train"`, `"dev"` or `"test"`.
        min_count: words seen less often in the training trees count as unknown. With 1 the vocabulary has
            every word of them, and the unknown word never occurs in training.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: the folder has no file for this split (or none to take the vocabulary from).
        ValueError: a malformed or not binary tree, or a label that is not 0 to 4, with file, line and position.
        ConnectionError: the archive cannot be downloaded.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: str = "train",
        min_count: int = 1,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        if not isinstance(min_count, Integral) or min_count < 1:
            raise ValueError(f"min_count must be a whole number, 1 or more, got {min_count!r}.")
        folder = raw_folder("sst", root)
        if folder == cache_folder() / "sst":
            _fetch(folder)
        mend = f"Place the files of {URL} there, or give neither root nor GRAPHREC_DATA to download them."
        self._train = raw_file(folder, "train.txt", f"Every split takes its vocabulary from it. {mend}")
        self._file = raw_file(folder, f"{split}.txt", mend)
        self._min_count = min_count
        super().__init__(split, {"raw": checksum(self._train, self._file), "min_count": min_count}, transform)

    def make(self) -> dict[str, Samples]:
        train = _read(self._train)
        trees = train if self._file == self._train else _read(self._file)
        counts = Counter(token for tree in train for token in tree.token if token is not None)
        counts.pop(UNKNOWN, None)  # as a word of the treebank it would have two numbers
        words = sorted(counts, key=lambda word: (-counts[word], word))
        vocabulary = ["", UNKNOWN, *(word for word in words if counts[word] >= self._min_count)]
        number: dict[str | None, int] = {word: i for i, word in enumerate(vocabulary) if i > 1}
        number[None] = 0
        per_node = {
            "token": torch.tensor([number.get(token, 1) for tree in trees for token in tree.token]),
            "y": torch.tensor([_LABELS[str(label)] for tree in trees for label in tree.label]),
        }
        return {self.split: store(trees, per_node, info={"vocabulary": vocabulary, "classes": list(CLASSES)})}


def _read(path: Path) -> list[TreeRows]:
    trees = []
    for number, line in read_lines(path):
        try:
            tree = parse_brackets(line)
        except ValueError as error:
            raise fault(path, number, str(error)) from error
        if empty := _ONLY_A_LABEL.search(line):
            what = f"malformed brackets at position {empty.start()}: a label and no word; a leaf needs one"
            raise fault(path, number, what)
        if not _LABELS.keys() >= set(tree.label):
            raise fault(path, number, _describe_label(line))
        if any(count != 2 for count in Counter(tree.parent[:-1]).values()):
            raise fault(
                path, number, "expected two parts in every bracket around brackets, got another number"
            )
        trees.append(tree)
    return trees


def _describe_label(line: str) -> str:
    for match in _WRITTEN_LABEL.finditer(line):
        if match[1] not in _LABELS:
            return f"expected a label from 0 to 4 at position {match.start(1)}, got {match[1]!r}"
    return "expected a label from 0 to 4 for every word, got a word without its own bracket"


def _fetch(folder: Path) -> None:
    """Download and unpack the official archive into a folder of the cache, unless it is there."""
    paths = {folder / f"{split}.txt": f"trees/{split}.txt" for split in SPLITS}
    if all(path.is_file() for path in paths):
        return
    archive = fetch(URL, SHA256, folder / Path(URL).name)
    with zipfile.ZipFile(archive) as content:
        for path, member in paths.items():
            with written_at_once(path) as temporary:
                temporary.write_bytes(content.read(member))
    archive.unlink()

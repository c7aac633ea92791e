"""The functions in a folder of Python code: found, assigned to splits, their words numbered."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .syntax import MASK, FunctionTree, function_tree, functions, split_name

SPLITS = ("train", "val", "test")
NO_WORDS: tuple[str, ...] = ("", MASK, "<unknown>")  # the first numbers of every vocabulary; 0 is padding

_UNKNOWN = NO_WORDS.index("<unknown>")


@dataclass
class Function:
    """A function as found in a file."""

    name: str
    qualified: str  # module.qualname
    path: str  # relative to the folder
    lines: tuple[int, int]
    split: str
    target: str  # the first word of its name
    tree: FunctionTree
    subtokens: list[list[int]] = field(default_factory=list)  # per node, filled in by number_words


SKIPPED_FOLDERS = ("site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test")


def source_files(folder: Path, skip: Iterable[str]) -> list[Path]:
    """The Python files below a folder, sorted; folders named in `skip` or not like a package are left out."""
    skip = set(skip)
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in skip and name.isidentifier()]
        found += [Path(place, name) for name in files if name.endswith(".py")]
    return sorted(found)


def split_of(module: str) -> str:
    """The split of a top-level module: eight of ten checksums mean train, one val, one test.

    The prefix is chosen for the sizes that it gives: 80, 10 and 10 % within 2 for Python 3.11 to 3.13.
    """
    return SPLITS[max(0, zlib.crc32(f"213:{module}".encode()) % 10 - 7)]


def read_functions(path: Path, folder: Path, max_words: int) -> list[Function]:
    """The functions of a file, without those whose name is a `__dunder__` or has no words.

    Raises:
        ValueError: this version of Python cannot parse the file.
    """
    relative = path.relative_to(folder)
    parts = relative.with_suffix("").parts
    module = ".".join(parts).removesuffix(".__init__")
    found = []
    for qualified, node in functions(parse_file(path)):
        words = split_name(node.name)
        if not words or (node.name.startswith("__") and node.name.endswith("__")):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        found.append(
            Function(
                name=node.name,
                qualified=f"{module}.{qualified}",
                path=relative.as_posix(),
                lines=(first, node.end_lineno or first),
                split=split_of(parts[0]),
                target=words[0],
                tree=function_tree(node, max_words),
            )
        )
    return found


def frequent_words(found: Iterable[Function], min_count: int) -> list[str]:
    """The words of at least `min_count` functions of the training split, the most frequent first."""
    counts: Counter[str] = Counter()
    for function in found:
        if function.split == "train":
            counts.update({word for said in function.tree.words for word in said if word != MASK})
    words = [word for word, count in counts.items() if count >= min_count]
    return sorted(words, key=lambda word: (-counts[word], word))


def number_words(found: list[Function], vocabulary: list[str], buckets: int | None) -> list[Function]:
    """Fill in the subtokens, and return the functions without repetitions: the first of those that are equal.

    Args:
        found: functions, in a fixed order.
        vocabulary: known words by their number.
        buckets: if given, the numbers that the other words are hashed to, from `len(vocabulary)` on.
    """
    number = {word: i for i, word in enumerate(vocabulary)}
    words = {word for function in found for said in function.tree.words for word in said}
    for word in words - number.keys():
        number[word] = _UNKNOWN if buckets is None else len(vocabulary) + zlib.crc32(word.encode()) % buckets
    first: dict[bytes, Function] = {}
    for function in found:
        tree = function.tree
        function.subtokens = [[number[word] for word in said] for said in tree.words]
        seen = repr((tree.rows.parent, tree.node_type, tree.field, function.subtokens))
        first.setdefault(hashlib.blake2b(seen.encode()).digest(), function)
    return list(first.values())


def parse_file(path: Path) -> ast.Module:
    """The syntax tree of a file; warnings about old code are not passed on.

    Raises:
        ValueError: this version of Python cannot parse the file.
    """
    with warnings.catch_warnings():
        # Old code has escapes such as "\d", of which the parser warns with one or the other, by version.
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return ast.parse(path.read_bytes())
        except SyntaxError as error:
            version = ".".join(map(str, sys.version_info[:2]))
            raise ValueError(
                f"{path}, line {error.lineno}: expected code for Python {version}, got {error.msg}."
            ) from error

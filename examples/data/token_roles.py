"""The tokens of Python's standard library, and what each of them is there for."""

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

from .chains import chain_rows
from .corpus import SKIPPED_FOLDERS, SPLITS, parse_file, source_files, split_of
from .role_tables import FORMS, ROLES
from .roles import Token, statements

_FORM_NUMBER = {form: i for i, form in enumerate(FORMS)}
_ROLE_NUMBER = {role: i for i, role in enumerate(ROLES)}


class TokenRoles(TreeDataset):
    """The statements of a standard library as chains of tokens; the grammatical role of each is to be predicted.

    All code of the running interpreter's library, without its tests. Source: the `.py` files on this machine, under
    Python's own licence (PSF); nothing is downloaded. The same interpreter gives the same data set, another version
    a slightly different one.

    How it is made:

    - A sample is a statement as `tokenize` delimits it, a logical line: a compound statement ends with its colon,
      unless its body is on the same line.
    - What is seen of a token is its form: keywords, operators and brackets are themselves; all identifiers are
      `<name>`, whatever they say, so that only the tokens around tell what one is; literals are `<number>`,
      `<string>`, `<bytes>` or `<fstring>`. Of identifiers only `match`, `case`, `type` and `_`, keywords elsewhere,
      are shown. The 91 forms are the same under every version of Python.
    - The role of a token is found by position in the tree of `ast`: the innermost node that covers the token, and
      what that node is in the one above. There are 40 in nine families. A `<name>` may be read, bound (assigned
      to, a loop's variable, after `as` or `global`), deleted, a parameter, a called function, a called method, an
      argument's name, a module, …; a `(` a call's, a definition's, a class's, a tuple's, a comprehension's, an
      import's, or for grouping; a `*` a product's, an unpacking's, a definition's or an import's; a `:` that of
      a statement, a slice, a dictionary, an annotation or a lambda; so too `,` `=` `[` `{` `-` `.` `in` `if`
      `else` `for` `from` `as` `not`. No identifier is there to be known: in all of the library no two statements
      of equal forms differ in a role.
    - All statements of a top-level module or package are in one split, chosen by a checksum of the module's name:
      about 80 % train, 10 % val, 10 % test. Of statements of equal forms, such as the tens of thousands that read
      `<name> = <name>`, the training split keeps a few; the others have one of each form that is in no split
      before them, so that no answer can be remembered.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, N - 1]`, from each token to the next; `slot` `[N - 1]`, zero;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: the form, in `vocabulary`;
    - `y` `[N]` long: the role, in `classes`;
    - `path`: a text, and `lines` `[2]` long: the file, and the statement's first and last line in it.

    Args:
        root: a folder of Python code to take instead of the standard library.
        split: `"train"`, `"val"` or `"test"`.
        copies: how many statements of equal forms the training split keeps.
        max_tokens: longer statements, tables of constants mostly, are left out.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: the folder has no Python files.
        ValueError: a file that this version of Python cannot parse, with file and line; or a split without
            statements, because the folder holds too few modules.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: str = "train",
        copies: int = 3,
        max_tokens: int = 100,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        if min(copies, max_tokens) < 1:
            raise ValueError(f"copies and max_tokens must be 1 or more, got {copies} and {max_tokens}.")
        self.folder = Path(sysconfig.get_path("stdlib") if root is None else root).expanduser()
        self._files = source_files(self.folder, SKIPPED_FOLDERS)
        if not self._files:
            raise FileNotFoundError(f"expected Python files below {self.folder}, got none: correct root=...")
        self._copies, self._max_tokens = copies, max_tokens
        key = {
            "python": sys.version,
            "paths": [path.relative_to(self.folder).as_posix() for path in self._files],
            "raw": checksum(*self._files),
            "options": [copies, max_tokens],
        }
        super().__init__(split, key, transform)

    def files(self, split: str | None = None) -> list[str]:
        """The files of a split, by default this one, relative to the folder."""
        paths = [path.relative_to(self.folder) for path in self._files]
        wanted = split or self.split
        return [p.as_posix() for p in paths if split_of(p.with_suffix("").parts[0]) == wanted]

    def source(self, path: str) -> str:
        """The text of a file, as `Token` counts lines and columns in it."""
        with tokenize.open(self.folder / path) as file:
            return file.read()

    def statements(self, path: str) -> list[list[Token]]:
        """All statements of a file, also those that are not samples, with the position of each token in the text."""
        return statements(self.source(path), parse_file(self.folder / path))

    def make(self) -> dict[str, Samples]:
        seen: Counter[tuple[str, ...]] = Counter()
        made = {}
        for split in SPLITS:
            kept = []
            for path in self.files(split):
                for statement in self.statements(path):
                    forms = tuple(token.form for token in statement)
                    if len(forms) <= self._max_tokens and seen[forms] < (
                        self._copies if split == "train" else 1
                    ):
                        seen[forms] += 1
                        kept.append((path, statement))
            made[split] = self._store(kept, split)
        return made

    def _store(self, members: list[tuple[str, list[Token]]], split: str) -> Samples:
        if not members:
            raise ValueError(
                f"expected statements for the split {split!r}, got none: {self.folder} holds too few modules."
            )
        found = [statement for _, statement in members]
        per_node = {
            "token": torch.tensor([_FORM_NUMBER[token.form] for statement in found for token in statement]),
            "y": torch.tensor([_ROLE_NUMBER[token.role] for statement in found for token in statement]),
        }
        lines = [line for statement in found for line in (statement[0].start[0], statement[-1].end[0])]
        per_sample = {"path": [path for path, _ in members], "lines": torch.tensor(lines)}
        info = {"vocabulary": list(FORMS), "classes": list(ROLES)}
        return store([chain_rows(len(statement)) for statement in found], per_node, per_sample, info)

"""Trees, from all the forms in which they are written."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..structure import Structure, tree_from_edges, tree_from_parents, tree_from_rows
from ..structure.checks import as_texts
from ..structure.outside import made_outside
from .brackets import parse_brackets
from .nested import from_nested
from .syntax import from_syntax


@made_outside
def tree(
    source: Any = None,
    *,
    parents: Sequence[int] | Tensor | None = None,
    labels: bool | Sequence[str | None] = True,
    tokens: Sequence[str | None] | None = None,
) -> Structure:
    """A tree whose edges run from child to parent; the slot of an edge says which child it comes from.

    Args:
        source: one of
            brackets, `"(3 (2 It) (4 (2 's) (4 good)))"`, see `parse_brackets`;
            nested lists or tuples, `[["It"], ["'s", "good"]]`: a list is a node, a text or a number a leaf's token;
            an `nltk.Tree`; it reads as the brackets that it prints: leaves that are pairs, `("dog", "NN")`, are dog/NN;
            a syntax tree, any `ast.AST`: labels are the names of its types, tokens its names and constants as they are
            written, relations the fields in which children are, numbered as in `graphrec.SYNTAX_FIELDS`. A missing
            element of a list (`{**a}` has no key) is a slot that stays empty. Cells without relations go by slots;
            an `edge_index` tensor `[2, E]` of child and parent.
            In the first four, nodes are numbered children first, as they are read: the root is last,
            and the leaves follow each other as the words do.
        parents: instead of a source, the parent of each node, -1 for the root; slots follow the numbering.
        labels: whether brackets begin with a label. Beside parents or an edge_index, the nodes' labels.
        tokens: beside parents or an edge_index, the nodes' tokens.

    Raises:
        ValueError: malformed brackets (with position), two roots, two parents, a cycle, no nodes; a flat list of
            numbers, or two rows of them, that may be parents or edges; lists that contain themselves, or repeat so
            often that repetitions would make up most of the tree.
        TypeError: anything else, or a leaf that is neither a text nor a number.
    """
    if (source is None) == (parents is None):
        raise ValueError("give a tree either as source or as parents=[...].")
    if parents is not None or isinstance(source, Tensor | np.ndarray):
        s = tree_from_edges(source) if parents is None else tree_from_parents(parents)
        texts = {"tokens": tokens, "labels": None if isinstance(labels, bool) else labels}
        given = {name: as_texts(name, values) for name, values in texts.items() if values is not None}
        return s.replace(**given) if given else s
    if tokens is not None or not isinstance(labels, bool):
        raise ValueError(
            "tokens and labels go with parents=[...] or an edge_index; other trees have their own: use "
            "s.replace(tokens=..., labels=...)."
        )
    if isinstance(source, str):
        return tree_from_rows(parse_brackets(source, labels))
    if isinstance(source, ast.AST):
        return from_syntax(source)
    if isinstance(source, list | tuple):  # nltk.Tree is a list
        return from_nested(source)
    raise TypeError(
        f"a tree can be brackets, nested lists, nltk.Tree, ast.AST, an edge_index tensor or parents=[...], "
        f"got {type(source).__name__}: of anything else that nests give the parent of each node, "
        f"graphrec.tree(parents=[...], tokens=[...])."
    )

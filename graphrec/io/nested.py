"""Trees as nested lists, and as `nltk.Tree`, which is a list with a label."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from numbers import Integral, Number
from typing import Any

import torch

from ..structure import Structure, tree_from_edges, tree_from_rows
from ..structure.written import written
from .brackets import unescape
from .reading import Reading, walk


def from_nested(source: Any) -> Structure:
    """The tree of nested lists, tuples and `nltk.Tree`s; see `graphrec.tree`."""
    _check_is_nested(source)
    rows, _ = walk(source, _read_list)
    return tree_from_rows(rows)


def _read_list(node: Any) -> Reading:
    if _is_nltk(node):
        return _read_nltk(node)
    if not isinstance(node, list | tuple):
        return Reading([], _token(node, str), None)
    if not node:
        raise ValueError("a list in a nested-list tree is empty: a leaf is written as its token, not as [].")
    if any(child is None for child in node):
        raise TypeError("a leaf of a tree is a text or a number, got None: leave it out, or give it a token.")
    return Reading(list(node), None, None)


def _is_nltk(node: Any) -> bool:
    return isinstance(node, list) and hasattr(node, "label")


def _read_nltk(node: Any) -> Reading:
    children = [child if _is_nltk(child) else unescape(_printed(child)) for child in node]
    label = str(node.label())
    if not children and not label:
        raise ValueError("a node of an nltk.Tree has neither a label nor children: give it one of them.")
    if len(children) == 1 and isinstance(children[0], str):
        return Reading([], children[0], label)  # as in brackets, (NN dog) is one node
    return Reading(children, None, label)


def _printed(leaf: Any) -> str:
    """As nltk prints it, which joins a word and its tag."""
    return "/".join(map(str, leaf)) if isinstance(leaf, tuple) else _token(leaf, repr)


def _token(leaf: Any, write: Callable[[Any], str]) -> str:
    if isinstance(leaf, str):
        return leaf
    if isinstance(leaf, Iterable | ast.AST) and not isinstance(leaf, bytes):
        raise TypeError(
            f"a leaf of a tree is a text or a number, got {type(leaf).__name__}: write nested trees as lists, or as "
            f"an nltk.Tree throughout, and give graphrec.tree arrays, tensors and syntax trees directly."
        )
    return written(leaf, write)


def _check_is_nested(source: Any) -> None:
    """Refuse lists that might also be parents or edges."""
    if _is_nltk(source):
        return
    if source and all(isinstance(number, Number) for number in source):
        first = written(source[0], str)[:20]
        raise ValueError(
            f"a flat list of numbers may be the parents of nodes or their tokens: give parents as "
            f"graphrec.tree(parents=[{first}, …]), and tokens as texts, graphrec.tree(['{first}', …])."
        )
    rows = [row for row in source if isinstance(row, list | tuple) and row and not _is_nltk(row)]
    if len(source) != 2 or len(rows) != 2 or len(rows[0]) != len(rows[1]):
        return
    if all(isinstance(number, Integral) for row in rows for number in row):
        try:
            tree_from_edges(torch.tensor(rows))
        except (ValueError, RuntimeError):  # they are not the edges of a tree
            return
        raise ValueError(
            "two rows of numbers may be the edges of a tree or lists of tokens: give edges as a tensor, "
            "graphrec.tree(torch.tensor(edges)), and tokens as texts."
        )

"""Python's syntax trees: the field of its parent that each node is in, and its own text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch

from ..structure import Structure, tree_from_rows
from ..structure.written import written
from .reading import Reading, walk


def listed(names: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(names.split())


SYNTAX_FIELDS = listed(
    """
    ? annotation args argtypes bases body bound cases cause cls comparators context_expr ctx decorator_list
    default_value defaults elt elts exc finalbody format_spec func generators guard handlers ifs items iter
    key keys keywords kw_defaults kwarg kwd_patterns kwonlyargs left lower msg names op operand ops
    optional_vars orelse pattern patterns posonlyargs returns right slice step subject target targets test
    type type_ignores type_params upper value values vararg
    """
)
"""The names of the relations in trees of Python's syntax: every field of its grammar (3.11 to 3.14) that holds nodes.

A number means the same in every version of Python: fields of later versions are appended. 0 is for what is not in the
list.
"""
FIELD_NUMBER = {name: number for number, name in enumerate(SYNTAX_FIELDS)}


def from_syntax(root: ast.AST) -> Structure:
    """The tree of a syntax tree, with the fields of children as relations; see `graphrec.tree`."""
    rows, nodes = walk(root, _read_syntax)
    fields = [[FIELD_NUMBER.get(field, 0) for field, _ in children_of(node)] for node in nodes]
    relation = [fields[p][k] for p, k in zip(rows.parent[:-1], rows.slot[:-1], strict=True)]
    return tree_from_rows(rows).replace(
        relation=torch.tensor(relation, dtype=torch.long), relation_names=SYNTAX_FIELDS
    )


def _read_syntax(node: ast.AST) -> Reading:
    return Reading([child for _, child in children_of(node)], text_of(node), type(node).__name__)


def children_of(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """A node's children, each with its field; None: an empty slot, such as a key in `{**a}`."""
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) or (child is None and isinstance(value, list)):
                yield field, child


def text_of(node: ast.AST) -> str | None:
    """A node's own text without its children, much as it is written: names, constants, and marks such as `!r`."""
    if isinstance(node, ast.Constant | ast.MatchSingleton):
        return (getattr(node, "kind", None) or "") + written(node.value)
    names = [
        name
        for _, value in ast.iter_fields(node)
        for name in (value if isinstance(value, list) else [value])
        if isinstance(name, str)
    ]
    text = (" as " if isinstance(node, ast.alias) else " ").join(names)
    if isinstance(node, ast.ImportFrom):
        text = "." * (getattr(node, "level", None) or 0) + text
    elif getattr(node, "is_async", 0):
        text = "async"
    elif (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not getattr(node, "simple", 1)
    ):
        text = "()"  # (x): int annotates nothing
    elif (conversion := getattr(node, "conversion", -1)) >= 0:  # in an f-string, or in a t-string
        text += f"!{chr(conversion)}"
    return text or None

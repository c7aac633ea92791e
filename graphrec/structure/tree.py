"""Trees, in the forms in which people have them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .brackets import TreeRows, parse_brackets, unescape
from .build import dag
from .cycles import name_cycle, walk_to_cycle
from .structure import Structure, as_whole_numbers


def tree(
    source: Any = None,
    *,
    parents: Sequence[int] | Tensor | None = None,
    labels: bool = True,
) -> Structure:
    """A tree whose edges run from child to parent; the slot of an edge says which child it comes from.

    Args:
        source: one of
            brackets, `"(3 (2 It) (4 (2 's) (4 good)))"`, see `parse_brackets`;
            nested lists or tuples, `[["It"], ["'s", "good"]]`: a list is a node, anything else a leaf's token;
            an `nltk.Tree`; it reads as the brackets that it prints;
            a syntax tree, any `ast.AST`: labels are the names of its types, tokens its names and constants;
            an `edge_index` tensor `[2, E]` of child and parent.
            In the first four, nodes are numbered children first, in the order of reading: the root is last,
            and the leaves follow each other as the words do.
        parents: instead of a source, the parent of each node, -1 for the root; slots follow the numbering.
        labels: whether brackets begin with a label.

    Raises:
        ValueError: malformed brackets (with position), two roots, two parents, a cycle, no nodes.
    """
    if (source is None) == (parents is None):
        raise ValueError("give a tree either as source or as parents=[...].")
    if parents is not None:
        return _from_parents(parents)
    if isinstance(source, str):
        return _from_rows(parse_brackets(source, labels))
    if isinstance(source, Tensor):
        return _from_edges(source)
    if isinstance(source, ast.AST):
        return _from_rows(_walk(source, _read_syntax))
    if isinstance(source, list | tuple):  # nltk.Tree is a list
        return _from_rows(_walk(source, _read_list))
    raise TypeError(
        f"a tree can be brackets, nested lists, nltk.Tree, ast.AST, an edge_index tensor or parents=[...], "
        f"got {type(source).__name__}."
    )


# What a node of some tree type has to say: its children, its token, its label.
_Reading = tuple[list[Any], str | None, str | None]


def _read_list(node: Any) -> _Reading:
    if not isinstance(node, list | tuple):
        return [], str(node), None
    children = list(node)
    if not children:
        raise ValueError("a list in a nested-list tree is empty: a leaf is written as its token, not as [].")
    if not hasattr(node, "label"):
        return children, None, None
    label = str(node.label())  # type: ignore[union-attr]
    if len(children) == 1 and not isinstance(children[0], list | tuple):
        return [], unescape(str(children[0])), label  # as in brackets, (NN dog) is one node
    return children, None, label


def _read_syntax(node: ast.AST) -> _Reading:
    if isinstance(node, ast.Constant):
        token = str(node.value)
    else:
        token = next((value for _, value in ast.iter_fields(node) if isinstance(value, str)), None)
    return list(ast.iter_child_nodes(node)), token, type(node).__name__


def _walk(root: Any, read: Callable[[Any], _Reading]) -> TreeRows:
    """Children first, without recursion."""
    rows = TreeRows([], [], [], [])
    open_nodes: list[tuple[Iterable[Any], list[int], str | None, str | None]] = []

    def enter(node: Any) -> None:
        children, token, label = read(node)
        open_nodes.append((iter(children), [], token, label))

    enter(root)
    while True:
        waiting, done, token, label = open_nodes[-1]
        child = next(iter(waiting), _NONE)
        if child is not _NONE:
            enter(child)
            continue
        open_nodes.pop()
        node = rows.add(done, token, label)
        if not open_nodes:
            return rows
        open_nodes[-1][1].append(node)


_NONE = object()


def _from_rows(rows: TreeRows) -> Structure:
    parent = torch.tensor(rows.parent)[:-1]  # all but the root, which is last
    child = torch.arange(len(rows.parent) - 1)
    return Structure(
        num_nodes=len(rows.parent),
        edge_index=torch.stack([child, parent]),
        slot=torch.tensor(rows.slot)[:-1],
        tokens=tuple(rows.token) if any(t is not None for t in rows.token) else None,
        labels=tuple(rows.label) if any(t is not None for t in rows.label) else None,
    )


def _from_parents(numbers: Sequence[int] | Tensor) -> Structure:
    parents = as_whole_numbers(numbers, "parents must be whole numbers, one per node, -1 for the root")
    if parents.dim() != 1 or parents.numel() == 0:
        raise ValueError(f"parents must name the parent of each node, got shape {tuple(parents.shape)}.")
    count = parents.shape[0]
    wrong = ((parents < -1) | (parents >= count)).nonzero()
    if wrong.numel():
        node = int(wrong[0])
        raise ValueError(
            f"the parent of node {node} is {int(parents[node])}, but the nodes are 0 to {count - 1} (-1: the root)."
        )
    child = (parents >= 0).nonzero().flatten()
    return _from_edges(torch.stack([child, parents[child]]), count)


def _from_edges(edge_index: Tensor, count: int | None = None) -> Structure:
    structure = dag(edge_index, count if count is not None or edge_index.numel() else 1)
    given = torch.bincount(structure.source, minlength=structure.num_nodes)
    if int(given.max()) > 1:
        node = int(given.argmax())
        above = structure.target[structure.source == node].tolist()
        raise ValueError(
            f"node {node} has {len(above)} parents ({', '.join(map(str, above))}), a tree's nodes have one: "
            f"use graphrec.dag for a structure that shares nodes."
        )
    roots = (given == 0).nonzero().flatten().tolist()
    if len(roots) > 1:
        raise ValueError(
            f"a tree has one root, got {len(roots)} (nodes {', '.join(map(str, roots[:5]))}"
            f"{', …' if len(roots) > 5 else ''}): build each tree on its own and join them with graphrec.batch."
        )
    _check_all_hang_together(structure, roots)
    return structure


def _check_all_hang_together(structure: Structure, roots: list[int]) -> None:
    """With one parent at most, whoever does not reach the root goes round in a cycle."""
    ancestor = torch.arange(structure.num_nodes)
    ancestor[structure.source] = structure.target
    parent = ancestor
    for _ in range(structure.num_nodes.bit_length()):
        ancestor = ancestor[ancestor]  # twice as far up at every turn
    is_root = torch.bincount(structure.source, minlength=structure.num_nodes) == 0
    lost = (~is_root[ancestor]).nonzero()
    if lost.numel():
        cycle = walk_to_cycle(int(lost[0]), lambda node: int(parent[node]))
        raise ValueError(
            f"a tree has no cycle, but its parents go round: {name_cycle(cycle)} (roots: {roots})."
        )

"""Trees, in the forms in which people have them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral, Number
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .brackets import TreeRows, parse_brackets, unescape
from .build import dag
from .checks import as_texts, as_whole_numbers
from .cycles import name_cycle, walk_to_cycle
from .outside import made_outside
from .structure import Structure
from .syntax import FIELD_NUMBER, SYNTAX_FIELDS, places, said
from .written import written

# Lists that stand in several places are read in each of them. This many nodes may come of that: 40 lists of which each
# stands twice in the next are a tree of 2^40.
MOST_REPEATED = 200_000


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
            written, relations the fields in which children stand, numbered as in `graphrec.SYNTAX_FIELDS`. An empty
            place in a list (`{**a}` has no key) is a slot that stays empty. Cells that know no relations go by slots;
            an `edge_index` tensor `[2, E]` of child and parent.
            In the first four, nodes are numbered children first, in the order of reading: the root is last,
            and the leaves follow each other as the words do.
        parents: instead of a source, the parent of each node, -1 for the root; slots follow the numbering.
        labels: whether brackets begin with a label. Beside parents or an edge_index, the nodes' labels.
        tokens: beside parents or an edge_index, the nodes' tokens.

    Raises:
        ValueError: malformed brackets (with position), two roots, two parents, a cycle, no nodes; a flat list of
            numbers, or two rows of them, that may be parents or edges; lists that contain themselves, or stand in so
            many places that most of the tree would be repetitions.
        TypeError: something else, or a leaf that is neither a text nor a number.
    """
    if (source is None) == (parents is None):
        raise ValueError("give a tree either as source or as parents=[...].")
    if parents is not None or isinstance(source, Tensor | np.ndarray):
        s = _from_edge_index(source) if parents is None else _from_parents(parents)
        texts = {"tokens": tokens, "labels": None if isinstance(labels, bool) else labels}
        given = {name: as_texts(name, values) for name, values in texts.items() if values is not None}
        return s.replace(**given) if given else s
    if tokens is not None or not isinstance(labels, bool):
        raise ValueError(
            "tokens and labels go with parents=[...] or an edge_index; other trees have their own: use "
            "s.replace(tokens=..., labels=...)."
        )
    if isinstance(source, str):
        return _from_rows(parse_brackets(source, labels))
    if isinstance(source, ast.AST):
        return _from_syntax(source)
    if isinstance(source, list | tuple):  # nltk.Tree is a list
        _check_is_nested(source)
        rows, _ = _walk(source, _read_list)
        return _from_rows(rows)
    raise TypeError(
        f"a tree can be brackets, nested lists, nltk.Tree, ast.AST, an edge_index tensor or parents=[...], "
        f"got {type(source).__name__}."
    )


class _Reading(NamedTuple):
    """What a node of some tree type has to say: its children (None: a slot that stays empty), its token, its label."""

    children: list[Any]
    token: str | None
    label: str | None


def _read_list(node: Any) -> _Reading:
    if _is_nltk(node):
        return _read_nltk(node)
    if not isinstance(node, list | tuple):
        return _Reading([], _token(node, str), None)
    if not node:
        raise ValueError("a list in a nested-list tree is empty: a leaf is written as its token, not as [].")
    if any(child is None for child in node):
        raise TypeError("a leaf of a tree is a text or a number, got None: leave it out, or give it a token.")
    return _Reading(list(node), None, None)


def _is_nltk(node: Any) -> bool:
    return isinstance(node, list) and hasattr(node, "label")


def _read_nltk(node: Any) -> _Reading:
    children = [child if _is_nltk(child) else unescape(_printed(child)) for child in node]
    label = str(node.label())
    if not children and not label:
        raise ValueError("a node of an nltk.Tree has neither a label nor children: give it one of them.")
    if len(children) == 1 and isinstance(children[0], str):
        return _Reading([], children[0], label)  # as in brackets, (NN dog) is one node
    return _Reading(children, None, label)


def _printed(leaf: Any) -> str:
    """As nltk prints it, which joins a word and its tag."""
    return "/".join(map(str, leaf)) if isinstance(leaf, tuple) else _token(leaf, repr)


def _token(leaf: Any, write: Callable[[Any], str]) -> str:
    if isinstance(leaf, str):
        return leaf
    if isinstance(leaf, Iterable | ast.AST) and not isinstance(leaf, bytes):
        raise TypeError(
            f"a leaf of a tree is a text or a number, got {type(leaf).__name__}: write nested trees as lists, or as "
            f"an nltk.Tree all through, and give graphrec.tree arrays, tensors and syntax trees by themselves."
        )
    return written(leaf, write)


def _check_is_nested(source: Any) -> None:
    """Refuse lists that may just as well be parents or edges."""
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
            _from_edges(torch.tensor(rows))
        except (ValueError, RuntimeError):  # they are no tree's edges
            return
        raise ValueError(
            "two rows of numbers may be the edges of a tree or lists of tokens: give edges as a tensor, "
            "graphrec.tree(torch.tensor(edges)), and tokens as texts."
        )


def _from_syntax(root: ast.AST) -> Structure:
    rows, nodes = _walk(root, _read_syntax)
    fields = [[FIELD_NUMBER.get(field, 0) for field, _ in places(node)] for node in nodes]
    relation = [fields[p][k] for p, k in zip(rows.parent[:-1], rows.slot[:-1], strict=True)]
    return _from_rows(rows).replace(
        relation=torch.tensor(relation, dtype=torch.long), relation_names=SYNTAX_FIELDS
    )


def _read_syntax(node: ast.AST) -> _Reading:
    return _Reading([child for _, child in places(node)], said(node), type(node).__name__)


def _walk(root: Any, read: Callable[[Any], _Reading]) -> tuple[TreeRows, list[Any]]:
    """Children first, without recursion: the rows, and what was read for each."""
    rows, nodes = TreeRows([], [], [], []), []
    opened: list[tuple[Any, _Reading, Iterator[Any], list[int | None]]] = []
    above: set[int] = set()  # what is open, and has children
    seen: set[int] = set()  # what is or was
    repeated = 0

    def enter(node: Any) -> None:
        nonlocal repeated
        reading, itself = read(node), id(node)
        if itself in above:
            raise ValueError(
                f"a tree ends somewhere, but a {type(node).__name__} in this one contains itself, {len(opened)} deep."
            )
        if reading.children:
            repeated += len(reading.children) if itself in seen else 0
            above.add(itself)
            seen.add(itself)
        if repeated > MOST_REPEATED:
            raise ValueError(
                f"{len(seen)} nested nodes stand in so many places that they unfold to more than {MOST_REPEATED:,} "
                f"nodes: a tree's nodes have one parent each. Use graphrec.dag for a structure that shares nodes."
            )
        opened.append((node, reading, iter(reading.children), []))

    enter(root)
    while True:
        node, reading, waiting, done = opened[-1]
        child = next(waiting, _NO_MORE)
        if child is None:
            done.append(None)
        elif child is not _NO_MORE:
            enter(child)
        else:
            opened.pop()
            above.discard(id(node))
            nodes.append(node)
            number = rows.add(done, reading.token, reading.label)
            if not opened:
                return rows, nodes
            opened[-1][3].append(number)


_NO_MORE = object()


def _from_rows(rows: TreeRows) -> Structure:
    count = len(rows.parent)
    # Of all but the root, which is last, in one tensor: child, parent and slot.
    edges = torch.tensor([range(count - 1), rows.parent[:-1], rows.slot[:-1]], dtype=torch.long)
    return Structure.counted_out(
        num_nodes=count,
        graph=torch.zeros(count, dtype=torch.long),
        edge_index=edges[:2],
        slot=edges[2],
        tokens=tuple(rows.token) if any(t is not None for t in rows.token) else None,
        labels=tuple(rows.label) if any(t is not None for t in rows.label) else None,
    )


def _from_parents(numbers: Sequence[int] | Tensor) -> Structure:
    parents = as_whole_numbers(numbers, "parents must be whole numbers, one per node, -1 for the root")
    if parents.dim() != 1 or parents.numel() == 0:
        raise ValueError(f"parents must name the parent of each node, got shape {tuple(parents.shape)}.")
    parent = parents.cpu().numpy()
    count = len(parent)
    wrong = np.flatnonzero((parent < -1) | (parent >= count))
    if len(wrong):
        node = int(wrong[0])
        raise ValueError(
            f"the parent of node {node} is {parent[node]}, but the nodes are 0 to {count - 1} (-1: the root)."
        )
    child = np.flatnonzero(parent >= 0)
    return _from_edges(torch.from_numpy(np.array([child, parent[child]])), count)


def _from_edge_index(numbers: Tensor | np.ndarray) -> Structure:
    edges = as_whole_numbers(
        numbers, "an edge_index must hold whole numbers, a row of children and one of parents"
    )
    if edges.dim() == 1:
        raise ValueError(
            f"an edge_index has two rows, got one of {len(edges)} numbers: give parents as graphrec.tree(parents=...)."
        )
    return _from_edges(edges)


def _from_edges(edge_index: Tensor, count: int | None = None) -> Structure:
    structure = dag(edge_index, count if count is not None or edge_index.numel() else 1)
    source, target = structure.edge_index.cpu().numpy()
    given = np.bincount(source, minlength=structure.num_nodes)
    if given.max() > 1:
        node = int(given.argmax())
        above = target[source == node].tolist()
        raise ValueError(
            f"node {node} has {len(above)} parents ({', '.join(map(str, above))}), a tree's nodes have one: "
            f"use graphrec.dag for a structure that shares nodes."
        )
    roots = np.flatnonzero(given == 0).tolist()
    if len(roots) > 1:
        raise ValueError(
            f"a tree has one root, got {len(roots)} (nodes {', '.join(map(str, roots[:5]))}"
            f"{', …' if len(roots) > 5 else ''}): build each tree on its own and join them with graphrec.batch."
        )
    _check_all_hang_together(source, target, roots, structure.num_nodes)
    return structure


def _check_all_hang_together(source: np.ndarray, target: np.ndarray, roots: list[int], count: int) -> None:
    """With one parent at most, whoever does not reach the root goes round in a cycle."""
    ancestor = np.arange(count)
    ancestor[source] = target
    parent = ancestor
    for _ in range(count.bit_length()):
        ancestor = ancestor[ancestor]  # twice as far up at every turn
    is_root = np.zeros(count, dtype=bool)
    is_root[roots] = True
    lost = np.flatnonzero(~is_root[ancestor])
    if len(lost):
        cycle = walk_to_cycle(int(lost[0]), lambda node: int(parent[node]))
        raise ValueError(
            f"a tree has no cycle, but its parents go round: {name_cycle(cycle)} (roots: {roots})."
        )

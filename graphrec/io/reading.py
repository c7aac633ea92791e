"""Nested objects of any type read as trees: children first, without recursion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..structure import TreeRows

# A list that occurs several times is read each time. This many nodes may result from repetitions: 40 lists of which
# each occurs twice in the next are a tree of 2^40.
MOST_REPEATED = 200_000


class Reading(NamedTuple):
    """What a node of some tree type contains: its children (None: a slot that stays empty), its token, its label."""

    children: list[Any]
    token: str | None
    label: str | None


def walk(root: Any, read: Callable[[Any], Reading]) -> tuple[TreeRows, list[Any]]:
    """Children first, without recursion: the rows, and the object read for each.

    Raises:
        ValueError: a node that contains itself; repetitions that would make up most of the tree.
    """
    rows, nodes = TreeRows([], [], [], []), []
    opened: list[tuple[Any, Reading, Iterator[Any], list[int | None]]] = []
    above: set[int] = set()  # the open nodes, which have children
    seen: set[int] = set()  # the nodes that are or were open
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
                f"{len(seen)} nested nodes are repeated so often that they unfold to more than {MOST_REPEATED:,} "
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

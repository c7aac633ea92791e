"""Trees from numbers: rows, parents, edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .build import dag
from .checks import as_whole_numbers
from .cycles import name_cycle, walk_to_cycle
from .outside import made_outside, outside
from .structure import Structure


class TreeRows(NamedTuple):
    """A tree as one row per node, children before parents: the common form of all ways to write a tree."""

    parent: list[int]
    slot: list[int]
    token: list[str | None]
    label: list[str | None]

    def add(self, children: Sequence[int | None], token: str | None, label: str | None) -> int:
        """A node above its children, which exist already (None: a slot that stays empty); returns its id."""
        node = len(self.parent)
        for slot, child in enumerate(children):
            if child is not None:
                self.parent[child] = node
                self.slot[child] = slot
        self.parent.append(-1)
        self.slot.append(0)
        self.token.append(token)
        self.label.append(label)
        return node


def tree_from_rows(rows: TreeRows) -> Structure:
    """The tree of rows whose root is last."""
    count = len(rows.parent)
    with outside():
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


@made_outside
def tree_from_parents(parents: Sequence[int] | Tensor) -> Structure:
    """The tree of N nodes with these parents, `[N]`, -1 for the root; slots follow the numbering.

    Raises:
        ValueError: a parent that is not there, two roots, a cycle, no nodes. TypeError: not whole numbers.
    """
    numbers = as_whole_numbers(parents, "parents must be whole numbers, one per node, -1 for the root")
    if numbers.dim() != 1 or numbers.numel() == 0:
        raise ValueError(f"parents must name the parent of each node, got shape {tuple(numbers.shape)}.")
    parent = numbers.cpu().numpy()
    count = len(parent)
    wrong = np.flatnonzero((parent < -1) | (parent >= count))
    if len(wrong):
        node = int(wrong[0])
        raise ValueError(
            f"the parent of node {node} is {parent[node]}, but the nodes are 0 to {count - 1} (-1: the root)."
        )
    child = np.flatnonzero(parent >= 0)
    return _from_edges(torch.from_numpy(np.array([child, parent[child]])), count)


@made_outside
def tree_from_edges(edge_index: Tensor | np.ndarray) -> Structure:
    """The tree of an edge_index `[2, E]`, a row of children and one of parents; slots follow the listed edges.

    Raises:
        ValueError: two roots, two parents, a cycle, no edge_index. TypeError: not whole numbers.
    """
    edges = as_whole_numbers(
        edge_index, "an edge_index must hold whole numbers, a row of children and one of parents"
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
    """Each node has at most one parent, so one that does not reach the root is on a cycle or leads to one."""
    ancestor = np.arange(count)
    ancestor[source] = target
    parent = ancestor
    for _ in range(count.bit_length()):
        ancestor = ancestor[ancestor]  # twice as far up each time
    is_root = np.zeros(count, dtype=bool)
    is_root[roots] = True
    lost = np.flatnonzero(~is_root[ancestor])
    if len(lost):
        cycle = walk_to_cycle(int(lost[0]), lambda node: int(parent[node]))
        raise ValueError(
            f"a tree has no cycle, but its parents go round: {name_cycle(cycle)} (roots: {roots})."
        )

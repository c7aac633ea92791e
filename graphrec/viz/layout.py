"""Where nodes are placed: trees tidily, other structures by level. Linear loops, no recursion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from ..io import from_pyg
from ..schedule import CycleError, levels
from ..structure import Structure
from .routes import route
from .spring import spring


def place(structure: Structure | Data) -> Tensor:
    """`[N, 2]` float: across and up, for each node.

    `tidy` for trees and forests, `layered` for other DAGs, and `spring` for graphs with cycles.
    """
    structure = as_structure(structure)
    try:
        return tidy(structure) if is_forest(structure) else layered(structure)
    except CycleError:
        return spring(structure)


def as_structure(structure: Structure | Data) -> Structure:
    """What is drawn: a structure, or PyG data."""
    return structure if isinstance(structure, Structure) else from_pyg(structure)


def is_forest(structure: Structure) -> bool:
    """Whether every node has one parent at most."""
    return structure.num_edges == 0 or int(torch.bincount(structure.source).max()) <= 1


def tidy(structure: Structure | Data) -> Tensor:
    """`[N, 2]` float: a position for each node of a tree, or of several side by side.

    Across, children are sorted by their slots, at least 1 apart, and parents are in the middle above them;
    subtrees are as close as their outlines allow (Reingold & Tilford, *Tidier drawings of trees*, 1981). Up,
    roots are at 0 and each level of children is 1 lower.

    Raises:
        CycleError: the structure has a cycle.
        ValueError: a node has two parents.
    """
    structure = as_structure(structure)
    count = structure.num_nodes
    leaving = torch.bincount(structure.source, minlength=count)
    if leaving.numel() and int(leaving.max()) > 1:
        node = int(leaving.argmax())
        raise ValueError(
            f"a tree's nodes have one parent, node {node} has {int(leaving[node])}: use layered."
        )
    depth = levels(structure.reverse())
    upwards = torch.argsort(levels(structure), stable=True).tolist()
    children = _children(structure)
    roots = (leaving == 0).nonzero().flatten().tolist()

    shift = [0.0] * count  # of a node, from its parent
    outline: list[_Outline | None] = [None] * count
    for node in upwards:
        outline[node] = _join(children[node], outline, shift)
        outline[node].add_root()
    # A forest is the tree of a root that is not drawn.
    _join(roots, outline, shift)
    across = shift
    parent = {child: node for node in upwards for child in children[node]}
    for node in reversed(upwards):  # parents before children
        if node in parent:
            across[node] += across[parent[node]]
    x = torch.tensor(across)
    return torch.stack([x - x.min() if count else x, -depth.to(x.dtype)], dim=1)


def layered(structure: Structure | Data) -> Tensor:
    """`[N, 2]` float: up, each node's level (nodes without sources are at 0); across, within each level sorted and
    placed so that neighbours are close and few edges cross; see `route`.

    Raises:
        CycleError: the structure has a cycle.
    """
    structure = as_structure(structure)
    return route(levels(structure).cpu(), *structure.edge_index.cpu()).at


def _children(structure: Structure) -> list[list[int]]:
    perm = torch.argsort(structure.slot, stable=True)
    children: list[list[int]] = [[] for _ in range(structure.num_nodes)]
    for child, parent in structure.edge_index[:, perm].t().tolist():
        children[parent].append(child)
    return children


@dataclass
class _Outline:
    """The leftmost and rightmost position on each level of a subtree, lowest level first, relative to its root.

    The lists hold positions less `left_shift` and `right_shift`, so that moving a subtree costs nothing.
    """

    left: list[float]
    right: list[float]
    left_shift: float = 0.0
    right_shift: float = 0.0

    def move(self, by: float) -> None:
        self.left_shift += by
        self.right_shift += by

    def add_root(self) -> None:
        self.left.append(-self.left_shift)
        self.right.append(-self.right_shift)


def _join(members: list[int], outline: list[_Outline | None], shift: list[float]) -> _Outline:
    """Move siblings together, note each one's shift from the middle above them, and return their joint outline.

    Each level that two of them share is looked at once and then belongs to one outline: linear in all.
    """
    whole = _Outline([], [])
    for i, node in enumerate(members):
        one = outline[node]
        outline[node] = None
        assert one is not None
        if i == 0:
            whole = one
            continue
        shared = min(len(whole.right), len(one.left))
        gaps = (
            whole.right[-k] + whole.right_shift - one.left[-k] - one.left_shift for k in range(1, shared + 1)
        )
        shift[node] = max(gaps) + 1.0
        one.move(shift[node])
        whole = _side_by_side(whole, one, shared)
    if members:
        middle = (shift[members[0]] + shift[members[-1]]) / 2
        for node in members:
            shift[node] -= middle
        whole.move(-middle)
    return whole


def _side_by_side(a: _Outline, b: _Outline, shared: int) -> _Outline:
    """The outline of a and b to its right, made of their lists: only the shared levels are copied."""
    if len(a.left) >= len(b.left):
        for k in range(1, shared + 1):
            a.right[-k] = b.right[-k] + b.right_shift - a.right_shift
        return a
    for k in range(1, shared + 1):
        b.left[-k] = a.left[-k] + a.left_shift - b.left_shift
    return b

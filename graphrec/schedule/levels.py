"""Topological levels: a node's level is the length of the longest path that leads to it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..structure import Structure, check_structure, native
from ..structure.cycles import name_cycle, walk_to_cycle
from ..structure.outside import made_outside

Ints = np.ndarray  # of int64


class CycleError(ValueError):
    """The nodes depend on each other in a circle, so none of them can come first."""

    def __init__(self, cycle: list[int]) -> None:
        super().__init__(
            f"async mode visits every node after its sources, but there is a cycle: {name_cycle(cycle)}. "
            f"Remove one of its edges; or give graphrec.Recursive(cell, ...), or schedule(s, ...), cycles='iterate' "
            f"and rounds=T to iterate it, mode='sync' and rounds=T for rounds of all nodes, or schedule an order=... "
            f"(of graphs over time: graphrec.by_time)."
        )
        self.cycle = cycle


@made_outside
def levels(structure: Structure) -> Tensor:
    """`[N]` long: the level of each node, 0 for nodes without incoming edges; computed once per structure.

    Levels that came with the structure are checked instead of computed.

    Raises:
        CycleError: there is a cycle; names one.
        ValueError: the structure came with levels that do not fit its edges.
    """
    check_structure(structure)
    if "levels" not in structure.cache:
        if structure.level is not None:
            _check_fit(structure, structure.level)
            structure.cache["levels"] = structure.level
        else:
            structure.cache["levels"] = longest_paths(structure.source, structure.target, structure.num_nodes)
    return structure.cache["levels"]


def _check_fit(structure: Structure, level: Tensor) -> None:
    after_sources = level[structure.source] + 1
    fitting = torch.zeros_like(level).scatter_reduce(0, structure.target, after_sources, "amax")
    wrong = (fitting != level).nonzero()
    if wrong.numel():
        node = int(wrong[0])
        raise ValueError(
            f"the structure came with levels that do not fit its edges: node {node} is on level {int(level[node])}, "
            f"its sources put it on {int(fitting[node])}. Apply AddLevels after whatever changes the edges."
        )


def longest_paths(source: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    """`[N]`: the length of the longest path to each node.

    Raises:
        CycleError: there is a cycle; names one.
    """
    found = native.longest_paths(source, target, num_nodes)
    if found is not None:
        return found
    return torch.from_numpy(_longest_paths(source.cpu().numpy(), target.cpu().numpy(), num_nodes)).to(
        source.device
    )


def _longest_paths(source: Ints, target: Ints, num_nodes: int) -> Ints:
    # Where nodes have one target each (a tree, read upwards) or one source each (downwards), pointers that
    # jump twice as far each time need log(depth) vectorised passes; anything else, one pass per level.
    if source.size == 0:
        return np.zeros(num_nodes, dtype=np.int64)
    if np.bincount(source, minlength=num_nodes).max() == 1:
        return _heights(_pointers(source, target, num_nodes))
    if np.bincount(target, minlength=num_nodes).max() == 1:
        return _depths(_pointers(target, source, num_nodes))
    return _peel(source, target, num_nodes)


def _pointers(at: Ints, to: Ints, num_nodes: int) -> Ints:
    pointer = np.full(num_nodes, -1, dtype=np.int64)
    pointer[at] = to
    return pointer


def _heights(pointer: Ints) -> Ints:
    """The longest path to each node, where `pointer` leads from each node to its only target (-1: none)."""
    height = np.zeros_like(pointer)
    jump = pointer.copy()
    moving = np.flatnonzero(jump >= 0)
    for jumps in range(pointer.size.bit_length() + 1):
        # height[v] is right for paths shorter than 2^jumps; jump[v] is the node 2^jumps further on.
        np.maximum.at(height, jump[moving], height[moving] + (1 << jumps))
        jump[moving] = jump[jump[moving]]
        moving = moving[jump[moving] >= 0]
        if not moving.size:
            return height
    raise CycleError(walk_to_cycle(int(moving[0]), lambda node: int(pointer[node])))


def _depths(pointer: Ints) -> Ints:
    """The length of the only path to each node, where `pointer` leads from each node to its only source."""
    depth = (pointer >= 0).astype(np.int64)
    jump = pointer.copy()
    moving = np.flatnonzero(jump >= 0)
    for _ in range(pointer.size.bit_length() + 1):
        depth[moving] += depth[jump[moving]]
        jump[moving] = jump[jump[moving]]
        moving = moving[jump[moving] >= 0]
        if not moving.size:
            return depth
    raise CycleError(walk_to_cycle(int(moving[0]), lambda node: int(pointer[node]))[::-1])


def _peel(source: Ints, target: Ints, num_nodes: int) -> Ints:
    """Remove the nodes without sources, a whole level at a time (Kahn 1962)."""
    by_source = np.argsort(source, kind="stable")
    targets = target[by_source]
    first = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=num_nodes))])
    missing = np.bincount(target, minlength=num_nodes)
    level = np.full(num_nodes, -1, dtype=np.int64)
    front = np.flatnonzero(missing == 0)
    number = 0
    while front.size:
        level[front] = number
        number += 1
        reached = targets[_ranges(first[front], first[front + 1])]
        np.subtract.at(missing, reached, 1)
        front = np.unique(reached[missing[reached] == 0])
    if (level < 0).any():
        raise CycleError(_find_cycle(source, target, level))
    return level


def _ranges(start: Ints, stop: Ints) -> Ints:
    """`start[0] … stop[0] - 1, start[1] … stop[1] - 1, …`"""
    count = stop - start
    last = np.cumsum(count)
    return np.arange(count.sum()) + np.repeat(start - last + count, count)


def _find_cycle(source: Ints, target: Ints, level: Ints) -> list[int]:
    # A node that was never reached still waits for another that was never reached.
    waiting = (level[source] < 0) & (level[target] < 0)
    waits_for = _pointers(target[waiting], source[waiting], level.size)
    return walk_to_cycle(int(np.flatnonzero(level < 0)[0]), lambda node: int(waits_for[node]))[::-1]

"""Balanced trees over sequences, and what every position has before it: recurrences of logarithmic depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .build import lay_out
from .checks import as_count
from .outside import made_outside
from .structure import Structure

# What the kinds of nodes are called; in a tree there are the first two.
KINDS = ("position", "up", "down", "prefix")
POSITION, UP, DOWN, PREFIX = range(4)


@made_outside
def balanced(lengths: Sequence[int] | Tensor, arity: int = 2) -> Structure:
    """A balanced tree over each sequence, bottom-up: `readout.root` is the state of the whole sequence.

    The leaves of graph b are the `lengths[b]` positions. Each `arity` neighbours have a parent, each `arity` parents
    have one, and so on up to the root; slots count from left to right. A node that is left over alone at the end of a
    row needs no parent there, and moves up as it is. So inner nodes have two children or more, there are fewer of them
    than positions, and the depth is the logarithm of the length to the base `arity`, rounded up.

    Nodes are numbered graph by graph, in each the positions first and the root last. Kinds are named: `position` and
    `up`. All nodes have inputs of their own; `to_positions` puts the rows of sequences where they belong. A sequence of
    one position is its own root, and one of none has no nodes.

    Args:
        lengths: of the sequences.
        arity: how many children a node has at most, 2 or more.

    Raises:
        ValueError: a negative length, an arity below 2.
    """
    nodes, rows = _build_up(lengths, arity)
    edges = [row.to_parents(~row.alone) for row in rows]
    depth = np.zeros(nodes.count, dtype=np.int64)
    for child, parent, _ in reversed(edges):
        depth[child] = depth[parent] + 1
    return nodes.structure(edges, KINDS[:2], level_reversed=depth)


@made_outside
def prefix_scan(lengths: Sequence[int] | Tensor, arity: int = 2) -> Structure:
    """The scan of each sequence: a state for every position that has seen all positions up to it, in logarithmic depth.

    Two sweeps. The way up is the tree of `balanced`: each `up` node knows a block of neighbouring positions. On the way
    down a `down` node joins what lies before a block, in slot 0, and the block, in slot 1; and so it knows what lies
    before the next block. Last, for every position there is a `prefix` node that joins what lies before it and
    itself, which `from_prefixes` reads. Where nothing lies before, slot 0 stays empty; it is the past of these nodes,
    so that an initial state, the state before the first position, stands there.

        up      S(a..b) = cell(S(a..m), S(m+1..b))
        down    E(b+1)  = cell(E(a), S(a..b))
        prefix  P(t)    = cell(E(t), x_t)

    So the state of position t depends on positions 0 to t and on no other (Blelloch calls that an inclusive scan; the
    exclusive one is the row before, and for t = 0 the initial state). For a cell that is associative it is their
    product from left to right, exactly. A sequence of length T has fewer than 3.5 T nodes and 5 T edges, and with an
    arity of A a depth of at most A log_A(T) + 1.

    G. Blelloch, *Prefix sums and their applications*, CMU-CS-90-190, 1990, section 1.2 (up-sweep and down-sweep).

    Nodes are numbered graph by graph, in each the positions first and the prefixes last, both in order. Kinds are
    named: `position`, `up`, `down` and `prefix`; in `PerKind` the ways up and down can have cells of their own. The
    root of the tree and whatever else no prefix needs are left out.

    Args:
        lengths: of the sequences.
        arity: how many children a node has at most on the way up, 2 or more. Joins on the way down have two slots, and
            the children of a node come one after the other: with an arity of T it is a chain of `prefix` nodes.

    Raises:
        ValueError: a negative length, an arity below 2.
    """
    nodes, rows = _build_up(lengths, arity)
    is_used = np.arange(nodes.count) < nodes.positions
    top = len(rows[-1].parent) if rows else 0
    # Of each node of a row: the node that knows what lies before it, or -1; that one's level; whether it is used.
    before, level, needed = np.full(top, -1), np.full(top, -1), np.zeros(top, dtype=bool)
    edges = []
    for number in reversed(range(len(rows))):
        row = rows[number]
        before, level, needed = before[row.above], level[row.above], needed[row.above]
        edges.append(row.to_parents(~row.alone & needed))
        # Each node but the last of its siblings is joined with what lies before it; a position always is. Nodes that
        # are not the last of their row have all descendants that they can, and so the row's number as their level.
        joins = ~row.last if number else np.ones_like(row.last)
        after_level = 1 + row.slot + np.maximum(level, number)
        after = np.full(len(row.node), -1)
        after[joins] = nodes.add(row.graph[joins], DOWN if number else PREFIX, after_level[joins])
        has_left = row.slot > 0
        before[has_left], level[has_left] = after[:-1][has_left[1:]], after_level[has_left] - 1
        has_past = joins & (before >= 0)
        edges.append(_edges(before[has_past], after[has_past], 0))
        edges.append(_edges(row.node[joins], after[joins], 1))
        needed |= ~row.last
        is_used[row.node[needed]] = True
    return nodes.structure(edges, KINDS, is_used)


class _Row(NamedTuple):
    """Neighbours on the way up, graph by graph, and their parents, which are the next row.

    Attributes:
        node, graph: the number of each, and its graph.
        slot: which of its parent's children it is.
        last, alone: whether it is the last of them, and the only one: then it is its own parent.
        above: where its parent stands in the next row.
        parent: `[the next row]`, its nodes.
    """

    node: np.ndarray
    graph: np.ndarray
    slot: np.ndarray
    last: np.ndarray
    alone: np.ndarray
    above: np.ndarray
    parent: np.ndarray

    def to_parents(self, which: np.ndarray) -> np.ndarray:
        """`[3, E]`: sources, targets and slots of the edges from these nodes to their parents."""
        return np.stack([self.node[which], self.parent[self.above[which]], self.slot[which]])


class _Nodes:
    """Nodes in the order in which they are made; `structure` numbers them graph by graph."""

    def __init__(self, lengths: Sequence[int] | Tensor) -> None:
        self.size, graph, self.position = lay_out(lengths)
        self.positions, self.count = len(graph), 0
        self._graph: list[np.ndarray] = []
        self._kind: list[np.ndarray] = []
        self._level: list[np.ndarray] = []
        self.add(graph, POSITION, 0)

    @property
    def graph(self) -> np.ndarray:
        """`[N]`: the graph of each."""
        return np.concatenate(self._graph)

    def add(self, graph: np.ndarray, kind: int, level: np.ndarray | int) -> np.ndarray:
        """New nodes, and their numbers."""
        self._graph.append(graph)
        self._kind.append(np.full(len(graph), kind))
        self._level.append(np.broadcast_to(level, graph.shape))
        first, self.count = self.count, self.count + len(graph)
        return np.arange(first, self.count)

    def structure(
        self,
        edges: list[np.ndarray],
        kind_names: tuple[str, ...],
        is_used: np.ndarray | None = None,
        level_reversed: np.ndarray | None = None,
    ) -> Structure:
        """The structure of those that are used: all made after the last that `is_used` speaks of, too."""
        used = np.ones(self.count, dtype=bool)
        if is_used is not None:
            used[: len(is_used)] = is_used
        graph = self.graph
        perm = np.flatnonzero(used)
        if len(self.size) > 1:
            perm = perm[np.argsort(graph[perm], kind="stable")]
        number = np.empty(self.count, dtype=np.int64)
        number[perm] = np.arange(len(perm))
        source, target, slot = np.concatenate(edges, axis=1) if edges else np.empty((3, 0), dtype=np.int64)
        source, target = number[source], number[target]
        by_target = np.argsort(target * (1 + slot.max(initial=0)) + slot, kind="stable")
        kind = np.concatenate(self._kind)[perm]
        parts = {
            "edge_index": np.stack([source, target])[:, by_target],
            "slot": slot[by_target],
            "kind": kind,
            "graph": graph[perm],
            "level": np.concatenate(self._level)[perm],
        }
        if level_reversed is not None:
            parts["level_reversed"] = level_reversed[perm]
        if len(kind_names) > PREFIX:
            parts["past"] = (kind >= DOWN).astype(np.int64)
        tensors: dict[str, Any] = {name: torch.from_numpy(part) for name, part in parts.items()}
        return Structure.counted_out(
            num_nodes=len(perm), num_graphs=len(self.size), kind_names=kind_names, **tensors
        )


def _build_up(lengths: Sequence[int] | Tensor, arity: int) -> tuple[_Nodes, list[_Row]]:
    """The positions and all nodes above them, row by row, the positions first."""
    arity = as_count("arity", arity, 2)
    nodes = _Nodes(lengths)
    node, graph, position, rows = np.arange(nodes.count), nodes.graph, nodes.position, []
    while len(node) and (not rows or position.any()):
        above, slot = np.divmod(position, arity)
        first = slot == 0
        last = np.append(first[1:], True)
        alone = first & last
        parent = node[first]
        joins = ~alone[first]
        parent[joins] = nodes.add(graph[first][joins], UP, len(rows) + 1)
        rows.append(_Row(node, graph, slot, last, alone, np.cumsum(first) - 1, parent))
        node, graph, position = parent, graph[first], above[first]
    return nodes, rows


def _edges(source: np.ndarray, target: np.ndarray, slot: int) -> np.ndarray:
    return np.stack([source, target, np.full(len(source), slot)])

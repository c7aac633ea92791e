"""The structures that are timed: sentiment trees, random trees, caterpillars, DAGs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import graphrec as gr


class Forest(NamedTuple):
    """Trees side by side, and where they come from."""

    structure: gr.Structure
    origin: str


def sentiment_forest(count: int) -> Forest:
    """The first trees of the Stanford Sentiment Treebank; random ones like them if the file is not there.

    The file is `$GRAPHREC_DATA/sst/train.txt`: one tree in brackets per line.
    """
    file = _treebank()
    if file is None:
        trees = [gr.tree(parents=parents) for parents in sentiment_like_trees(count)]
        return Forest(gr.batch(trees), "random SST-like trees")
    with file.open(encoding="utf-8") as lines:
        trees = [gr.tree(line) for line, _ in zip(lines, range(count), strict=False)]
    return Forest(gr.batch(trees), "SST trees")


def sentiment_tree(nodes: int) -> Forest:
    """The first tree of that many nodes, from the same place."""
    file = _treebank()
    if file is None:
        tree = next(parents for parents in sentiment_like_trees(1000) if parents.size == nodes)
        return Forest(gr.tree(parents=tree), "random SST-like tree")
    with file.open(encoding="utf-8") as lines:
        return Forest(next(tree for tree in map(gr.tree, lines) if tree.num_nodes == nodes), "SST tree")


def _treebank() -> Path | None:
    folder = os.environ.get("GRAPHREC_DATA")
    file = Path(folder) / "sst" / "train.txt" if folder else None
    return file if file is not None and file.exists() else None


def sentiment_like_trees(count: int, seed: int = 0) -> list[np.ndarray]:
    """Random binary trees, as the parents of their nodes (children first, the root last).

    The training trees of SST have 19.1 words on average (deviation 9.3, 2 to 52) and 10.8 levels (deciles of
    the middle half 8 and 13). Gamma lengths and splits by Beta(0.3, 0.3), most of them lopsided, come to 10.7
    levels (8 and 13).
    """
    rng = np.random.default_rng(seed)
    words = np.clip(np.rint(rng.gamma(4.23, 4.52, count)), 2, 52).astype(int)
    return [_binary_tree(int(n), rng) for n in words]


def _binary_tree(leaves: int, rng: np.random.Generator) -> np.ndarray:
    parent = np.full(2 * leaves - 1, -1)
    pending = [(2 * leaves - 2, leaves)]  # a subtree: its root is its last node, its nodes are contiguous
    while pending:
        root, size = pending.pop()
        if size == 1:
            continue
        left = min(1 + int((size - 1) * rng.beta(0.3, 0.3)), size - 1)
        right_root, left_root = root - 1, root - 2 * (size - left)
        parent[[left_root, right_root]] = root
        pending += [(left_root, left), (right_root, size - left)]
    return parent


def sentiment_like_forest(nodes: int) -> gr.Structure:
    """That many nodes in SST-like trees: a thousand different ones, repeated, the last cut short."""
    trees = sentiment_like_trees(1000)
    sizes = np.array([tree.size for tree in trees])
    copies = -(-nodes // sizes.sum())
    sizes = np.tile(sizes, copies)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)[:nodes]
    up = np.tile(np.concatenate(trees), copies)[:nodes]
    parents = np.where(up < 0, nodes, up + first)
    return from_parents(np.where(parents < nodes, parents, -1))  # whose parent is cut off is a root


def random_tree(nodes: int, seed: int = 0) -> gr.Structure:
    """Every node but the last, the root, picks its parent among the nodes after it: about e ln N levels."""
    rng = np.random.default_rng(seed)
    node = np.arange(nodes - 1)
    return from_parents(np.append(rng.integers(node + 1, nodes), -1))


def chains(nodes: int, length: int) -> gr.Structure:
    """As many chains of that length as give that many nodes; nothing says beforehand that they are chains."""
    node = np.arange(nodes // length * length)
    return from_parents(np.where(node % length == length - 1, -1, node + 1))


def caterpillars(nodes: int, levels: int) -> gr.Structure:
    """Chains with a leaf hung on each node but the first: trees as deep as binary trees can be."""
    size = 2 * levels - 1
    node = np.arange(nodes // size * size)
    place = node % size  # 0 is the first leaf, then leaf and spine take turns: even places are the spine
    parents = node + np.where(place % 2 == 0, 2, 1)
    return from_parents(np.where(place == size - 1, -1, parents))


def narrow_dag(nodes: int, seed: int = 0) -> gr.Structure:
    """Every node reads two of the 92 nodes before it: a level for every 23 nodes or so."""
    rng = np.random.default_rng(seed)
    node = np.arange(1, nodes)
    source = node[:, None] - 1 - rng.integers(0, np.minimum(node, 92)[:, None], (nodes - 1, 2))
    return gr.dag(torch.from_numpy(np.stack([source.ravel(), np.repeat(node, 2)])), nodes)


def from_parents(parents: np.ndarray) -> gr.Structure:
    """A forest from the parent of each node, -1 for roots; its levels are not known beforehand."""
    return gr.dag(_edges(parents), parents.size)


def _edges(parents: np.ndarray) -> Tensor:
    child = np.flatnonzero(parents >= 0)
    return torch.from_numpy(np.stack([child, parents[child]]))

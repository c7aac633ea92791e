"""Graphs with cycles: by springs along the edges."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree
from torch import Tensor

from ..structure import Structure

LARGE = 300  # nodes; networkx takes seconds for a thousand, and minutes for five thousand
PIVOTS, ROUNDS, NEIGHBOURS = 50, 60, 8


def spring(structure: Structure) -> Tensor:
    """`[N, 2]` float: places such that nodes with an edge between them are about 1 apart, and others farther.

    Up to 300 nodes by `networkx.spring_layout` (Fruchterman & Reingold, 1991). Larger ones in linear time, which is
    coarser: distances to 50 pivots in two dimensions (Brandes & Pich, *Eigensolver methods for progressive
    multidimensional scaling of large data*, 2006), and then rounds in which edges pull and the nearest nodes push.
    The same structure is placed the same way every time.
    """
    count = structure.num_nodes
    if count < 3:
        return torch.arange(count).unsqueeze(1) * torch.tensor([[1.0, 0.0]])
    if count <= LARGE:
        import networkx as nx

        graph = nx.Graph(structure.edge_index.T.tolist())
        graph.add_nodes_from(range(count))
        places = nx.spring_layout(graph, iterations=100, seed=0)
        at = np.array([places[node] for node in range(count)]) * count**0.5
    else:
        at = _by_pivots(structure)
    at = _refined(at, structure)
    at -= at.mean(axis=0)
    at = at @ np.linalg.svd(at.T @ at)[0]  # the longest way lies across
    at *= np.where(at[0] > 0, -1, 1)  # from the first node on
    nearest = KDTree(at).query(at, 2)[0][:, 1]
    return torch.from_numpy((at - at.min(axis=0)) / np.quantile(nearest, 0.1)).float()


def _by_pivots(structure: Structure) -> np.ndarray:
    count = structure.num_nodes
    source, target = structure.edge_index.numpy(force=True)
    links = coo_array((np.ones(len(source)), (source, target)), shape=(count, count)).tocsr()
    pivots = np.linspace(0, count - 1, PIVOTS).astype(int)
    hops = dijkstra(links, directed=False, indices=pivots, unweighted=True)
    far = hops[np.isfinite(hops)].max()
    squares = np.where(np.isfinite(hops), hops, far + 1).T ** 2
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean()
    _, _, axes = np.linalg.svd(centred.T @ centred)
    at = centred @ axes[:2].T
    signs = np.sign(at[np.abs(at).argmax(axis=0), [0, 1]])  # of an axis either sign is right: choose one
    spread = at.std(axis=0)
    return at * signs / np.where(spread > 0, spread, 1) * count**0.5 / 4


def _refined(at: np.ndarray, structure: Structure) -> np.ndarray:
    source, target = structure.edge_index.numpy(force=True)
    degree = np.maximum(np.bincount(np.concatenate([source, target]), minlength=len(at)), 1)[:, None]
    # (Nodes at the same place would not push each other apart.)
    at = at + np.random.default_rng(0).normal(scale=0.1, size=at.shape)
    for number in range(ROUNDS):
        move = np.zeros_like(at)
        along = at[target] - at[source]
        np.add.at(move, source, along)
        np.add.at(move, target, -along)
        move /= 2 * degree
        _, near = KDTree(at).query(at, min(NEIGHBOURS + 1, len(at)))
        away = at[:, None] - at[near]
        move += (away / np.maximum((away**2).sum(axis=2, keepdims=True), 0.01)).sum(axis=1) / 2
        length = np.linalg.norm(move, axis=1, keepdims=True)
        step = 1 - number / ROUNDS
        at = at + move * np.minimum(1, step / np.maximum(length, 1e-9))
    return at

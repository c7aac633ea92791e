"""Orders in which the nodes of any graph, undirected ones included, can be updated: a rank for each node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..structure import Structure, check_structure, own_past
from ..structure.checks import as_count, as_whole_numbers
from ..structure.outside import made_outside
from .components import adjacency
from .levels import longest_paths

# What `graphrec.schedule` takes: ranks, or a function that finds them.
Order = Tensor | Callable[[Structure], Tensor]


@made_outside
def colouring(structure: Structure, seed: int = 0) -> Tensor:
    """`[N]` long: a colour for each node, from 0 on, such that no edge joins two nodes of one colour.

    Used as an order, each step updates all nodes of one colour, none of which reads another: Gauss-Seidel in as
    few steps as there are colours, at most one more than the largest number of neighbours. Nodes have random
    ranks, and a node that precedes all its neighbours takes the first colour that none of them has: Jones &
    Plassmann, *A parallel graph coloring heuristic*, SIAM J. Sci. Comput. 14 (1993). An edge from a node to itself
    does not count.

    Args:
        structure: the graph; its edges count in both directions.
        seed: of the random ranks.
    """
    check_structure(structure)
    seed = as_count("seed", seed)
    a, b = _both_ways(structure)
    size = structure.num_nodes
    rank = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).to(structure.device)
    colour = torch.full_like(rank, -1)
    waiting = torch.arange(size, device=structure.device)
    while len(waiting):
        open_edges = (colour[a] < 0) & (colour[b] < 0)
        behind = torch.zeros(size, dtype=torch.bool, device=structure.device)
        behind[b[open_edges & (rank[a] > rank[b])]] = True
        chosen = waiting[~behind[waiting]]
        colour[chosen] = _first_free(a, b, colour, chosen, size)
        waiting = waiting[behind[waiting]]
    return colour


@made_outside
def breadth_first(structure: Structure, roots: Sequence[int] | Tensor) -> Tensor:
    """`[N]` long: how far each node is from the nearest root, along the edges.

    Used as an order, information travels from the roots outward in one sweep, a ring of nodes at each step.

    Args:
        structure: the graph.
        roots: at least one for each part of it.

    Raises:
        ValueError: no roots, one that is not a node, or a node that no root reaches.
    """
    from scipy.sparse.csgraph import dijkstra

    check_structure(structure)
    given = as_whole_numbers(roots, "roots must be nodes").flatten().to(structure.device)
    if not structure.num_nodes and not len(given):
        return given
    if not len(given) or int(given.min()) < 0 or int(given.max()) >= structure.num_nodes:
        raise ValueError(
            f"roots must be nodes, 0 to {structure.num_nodes - 1}, at least one, got {given.tolist()}."
        )
    distance = dijkstra(adjacency(structure), indices=given.cpu().numpy(), unweighted=True, min_only=True)
    missed = np.flatnonzero(np.isinf(distance))
    if len(missed):
        raise ValueError(f"no root reaches node {missed[0]}: give one in each part of the graph.")
    return torch.from_numpy(distance.astype(np.int64)).to(structure.device)


@made_outside
def by_time(structure: Structure) -> Tensor:
    """`[N]` long: the step of each node of a graph over time.

    Used as an order, the first step reads what the last one's rows hold at the beginning, the initial state; see
    `graphrec.over_time`, with `carried`.

    Raises:
        ValueError: another structure, or one that runs backwards in time.
    """
    check_structure(structure)
    source, target = own_past(structure)
    onward = source < target
    return longest_paths(source[onward], target[onward], structure.num_nodes)


def ranks(structure: Structure, order: Order) -> Tensor:
    """`[N]` long: the ranks of an order, checked."""
    rank = order(structure) if callable(order) else order
    if not isinstance(rank, Tensor) or rank.shape != (structure.num_nodes,) or rank.dtype != torch.long:
        got = f"{rank.dtype} {tuple(rank.shape)}" if isinstance(rank, Tensor) else type(rank).__name__
        raise ValueError(
            f"an order must be a rank for each node, a long tensor of shape [{structure.num_nodes}], got {got}."
        )
    if rank.device != structure.device:
        raise ValueError(f"the order is on {rank.device}, but the structure is on {structure.device}.")
    return rank


def _both_ways(structure: Structure) -> tuple[Tensor, Tensor]:
    edges = structure.edge_index[:, structure.source != structure.target]
    edges = torch.unique(torch.cat([edges, edges.flip(0)], dim=1), dim=1)
    return edges[0], edges[1]


def _first_free(a: Tensor, b: Tensor, colour: Tensor, chosen: Tensor, size: int) -> Tensor:
    """For each chosen node the first colour that no neighbour has."""
    row = torch.full((size,), -1, device=colour.device)
    row[chosen] = torch.arange(len(chosen), device=colour.device)
    taken = (row[b] >= 0) & (colour[a] >= 0)
    pairs = torch.unique(torch.stack([row[b[taken]], colour[a[taken]]]), dim=1)
    # Sorted by node and colour: the first gap is where the colours no longer count 0, 1, 2, … .
    count = torch.bincount(pairs[0], minlength=len(chosen))
    number = torch.arange(pairs.shape[1], device=colour.device) - (torch.cumsum(count, 0) - count)[pairs[0]]
    gapless = (pairs[1] == number).long()
    return torch.zeros_like(chosen).scatter_add(0, pairs[0], gapless)

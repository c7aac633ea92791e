"""Line graphs: structures whose nodes are the edges of others, for states that stand on edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .checks import as_flag
from .features import EdgeFeatures, RelationFeatures
from .outside import made_outside
from .structure import Structure


def line_graph(s: Structure, multitree: bool = False) -> Structure:
    """The line graph: its nodes are the edges of s, and an edge e' leads to each edge e that goes on where e' ends.

    Node e of the result is edge e of s, so that `x[s.source]` are the rows of the nodes that they leave, and a sum over
    `s.target` brings their states back to nodes. A node of s without edges is not in it. Edge (e', e) has what e' has
    as an edge into the node where they meet: slot, relation, features and weight. Node e has the relation of edge e as
    its `kind`, and the past and the graph of the node that it leaves. Levels that s knows are known.

    A node with i edges in and o edges out makes i o edges: a line graph is as large as the sum of these products, but a
    multitree has about as many edges as s. What is made of integers is kept with s, features are gathered at each call.

    Args:
        s: the structure.
        multitree: whether to leave out edges until no node is reached from another by two paths, so that what a node
            sends comes to each other one once. In a graph that is a tree, read in either direction, nothing is left
            out. In a grid (`grid`, or any graph whose edges of slot 0 are rows, and those of slot 1 columns, that
            cross once) nothing goes from columns into rows. In all others each edge goes on from one, that of the
            lowest slot.

    Raises:
        TypeError: not a structure.
    """
    if not isinstance(s, Structure):
        raise TypeError(
            f"line_graph takes a structure, got {type(s).__name__}: build one with graphrec.dag, graphrec.from_pyg, …"
        )
    line = wired(s, as_flag("multitree", multitree))
    if s.edge_attr is None and s.edge_weight is None:
        return line
    weight = None if s.edge_weight is None else s.edge_weight[line.source]
    return replace(line, edge_attr=_gathered(s.edge_attr, line.source), edge_weight=weight)


@made_outside
def wired(s: Structure, multitree: bool) -> Structure:
    """The line graph without features."""
    key = ("line graph", multitree)
    if key not in s.cache:
        edges = _kept_pairs(s) if multitree else _pairs(s)
        # The longest path to an edge is the longest to the node that it leaves, if all of its sources are there.
        known, known_reversed = (None, None) if multitree else (s.known_level, s.known_level_reversed)
        s.cache[key] = Structure.counted_out(
            num_nodes=s.num_edges,
            edge_index=edges,
            slot=s.slot[edges[0]],
            relation=_taken(s.relation, edges[0]),
            relation_names=s.relation_names,
            kind=s.relation,
            kind_names=s.relation_names,
            past=_taken(s.past, s.source),
            graph=s.graph[s.source],
            num_graphs=s.num_graphs,
            level=_taken(known, s.source),
            level_reversed=_taken(known_reversed, s.target),
        )
    return s.cache[key]


def _pairs(s: Structure, from_one: Tensor | None = None) -> Tensor:
    """`[2, L]`: the edges e', e with target(e') = source(e); by e, and in the order of slots.

    Args:
        s: the structure.
        from_one: `[E]`, whether of all e' only the first counts.
    """
    by_slot = torch.argsort(s.slot, stable=True)
    into = by_slot[torch.argsort(s.target[by_slot], stable=True)]
    degree = torch.bincount(s.target, minlength=s.num_nodes)
    first = torch.cumsum(degree, 0) - degree
    count = degree[s.source]
    if from_one is not None:
        count = torch.where(from_one, count.clamp(max=1), count)
    edge = torch.repeat_interleave(torch.arange(s.num_edges, device=s.device), count)
    number = torch.arange(len(edge), device=s.device) - (torch.cumsum(count, 0) - count)[edge]
    return torch.stack([into[first[s.source[edge]] + number], edge])


def _kept_pairs(s: Structure) -> Tensor:
    """`[2, L]`: those that stay in the multitree; decided graph by graph, so that a batch is its members."""
    graph = s.graph[s.source]
    is_tree, is_grid = _trees(s)[graph], _grids(s)[graph]
    before, edge = pairs = _pairs(s, from_one=~(is_tree | is_grid))
    stays = is_tree[edge] | ~is_grid[edge] | (s.slot[before] <= s.slot[edge])
    return pairs[:, stays]


def _trees(s: Structure) -> Tensor:
    """`[G]`: whether no node has two targets, or none has two sources."""
    merges, branches = (
        _holds(s, torch.bincount(end, minlength=s.num_nodes) > 1) for end in s.edge_index.flip(0)
    )
    return ~(merges & branches)


def _grids(s: Structure) -> Tensor:
    """`[G]`: whether edges of slot 0 form rows and those of slot 1 columns that cross in one node at most."""
    wrong = torch.zeros(s.num_nodes, dtype=torch.bool, device=s.device)
    wrong[s.target[s.slot > 1]] = True
    lines = []
    for slot in (0, 1):
        source, target = s.edge_index[:, s.slot == slot]
        for end in (source, target):
            wrong |= torch.bincount(end, minlength=s.num_nodes) > 1
        begin = torch.arange(s.num_nodes, device=s.device)
        begin[target] = source
        for _ in range(s.num_nodes.bit_length()):  # twice as far back each time
            begin = begin[begin]
        lines.append(begin)
    crossing, count = torch.unique(
        lines[0] * s.num_nodes + lines[1], return_inverse=True, return_counts=True
    )[1:]
    return ~_holds(s, wrong | (count[crossing] > 1))


def _holds(s: Structure, of_nodes: Tensor) -> Tensor:
    """`[G]`: whether something holds for any node of each graph."""
    found = torch.zeros(s.num_graphs, dtype=torch.bool, device=s.device)
    found[s.graph[of_nodes]] = True
    return found


def _taken(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else values[rows]


def _gathered(features: Any, edges: Tensor) -> Any:
    """`[L, ...]`: the rows of edges, any number of times each."""
    if not isinstance(features, EdgeFeatures):
        return _taken(features, edges)
    parts = []
    for part in features.relations:
        if part is not None:
            row = edges.new_full((features.num_edges,), -1)
            row[part.edges] = torch.arange(len(part.edges), device=edges.device)
            there = (row[edges] >= 0).nonzero().flatten()
            part = RelationFeatures(there, part.rows[row[edges[there]]])
        parts.append(part)
    return EdgeFeatures(len(edges), tuple(parts))

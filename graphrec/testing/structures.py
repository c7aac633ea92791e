"""The families of structures on which general claims are tested, and other structures made of one.

Families take an arity, and fill distinct slots below it; with None any number of edges may enter a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..io import tree as read_tree
from ..structure import Structure, batch, dag, grid, lagged
from ..structure import chain as one_chain
from ..structure import chains as several_chains

Family = Callable[[int | None], Structure]


def one_node(arity: int | None) -> Structure:
    """A node alone."""
    return one_chain(1)


def isolated_nodes(arity: int | None) -> Structure:
    """Nodes, and no edges."""
    return dag(torch.zeros(2, 0), 4)


def chain(arity: int | None) -> Structure:
    """A sequence."""
    return one_chain(5)


def chains(arity: int | None) -> Structure:
    """Sequences of several lengths, one of them empty."""
    return several_chains([2, 5, 0, 1, 3])


def tree(arity: int | None) -> Structure:
    """Nodes of different depths with different numbers of children, numbered in no order; some slots empty."""
    if arity == 1:  # top-down: one source each
        return tree(None).reverse().replace(slot=torch.zeros(8, dtype=torch.long))
    s = read_tree(parents=[6, 4, 6, -1, 3, 4, 3, 0, 0])
    return s if arity is None else s.replace(slot=s.slot.where(s.target != 6, (s.slot + 1) % arity))


def caterpillar(arity: int | None) -> Structure:
    """A long spine with a leaf at every node: as many levels as inner nodes."""
    spine, leaves = torch.arange(5), torch.arange(5, 10)
    return dag(torch.cat([torch.stack([spine[:-1], spine[1:]]), torch.stack([leaves, spine])], dim=1))


def diamond(arity: int | None) -> Structure:
    """A diamond with a long side, a shared node, an edge that is there twice, and a node for itself."""
    edges = [[4, 1], [4, 3], [1, 0], [1, 0], [3, 2], [0, 5], [2, 5]]
    if arity == 1:
        edges = [[4, 1], [4, 3], [1, 0], [3, 2], [0, 5]]
    return dag(torch.tensor(edges).t(), 7)


def layers(arity: int | None) -> Structure:
    """Sequences in two layers."""
    return grid([3, 2], layers=2)


def lags(arity: int | None) -> Structure:
    """Chains in which a node sees several earlier ones, some of which lie before the beginning."""
    return lagged([5, 2, 1, 4], (1, 3)[:arity])


def star(arity: int | None) -> Structure:
    """One node with as many children as may be."""
    leaves = torch.arange(1, 1 + (arity or 12))
    return dag(torch.stack([leaves, torch.zeros_like(leaves)]))


def cyclic(arity: int | None) -> Structure:
    """A circle, a node that is its own source, and one that nothing enters."""
    edges = [[0, 1], [1, 2], [2, 0], [3, 3]]
    if arity != 1:
        edges += [[4, 0], [3, 1]]
    return dag(torch.tensor(edges).t(), 5)


# Smallest first. Where a node has one source at most, some are chains again.
ACYCLIC: tuple[Family, ...] = (
    *(one_node, isolated_nodes, chain, diamond, tree, layers, caterpillar, chains, lags, star),
)
CHAINS_IF_ARITY_IS_ONE: frozenset[Family] = frozenset({caterpillar, layers, star})
NOTHING: tuple[Callable[[], Structure], ...] = (
    lambda: several_chains([]),
    lambda: several_chains([0, 0]),
    lambda: dag(torch.zeros(2, 0), 0),
)


def structures_for(cell: Cell) -> list[Structure]:
    """One of each family that suits the cell, and a batch, with the relations, features and kinds that it asks for."""
    if not isinstance(cell, Cell):
        raise TypeError(f"expected a cell (graphrec.Cell), got {type(cell).__name__}.")
    arity = cell.arity
    families = [f for f in (*ACYCLIC, cyclic) if arity != 1 or f not in CHAINS_IF_ARITY_IS_ONE]
    found = [family(arity) for family in families if arity != 0 or family in (one_node, isolated_nodes)]
    if arity != 0:
        found.append(batch([family(arity) for family in (one_node, tree, chain, diamond)]))
    return [dressed(cell, s) for s in found]


def dressed(cell: Cell, s: Structure) -> Structure:
    """The structure with what the cell declares that it reads: relations, features and weights of edges, kinds."""
    edge, node = torch.arange(s.num_edges), torch.arange(s.num_nodes)
    relation = edge % (
        cell.relations or (len(cell.edges) if isinstance(cell.edges, list | tuple | dict) else 2)
    )
    fields: dict[str, Any] = {"relation": relation}
    if isinstance(cell.edges, int):
        fields["edge_attr"] = torch.zeros(s.num_edges, cell.edges, dtype=torch.float64)
    elif cell.edges is not None:
        widths = list(cell.edges.values()) if isinstance(cell.edges, dict) else list(cell.edges)
        counts = torch.bincount(relation, minlength=len(widths)).tolist()
        fields["edge_attr"] = [
            None if width is None else torch.zeros(count, width, dtype=torch.float64)
            for count, width in zip(counts, widths, strict=True)
        ]
    if "edge_weight" in (cell.reads_edges or ()):
        fields["edge_weight"] = torch.ones(s.num_edges, dtype=torch.float64)
    if cell.kinds is not None:
        fields["kind"] = node % cell.kinds
    return s.replace(**fields)


def renumbered(s: Structure, number: Tensor) -> Structure:
    """The structure with node v called `number[v]`."""
    place = torch.argsort(number)
    return _like(s, number[s.edge_index], node=place)


def with_edges_listed(s: Structure, order: Tensor) -> Structure:
    """The structure with its edges listed in another order; each keeps its slot."""
    return _like(s, s.edge_index[:, order], edge=order)


def in_one_slot(s: Structure) -> Structure:
    """The structure with all edges in slot 0: no edge of a node comes before another."""
    return s.replace(slot=torch.zeros_like(s.slot))


def smaller(s: Structure) -> Iterator[Structure]:
    """Structures with one node less, and with one edge less."""
    if s.num_graphs > 1 or not isinstance(s.edge_attr, Tensor | None):
        return
    for node in reversed(range(s.num_nodes)):
        stays = torch.arange(s.num_nodes) != node
        kept = (stays[s.source] & stays[s.target]).nonzero().flatten()
        number = stays.long().cumsum(0) - 1
        yield _like(s, number[s.edge_index[:, kept]], node=stays.nonzero().flatten(), edge=kept)
    for edge in reversed(range(s.num_edges)):
        kept = (torch.arange(s.num_edges) != edge).nonzero().flatten()
        yield _like(s, s.edge_index[:, kept], edge=kept)


def _like(
    s: Structure, edge_index: Tensor, node: Tensor | None = None, edge: Tensor | None = None
) -> Structure:
    """Other edges, which carry what these rows of nodes and of edges of s do."""
    rows = {"kind": node, "past": node, "graph": node, "slot": edge, "relation": edge, "edge_weight": edge}
    fields: dict[str, Any] = {
        name: value if index is None or value is None else value[index]
        for name, index in rows.items()
        for value in [getattr(s, name)]
    }
    attr: Any = s.edge_attr
    if attr is not None and edge is not None:
        attr = attr[edge] if isinstance(attr, Tensor) else _features(attr, s, edge)
    return Structure(
        s.num_nodes if node is None else len(node),
        edge_index,
        edge_attr=attr,
        num_graphs=s.num_graphs,
        **fields,
    )


def _features(attr: Any, s: Structure, edge: Tensor) -> list[Tensor | None]:
    """Features by relation of edges in another order."""
    assert s.relation is not None
    found = []
    for number, part in enumerate(attr.relations):
        listed = edge[s.relation[edge] == number]
        found.append(None if part is None else part.rows[torch.searchsorted(part.edges, listed)])
    return found


def written(s: Structure) -> str:
    """The structure as Python, but for features."""
    ends = s.edge_index.tolist()
    more = "".join(
        f", {name}=torch.tensor({value.tolist()})"
        for name in ("slot", "relation", "kind", "past", "graph")
        if (value := getattr(s, name)) is not None and len(value) and (name != "graph" or s.num_graphs > 1)
    )
    graphs = f", num_graphs={s.num_graphs}" if s.num_graphs != 1 else ""
    return f"gr.Structure({s.num_nodes}, torch.tensor({ends}, dtype=torch.long).reshape(2, -1){more}{graphs})"

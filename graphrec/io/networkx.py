"""To and from networkx."""

from __future__ import annotations

import json
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..structure import Structure, check_structure, default_slots
from ..structure.checks import as_texts
from ..structure.features import check_one_width
from ..structure.outside import made_outside
from ..structure.written import shown, written
from .names import read_names

if TYPE_CHECKING:
    import networkx as nx


@made_outside
def from_networkx(
    graph: nx.Graph, kinds: Sequence[str] | None = None, relations: Sequence[str] | None = None
) -> Structure:
    """The structure of a networkx graph; nodes are numbered as `graph.nodes` lists them.

    An undirected edge becomes one edge in each direction. Reads from edges `slot`, `relation`, `edge_attr`
    (a number or a list of numbers) and `weight` (a number, `edge_weight` in the structure; 1 where it is missing on
    some, as networkx has it), from nodes `kind`, `past`, `token`, `label` and `graph`; each on all edges or nodes, or
    on none (`token` and `label` may be missing on some). Other attributes are ignored.

    Nodes' own names, unless they are their numbers 0 to N - 1, become tokens where no node has a `token`.

    Args:
        graph: of any of networkx's classes.
        kinds: where `kind` is a text, the names of kinds 0, 1, 2, …; by default those of this graph, sorted.
            The structure keeps them as `kind_names`. Graphs that are to be batched need the same list.
        relations: the same for `relation`, kept as `relation_names`.

    Raises:
        ValueError: a value that some edges or nodes carry and others do not, or an invalid one, with its name and
            the node or edge.
        TypeError: not a networkx graph.
    """
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise TypeError(f"expected a networkx graph, got {type(graph).__name__}.")
    directed = graph if graph.is_directed() else graph.to_directed()
    nodes = _Rows("node", list(directed.nodes), [values for _, values in directed.nodes(data=True)])
    pairs = list(directed.edges(data=True))
    edges = _Rows("edge", [pair[:2] for pair in pairs], [values for _, _, values in pairs])
    number = {node: i for i, node in enumerate(nodes.names)}
    edge_index = torch.tensor(
        [[number[u] for u, _ in edges.names], [number[v] for _, v in edges.names]]
    ).long()
    slot, graph_of_node = _whole_numbers(edges, "slot"), _whole_numbers(nodes, "graph")
    graphs = 1 if graph_of_node is None or not number else int(graph_of_node.max()) + 1
    relation, relation_names = _kinds(edges, "relation", relations, graph.graph)
    kind, kind_names = _kinds(nodes, "kind", kinds, graph.graph)
    tokens = _texts(nodes, "token")
    if tokens is None and nodes.names != list(range(len(nodes.names))):
        tokens = tuple(written(name, str) for name in nodes.names)
    return Structure(
        num_nodes=len(number),
        edge_index=edge_index,
        slot=default_slots(edge_index[1], len(number)) if slot is None else slot,
        relation=relation,
        relation_names=relation_names,
        edge_attr=_features(edges, "edge_attr", graph.graph),
        edge_weight=_weights(edges, "weight", graph.graph),
        kind=kind,
        kind_names=kind_names,
        past=_whole_numbers(nodes, "past"),
        graph=graph_of_node,  # type: ignore[arg-type]
        num_graphs=graph.graph.get("num_graphs", graphs),
        tokens=tokens,
        labels=_texts(nodes, "label"),
    )


def to_networkx(structure: Structure) -> nx.DiGraph:
    """A `networkx.DiGraph` (a `MultiDiGraph` where edges are parallel), nodes 0 to N - 1; see `from_networkx`.

    Relations and kinds that have names are written as names; the lists of all names are kept with the graph.
    """
    import networkx as nx

    check_structure(structure)
    check_one_width(structure.edge_attr)
    pairs = structure.edge_index.t().tolist()
    parallel = len({tuple(pair) for pair in pairs}) < len(pairs)
    graph = nx.MultiDiGraph() if parallel else nx.DiGraph()
    on_nodes: dict[str, Any] = {
        "kind": _named(structure.kind, structure.kind_names),
        "past": structure.past,
        "token": structure.tokens,
        "label": structure.labels,
    }
    if structure.num_graphs != 1:
        on_nodes["graph"] = structure.graph
        graph.graph["num_graphs"] = structure.num_graphs
    for name in ("edge_attr", "edge_weight"):
        if getattr(structure, name) is not None:  # Python's numbers do not have it
            graph.graph[f"{name}_dtype"] = str(getattr(structure, name).dtype).removeprefix("torch.")
    on_edges = {
        "slot": structure.slot,
        "relation": _named(structure.relation, structure.relation_names),
        "edge_attr": structure.edge_attr,
        "weight": structure.edge_weight,
    }
    for name in ("relation_names", "kind_names"):
        if getattr(structure, name) is not None:  # as text, which all file formats of networkx can hold
            graph.graph[name] = json.dumps(getattr(structure, name))
    graph.add_nodes_from(
        zip(range(structure.num_nodes), _as_rows(on_nodes, structure.num_nodes), strict=True)
    )
    graph.add_edges_from(
        (source, target, values)
        for (source, target), values in zip(pairs, _as_rows(on_edges, len(pairs)), strict=True)
    )
    return graph


class _Rows(NamedTuple):
    """The attributes of all nodes, or of all edges."""

    what: str
    names: list[Any]
    attributes: list[dict[str, Any]]

    def column(self, name: str) -> list[Any] | None:
        """The values of an attribute that all have, or None, if none has it."""
        values = [row[name] for row in self.attributes if name in row]
        if not values:
            return None
        if len(values) < len(self.names):
            raise ValueError(
                f"{name} is given on {len(values)} of {len(self.names)} {self.what}s: give it on every {self.what}, or "
                f"on none."
            )
        return values

    def fault(self, name: str, i: int, expected: str) -> ValueError:
        """The error for an invalid value."""
        got = shown(self.attributes[i].get(name))
        return ValueError(
            f"{name} of {self.what} {shown(self.names[i])} must be {expected}, got {got}: mend it, or leave out {name}."
        )


def _whole_numbers(rows: _Rows, name: str) -> Tensor | None:
    values = rows.column(name)
    if values is None:
        return None
    for i, value in enumerate(values):
        if not isinstance(value, Integral) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise rows.fault(name, i, "a whole number of 64 bits")
    return torch.tensor([int(value) for value in values])


def _kinds(
    rows: _Rows, name: str, names: Sequence[str] | None, of_graph: dict[str, Any]
) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Numbers, and their names: those given by the caller, or else kept by the graph, or found in it."""
    values = rows.column(name)
    if names is not None and values is None and rows.names:
        raise ValueError(f"{name}s are named, but no {rows.what} has a {name}: give it on every {rows.what}.")
    if names is None and f"{name}_names" in of_graph:
        names = read_names(f"the graph's {name}_names", of_graph[f"{name}_names"])
    given = None if names is None else as_texts(f"{name}s", names)
    if values is None:
        empty = given is not None and not rows.names
        return (torch.zeros(0, dtype=torch.long) if empty else None), given
    if not all(isinstance(value, str) for value in values):
        texts = [i for i, value in enumerate(values) if isinstance(value, str)]
        if texts:
            raise rows.fault(name, texts[0], "a number as on others, or a text on all")
        return _whole_numbers(rows, name), given
    found = tuple(sorted(set(values))) if given is None else given
    number = {text: i for i, text in enumerate(found)}
    for i, value in enumerate(values):
        if value not in number:
            raise rows.fault(name, i, f"one of {name}s={shown(list(found))}, or of the graph's {name}_names")
    return torch.tensor([number[value] for value in values]), found


def _features(rows: _Rows, name: str, of_graph: dict[str, Any]) -> Tensor | None:
    """`[E, ...]`, in their original dtype, unless they no longer fit it: 0.5 does not become 0."""
    values = rows.column(name)
    if values is None:
        return None
    try:
        if any(isinstance(value, Tensor | np.ndarray) for value in values):
            features = torch.stack([torch.as_tensor(value) for value in values])
        else:
            features = torch.tensor(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise _misfit(rows, name, values) from error
    dtype = _dtype(name, of_graph)
    if dtype is None or features.dtype == dtype:
        return features
    if dtype.is_floating_point and not isinstance(values[0], Tensor | np.ndarray):
        return torch.tensor(values, dtype=dtype)
    as_before = features.to(dtype)
    return as_before if torch.equal(as_before.to(features.dtype), features) else features


def _misfit(rows: _Rows, name: str, values: list[Any]) -> ValueError:
    """The error for the value that cannot be a row beside the first."""
    shape = None
    for i, value in enumerate(values):
        try:
            found = torch.as_tensor(value).shape
        except (TypeError, ValueError, RuntimeError, OverflowError):
            return rows.fault(name, i, "a number or a list of numbers")
        if shape is not None and found != shape:
            return rows.fault(name, i, f"of shape {list(shape)} as on {rows.what} {shown(rows.names[0])}")
        shape = found
    return rows.fault(name, 0, "a number or a list of numbers, of one type on all")


def _weights(rows: _Rows, name: str, of_graph: dict[str, Any]) -> Tensor | None:
    """Floating point, even for whole numbers."""
    if not any(name in row for row in rows.attributes):
        return None
    weights = []
    for i, row in enumerate(rows.attributes):
        value = row.get(name, 1)
        if not isinstance(value, Real) or (isinstance(value, Integral) and abs(value) >= 2**1023):
            raise rows.fault(name, i, "a number")
        weights.append(float(value))
    return torch.tensor(weights, dtype=_dtype(f"edge_{name}", of_graph) or torch.get_default_dtype())


def _dtype(name: str, of_graph: dict[str, Any]) -> torch.dtype | None:
    """The dtype that `to_networkx` noted."""
    noted = of_graph.get(f"{name}_dtype")
    dtype = getattr(torch, noted, None) if isinstance(noted, str) else None
    if noted is not None and not isinstance(dtype, torch.dtype):
        raise ValueError(
            f"the graph's {name}_dtype must be the name of one of torch's, such as float32, got {noted!r}: mend it, or "
            f"leave it out."
        )
    return dtype


def _texts(rows: _Rows, name: str) -> tuple[str | None, ...] | None:
    if not any(name in row for row in rows.attributes):
        return None
    found = (row.get(name) for row in rows.attributes)
    return tuple(text if text is None else written(text, str) for text in found)


def _named(numbers: Tensor | None, names: tuple[str, ...] | None) -> list[Any] | None:
    found = None if numbers is None else numbers.tolist()
    return found if found is None or names is None else [names[number] for number in found]


def _as_rows(columns: dict[str, Any], count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, column in columns.items():
        if column is not None:
            for row, value in zip(
                rows, column.tolist() if isinstance(column, Tensor) else column, strict=True
            ):
                if value is not None:
                    row[name] = value
    return rows

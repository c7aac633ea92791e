"""From the states of nodes to one row per graph.

A readout is the inbox of one more node per graph that all nodes of the graph send to. `with_readout` makes that
node a part of the structure; the functions here only compute its inbox. All take states `h` `[N, H]` and the
structure (or PyG data) `s`, and keep a row for a graph without nodes: zero. With PyG's `HeteroData` h may also be what
models return there, a dictionary with the rows of each node type, all of one width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Aggregation, SortAggregation
from torch_geometric.nn.resolver import aggregation_resolver

from .cells.aggregation import Sets, aggregate_sets
from .io import StructureLike, as_structure, rows_by_type
from .operators import Groups, Pooled, PooledByGroups, rows_or_zero
from .schedule.sorting import order_of
from .structure import EdgeFeatures, Structure, check_structure, default_slots
from .structure.checks import as_count
from .structure.outside import has_values, is_exporting, made_outside, outside, seen_by
from .structure.traced import TracedStructure
from .weights import Resettable

Rows = Tensor | Mapping[str, Tensor]


def root(h: Rows, s: StructureLike) -> Tensor:
    """`[G, H]`: the state of each graph's root, its one sink.

    Raises:
        ValueError: a graph has nodes but no sink, or several.
    """
    h, structure = _rows(h, s)
    if _is_input(structure):
        return rows_or_zero(h, _root_by_program(structure))
    return rows_or_zero(h, seen_by(h, _root_of_each(structure)))


def last(h: Rows, s: StructureLike) -> Tensor:
    """`[G, H]`: the state of each graph's node with the highest number: the last node of a chain, the root of a tree
    read from brackets.
    """
    h, structure = _rows(h, s)
    if _is_input(structure):
        return rows_or_zero(h, _last_by_program(structure))
    return rows_or_zero(h, seen_by(h, _last_of_each(structure)))


def sum(h: Rows, s: StructureLike) -> Tensor:
    """`[G, H]`: the sum over each graph's nodes."""
    inbox = _inbox(h, s)
    return inbox.sum(inbox.h)


def mean(h: Rows, s: StructureLike) -> Tensor:
    """`[G, H]`: the mean over each graph's nodes."""
    inbox = _inbox(h, s)
    return inbox.mean(inbox.h)


def max(h: Rows, s: StructureLike) -> Tensor:
    """`[G, H]`: the maximum over each graph's nodes, feature by feature."""
    inbox = _inbox(h, s)
    return inbox.max(inbox.h)


def ends(h: Rows, s: StructureLike) -> Tensor:
    """`[G, H]`: the maximum over each graph's sinks, feature by feature.

    In a DAG that is where all paths end; over `s.reverse()` it is where they begin. A graph that has nodes, but no
    sink, has cycles, and gets zero.
    """
    h, structure = _rows(h, s)
    at_end, graph = (seen_by(h, part) for part in _all_roots(structure))
    index = graph.view(-1, *[1] * (h.dim() - 1)).expand(-1, *h.shape[1:])
    empty = h.new_zeros(structure.num_graphs, *h.shape[1:])
    return empty.scatter_reduce(0, index, h.index_select(0, at_end), "amax", include_self=False)


def attention(h: Rows, s: StructureLike, score: nn.Module) -> Tensor:
    """`[G, H]`: the sum over each graph's nodes, weighted by the softmax of `score(h)` `[N, 1]` over the graph.

    r = sum_v a_v h_v,  a_v = exp(score(h_v)) / sum_{u in the graph of v} exp(score(h_u))
    """
    inbox = _inbox(h, s)
    return inbox.sum(inbox.softmax(_scores(score, inbox.h)) * inbox.h)


def attention_weights(h: Rows, s: StructureLike, score: nn.Module) -> Any:
    """`[N, 1]`: the weights a_v of `attention`, by node types where h is."""
    inbox = _inbox(h, s)
    weight = inbox.softmax(_scores(score, inbox.h))
    if not isinstance(h, Mapping):
        return weight
    types, sizes, _ = rows_by_type(h, s)
    return dict(zip(types, weight.split(sizes), strict=True))


def aggregate(h: Rows, s: StructureLike, aggr: Aggregation | str) -> Tensor:
    """`[G, ·]`: any aggregation of `torch_geometric.nn.aggr`, as a module or by PyG's name for it.

    A graph's row is the aggregation of its nodes alone, by ascending number, whatever else is in
    the batch; nothing is padded, so that memory grows with N.

    Modules with weights, such as `Set2Set(H, steps)` (Vinyals, Bengio & Kudlur, *Order matters*, ICLR 2016, equations
    (3) to (7)) and `GRUAggregation`, belong to the model that they are part of.
    """
    if not isinstance(aggr, Aggregation | str):
        raise TypeError(f"aggr must be an aggregation of PyG or its name, got {type(aggr).__name__}.")
    module = aggregation_resolver(aggr)
    if type(module) is SortAggregation:
        return _sorted(h, s, module.k)
    if isinstance(h, Tensor) and not (has_values(h) or is_exporting()):
        raise ValueError(
            f"PyG's aggregations read numbers, and h has none here (it is on the meta device, or fake), so that "
            f"{type(module).__name__} cannot be run: use a readout of graphrec's own, such as mean."
        )
    h, structure = _rows(h, s)
    if "sets" not in structure.cache:
        with outside():
            structure.cache["sets"] = Sets.of(structure.graph, structure.num_graphs)
    return aggregate_sets(module, h, structure.cache["sets"])


class Gated(Resettable):
    """The gated readout: a sum over the nodes, each weighted by its own gate.

        h_G = tanh(sum_v sigmoid(i([h_v, x_v])) * tanh(j([h_v, x_v])))

    with linear layers i and j. Li, Tarlow, Brockschmidt & Zemel, *Gated graph sequence neural networks*, ICLR 2016,
    equation (7).

    Args:
        hidden: H.
        inputs: D, the width of x; 0: without x.
        outputs: the width of the result; None: H.
    """

    def __init__(self, hidden: int, inputs: int = 0, outputs: int | None = None) -> None:
        super().__init__()
        self.inputs: int = as_count("inputs", inputs)
        hidden = as_count("hidden", hidden, 1)
        outputs = hidden if outputs is None else as_count("outputs", outputs, 1)
        self.gate: nn.Linear = nn.Linear(hidden + inputs, outputs)  # i
        self.value: nn.Linear = nn.Linear(hidden + inputs, outputs)  # j

    def forward(self, h: Rows, s: StructureLike, x: Rows | None = None) -> Tensor:
        """`[N, H]`, and x `[N, D]` → `[G, outputs]`."""
        h, structure = _rows(h, s)
        if isinstance(x, Mapping):
            _, _, x = rows_by_type(x, s)
        if (x is None) != (self.inputs == 0) or (x is not None and x.shape != (h.shape[0], self.inputs)):
            wanted = f"x of shape [{h.shape[0]}, {self.inputs}]" if self.inputs else "no x"
            raise ValueError(f"this readout takes {wanted}, got {'none' if x is None else tuple(x.shape)}.")
        both = h if x is None else torch.cat([h, x], dim=-1)
        return torch.tanh(sum(torch.sigmoid(self.gate(both)) * torch.tanh(self.value(both)), structure))


class Attention(Resettable):
    """`attention` with its own linear score.

    Args:
        hidden: H.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.score: nn.Linear = nn.Linear(as_count("hidden", hidden, 1), 1)

    def forward(self, h: Rows, s: StructureLike) -> Tensor:
        """`[N, H] → [G, H]`."""
        return attention(h, s, self.score)

    def weights(self, h: Rows, s: StructureLike) -> Any:
        """`[N, H] → [N, 1]`: the weight of each node in its graph's row, by node types where h is."""
        return attention_weights(h, s, self.score)


def with_readout(s: Structure) -> Structure:
    """The structure with one more node per graph, N + g for graph g, that every node of the graph has an edge to.

    The cell then reads out as part of the schedule. The new node is of a new kind, its edges are of a new
    relation where there are relations, and carry zeros where there are edge attributes, and weights of one where there
    are weights; give it a row of x.
    """
    check_structure(s)
    with outside():
        nodes = torch.arange(s.num_nodes, device=s.device)
        graphs = torch.arange(s.num_graphs, device=s.device)
        kind = torch.zeros_like(nodes) if s.kind is None else s.kind
        new_kind = len(s.kind_names) if s.kind_names else int(kind.max()) + 1 if len(kind) else 1
        relation = s.relation
        if relation is not None:
            named = s.relation_names
            new_relation = len(named) if named else int(relation.max()) + 1 if len(relation) else 0
            if isinstance(s.edge_attr, EdgeFeatures) and new_relation < len(s.edge_attr.relations):
                new_relation = len(s.edge_attr.relations)  # the last ones have no edges
            relation = torch.cat([relation, torch.full_like(nodes, new_relation)])
        numbers = {
            "edge_index": torch.cat([s.edge_index, torch.stack([nodes, s.num_nodes + s.graph])], dim=1),
            "slot": torch.cat([s.slot, _position(s.graph)]),
            "relation": relation,
            "kind": torch.cat([kind, torch.full_like(graphs, new_kind)]),
            "past": None if s.past is None else torch.cat([s.past, torch.zeros_like(graphs)]),
            "graph": torch.cat([s.graph, graphs]),
        }
    edge_attr = s.edge_attr
    if isinstance(edge_attr, EdgeFeatures):
        edge_attr = edge_attr.followed_by(s.num_nodes)
    elif edge_attr is not None:
        edge_attr = torch.cat([edge_attr, edge_attr.new_zeros(s.num_nodes, *edge_attr.shape[1:])])
    edge_weight = s.edge_weight
    if edge_weight is not None:
        edge_weight = torch.cat([edge_weight, edge_weight.new_ones(s.num_nodes)])
    return Structure(
        num_nodes=s.num_nodes + s.num_graphs,
        **numbers,
        edge_attr=edge_attr,
        edge_weight=edge_weight,
        num_graphs=s.num_graphs,
        tokens=None if s.tokens is None else (*s.tokens, *[None] * s.num_graphs),
        labels=None if s.labels is None else (*s.labels, *[None] * s.num_graphs),
        relation_names=None if s.relation_names is None else (*s.relation_names, "readout"),
        kind_names=None if s.kind_names is None else (*s.kind_names, "readout"),
    )


def _scores(score: Any, h: Tensor) -> Tensor:
    """A score for each row of h."""
    if not callable(score):
        raise TypeError(f"score must be a module from h [N, H] to [N, 1], got {type(score).__name__}.")
    found = score(h)
    if not isinstance(found, Tensor) or found.shape != (h.shape[0], 1):
        what = f"shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise TypeError(f"score must be a module from h [N, H] to [N, 1], got one that gives {what}.")
    return found


def _rows(h: Rows, s: StructureLike) -> tuple[Tensor, Structure]:
    """The rows of all nodes, and their structure."""
    if isinstance(h, Mapping):
        _, _, h = rows_by_type(h, s)
    is_compiling = torch.compiler.is_dynamo_compiling()
    structure = s if is_compiling and isinstance(s, Structure) else as_structure(s, h)
    if h.shape[0] != structure.num_nodes:
        raise ValueError(
            f"h must have one row per node: expected {structure.num_nodes}, got shape {tuple(h.shape)}."
        )
    return h, structure


def _sorted(h: Rows, s: StructureLike, k: int) -> Tensor:
    """`[G, k H]`: the k nodes of each graph whose last feature is largest, in falling order, then zeros.

    PyG's `SortAggregation` (Zhang, Cui, Neumann & Chen, *An end-to-end deep learning architecture for graph
    classification*, AAAI 2018, section 3.2), whose padding large numbers cannot be told from.
    """
    h, structure = _rows(h, s)
    if h.dim() != 2 or as_count("k", k) < 1:
        raise ValueError(
            f"SortAggregation takes h of shape [N, H] and a k of 1 or more, got {tuple(h.shape)} and {k}."
        )
    chosen, row, graph = (seen_by(h, part) for part in _first_of_each(structure, k))
    falling = torch.argsort(h.detach()[:, -1], descending=True, stable=True)
    by_graph = falling[torch.argsort(graph[falling], stable=True)]
    best = h.index_select(0, by_graph[chosen])
    empty = h.new_zeros(structure.num_graphs * k, h.shape[1])
    return empty.index_copy(0, row, best).view(structure.num_graphs, k * h.shape[1])


def _is_input(structure: Structure) -> bool:
    """Whether the structure is an input of a program that is being compiled or exported."""
    return torch.compiler.is_dynamo_compiling() or isinstance(structure, TracedStructure)


def _root_by_program(s: Structure) -> Tensor:
    """`[G]`: the only root of each graph, -1 for a graph without nodes; see `graphrec.backends.programs.operator`."""
    backward = isinstance(s, TracedStructure) and s.backward
    given = s.given if isinstance(s, TracedStructure) else s
    return torch.ops.graphrec.sinks(given.edge_index, s.graph, s.num_nodes, s.num_graphs, backward)


def _last_by_program(s: Structure) -> Tensor:
    """`[G]`: as `_last_of_each`."""
    numbers = torch.ones_like(s.graph).cumsum(0) - 1
    return numbers.new_full((s.num_graphs,), -1).scatter_reduce(0, s.graph, numbers, "amax")


@made_outside
def _all_roots(structure: Structure) -> tuple[Tensor, Tensor]:
    """The sinks, and the graph of each."""
    roots = (torch.bincount(structure.source, minlength=structure.num_nodes) == 0).nonzero().flatten()
    return roots, structure.graph[roots]


@made_outside
def _root_of_each(structure: Structure) -> Tensor:
    """`[G]`: the only root of each graph, -1 for a graph without nodes."""
    roots, graph = _all_roots(structure)
    count = torch.bincount(graph, minlength=structure.num_graphs)
    wanted = torch.bincount(structure.graph, minlength=structure.num_graphs).clamp(max=1)
    if bool((count != wanted).any()):
        odd = int((count != wanted).nonzero()[0])
        raise ValueError(
            f"root needs one node per graph that no edge leaves, graph {odd} has {int(count[odd])}: "
            f"use last, sum, mean, max or attention."
        )
    rows = roots.new_full((structure.num_graphs,), -1)
    rows[graph] = roots
    return rows


@made_outside
def _last_of_each(structure: Structure) -> Tensor:
    """`[G]`: the node of each graph with the highest number, -1 for a graph without nodes."""
    numbers = torch.arange(structure.num_nodes, device=structure.device)
    rows = numbers.new_full((structure.num_graphs,), -1)
    return rows.scatter_reduce(0, structure.graph, numbers, "amax")


@made_outside
def _first_of_each(structure: Structure, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of nodes sorted by graph the first k of each, their rows in a table with k for each, and each node's graph."""
    graph = structure.graph.sort().values
    size = torch.bincount(graph, minlength=structure.num_graphs)
    number = torch.arange(len(graph), device=graph.device) - (torch.cumsum(size, 0) - size)[graph]
    chosen = (number < k).nonzero().flatten()
    return chosen, graph[chosen] * k + number[chosen], structure.graph


def _position(graph: Tensor) -> Tensor:
    return default_slots(graph, int(graph.max()) + 1 if len(graph) else 0)


def _inbox(h: Rows, s: StructureLike) -> Pooled:
    """The inbox of one more node per graph."""
    h, structure = _rows(h, s)
    if _is_input(structure) or not has_values(h):
        return Pooled(h, seen_by(h, structure.graph), structure.num_graphs)
    if "readout" not in structure.cache:
        structure.cache["readout"] = _groups(structure.graph, structure.num_graphs)
    return PooledByGroups(h, structure.graph, structure.num_graphs, structure.cache["readout"])


@made_outside
def _groups(graph: Tensor, num_graphs: int) -> Groups:
    """The nodes sorted by graph."""
    perm, inv_perm, bounds, is_identity = order_of(graph, None)
    assert bounds is not None
    offsets = bounds[:-1]
    if len(offsets) < num_graphs:  # the last graphs have no nodes
        offsets = torch.cat([offsets, offsets.new_full((num_graphs - len(offsets),), len(graph))])
    if is_identity:
        return Groups(None, None, graph, offsets)
    return Groups(perm, inv_perm, graph.index_select(0, perm), offsets)

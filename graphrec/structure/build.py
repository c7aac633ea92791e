"""Structures made from numbers: chains, grids, DAGs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .structure import Structure, as_count, as_whole_numbers, check_edge_index, default_slots


def chain(length: int) -> Structure:
    """One sequence of `length` nodes, 0 → 1 → … ."""
    return chains([length])


def chains(lengths: Sequence[int] | Tensor) -> Structure:
    """A batch of sequences: graph b has `lengths[b]` nodes, numbered on from those of graph b - 1.

    A length of 0 is allowed: the graph keeps its place in the batch (and its row in a readout).

    Raises:
        ValueError: no lengths at all, or a negative one.
    """
    size, graph, time = _lay_out(lengths)
    node = torch.arange(graph.shape[0])
    later = node[time > 0]
    return Structure(
        num_nodes=graph.shape[0],
        edge_index=torch.stack([later - 1, later]),
        slot=torch.zeros_like(later),
        graph=graph,
        num_graphs=size.shape[0],
        level=time,
        level_reversed=size[graph] - 1 - time,
    )


def grid(lengths: Sequence[int] | Tensor, layers: int) -> Structure:
    """A stack of `layers` sequences per graph: the structure of a stacked recurrent net.

    In graph b, the node of layer l at time t is number `l * lengths[b] + t`, counted from the graph's first
    node. Slot 0 is the same layer one time step earlier, slot 1 the layer below at the same time. `kind` is
    the layer.

    Raises:
        ValueError: no lengths, a negative length, or fewer than one layer.
    """
    layers = as_count("layers", layers)
    if layers < 1:
        raise ValueError(f"layers must be 1 or more, got {layers}.")
    size = _lengths(lengths)
    _, graph, place = _lay_out(size * layers)
    width = size[graph]
    layer = torch.div(place, width.clamp(min=1), rounding_mode="floor")
    time = place - layer * width
    node = torch.arange(graph.shape[0])
    later, upper = node[time > 0], node[layer > 0]
    top = size[graph] - 1 + layers - 1
    return Structure(
        num_nodes=graph.shape[0],
        edge_index=torch.stack([torch.cat([later - 1, upper - width[upper]]), torch.cat([later, upper])]),
        slot=torch.cat([torch.zeros_like(later), torch.ones_like(upper)]),
        kind=layer,
        graph=graph,
        num_graphs=size.shape[0],
        level=time + layer,
        level_reversed=top - time - layer,
    )


def dag(
    edge_index: Tensor | Sequence[Sequence[int]],
    num_nodes: int | None = None,
    *,
    slot: Tensor | None = None,
    relation: Tensor | None = None,
    edge_attr: Tensor | None = None,
    kind: Tensor | None = None,
) -> Structure:
    """A structure from its edges: `edge_index[0, e] → edge_index[1, e]`.

    Nothing here forbids cycles: a structure with one can be scheduled in sync mode, and async mode names it.

    Args:
        edge_index: `[2, E]`, sources and targets. Copied.
        num_nodes: N; by default one more than the highest id in `edge_index`.
        slot, relation, edge_attr: `[E]`, `[E]`, `[E, ...]`. See `Structure`.
        kind: `[N]`.

    Raises:
        ValueError: an edge to a node that is not there, or a carried tensor of the wrong length.
        TypeError: node ids that are not whole numbers.
    """
    edges = as_whole_numbers(
        edge_index, "edge_index must hold node ids as whole numbers, in two equally long rows"
    )
    edges = edges.clone() if edges.numel() else edges.new_zeros((2, 0))
    if num_nodes is None:
        num_nodes = int(edges.max()) + 1 if edges.numel() else 0
    num_nodes = as_count("num_nodes", num_nodes)
    check_edge_index(edges, num_nodes)
    return Structure(
        num_nodes,
        edges,
        slot=default_slots(edges[1], num_nodes) if slot is None else slot,
        relation=relation,
        edge_attr=edge_attr,
        kind=kind,
    )


def _lengths(lengths: Sequence[int] | Tensor) -> Tensor:
    size = as_whole_numbers(lengths, "lengths must be whole numbers, one per sequence")
    if size.dim() != 1:
        raise ValueError(f"lengths must be a list with a length per sequence, got {lengths!r}.")
    if size.numel() == 0:
        raise ValueError("lengths must name at least one sequence, got none: the batch is empty.")
    if int(size.min()) < 0:
        worst = int(size.argmin())
        raise ValueError(f"lengths must be 0 or more, got {int(size[worst])} for sequence {worst}.")
    return size.cpu()


def _lay_out(lengths: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per graph its size `[G]`; per node its graph `[N]` and its position in it `[N]`."""
    size = _lengths(lengths)
    graph = torch.repeat_interleave(torch.arange(size.shape[0]), size)
    first = torch.cumsum(size, 0) - size
    return size, graph, torch.arange(graph.shape[0]) - first[graph]

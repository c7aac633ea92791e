"""Structures built from numbers: chains, grids, DAGs."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .checks import as_count, as_flag, as_whole_numbers
from .outside import made_outside
from .structure import Structure


def chain(length: int) -> Structure:
    """One sequence of `length` nodes, 0 → 1 → … ."""
    return chains([length])


@made_outside
def chains(lengths: Sequence[int] | Tensor, batch_first: bool = True) -> Structure:
    """A batch of sequences: graph b is a chain of `lengths[b]` nodes.

    A length of 0 is allowed: the graph stays in the batch (and has a row in a readout).

    Args:
        lengths: of the sequences.
        batch_first: whether nodes are numbered sequence after sequence, as the rows of a tensor `[B, T, D]`; or step
            by step, as those of torch's `[T, B, D]`, and for falling lengths as those of a `PackedSequence`. Rows
            that are laid out step by step need not be moved where a backend runs all chains side by side.

    Raises:
        ValueError: a negative length.
    """
    batch_first = as_flag("batch_first", batch_first)
    size, graph, time = lay_out(lengths)
    later = time.nonzero()[0]
    edge_index = np.array([later - 1, later])
    if not batch_first:
        perm = np.argsort(time, kind="stable")
        edge_index, graph, time = np.argsort(perm)[edge_index], graph[perm], time[perm]
    return _structure(
        size,
        edge_index=edge_index,
        slot=0 * later,
        graph=graph,
        level=time,
        level_reversed=size[graph] - 1 - time,
    )


@made_outside
def lagged(lengths: Sequence[int] | Tensor | Structure, lags: int | Sequence[int]) -> Structure:
    """Sequences in which a node sees several earlier ones: the structure of delay networks.

    Node t has an edge from node t - lags[j] in slot j. Where that lies before the sequence (a lag may exceed its
    length) the slot stays empty; the initial state replaces the missing past, zero unless one is given to the
    run.

    Args:
        lengths: as in `chains`; or a structure in which every node has at most one predecessor, such as chains or
            their reverse, whose own slots, relations and edge attributes are not used.
        lags: how many steps back each slot looks, e.g. (1, 2, 7); a number K stands for 1, 2, …, K.

    Raises:
        ValueError: no lags, a lag below 1, the same lag twice; lengths as in `chains`; a node with two predecessors.
    """
    back = _lags(lags)
    s = lengths if isinstance(lengths, Structure) else chains(lengths)
    edges = []  # source, target, slot of each
    for lag, ancestor in sorted(zip(back, _ancestors(_predecessor(s), back), strict=True), key=itemgetter(0)):
        targets = (ancestor >= 0).nonzero().flatten()
        slot = torch.full_like(targets, back.index(lag))
        edges.append(torch.stack([ancestor[targets], targets, slot]))
    sources, targets, slot = torch.cat(edges, dim=1)
    nearest = min(back)
    level, level_reversed = (
        None if known is None else torch.div(known, nearest, rounding_mode="floor")
        for known in (s.known_level, s.known_level_reversed)
    )
    return Structure(
        num_nodes=s.num_nodes,
        edge_index=torch.stack([sources, targets]),
        slot=slot,
        kind=s.kind,
        kind_names=s.kind_names,
        past=torch.full_like(s.graph, len(back)),
        graph=s.graph,
        num_graphs=s.num_graphs,
        tokens=s.tokens,
        labels=s.labels,
        level=level,
        level_reversed=level_reversed,
    )


@made_outside
def grid(lengths: Sequence[int] | Tensor, layers: int) -> Structure:
    """A stack of `layers` sequences per graph: the structure of a stacked recurrent net.

    In graph b, the node of layer l at time t is number `l * lengths[b] + t`, counted from the graph's first
    node. Slot 0 is the same layer one time step earlier, slot 1 the layer below at the same time. `kind` is
    the layer.

    Raises:
        ValueError: a negative length, or fewer than one layer.
    """
    layers = as_count("layers", layers)
    if layers < 1:
        raise ValueError(f"layers must be 1 or more, got {layers}.")
    size = as_lengths(lengths)
    _, graph, position = lay_out(size * layers)
    width = size[graph]
    layer = position // width
    time = position - layer * width
    later, upper = np.flatnonzero(time), np.flatnonzero(layer)
    top = width - 1 + layers - 1
    return _structure(
        size,
        edge_index=np.stack(
            [np.concatenate([later - 1, upper - width[upper]]), np.concatenate([later, upper])]
        ),
        slot=np.concatenate([np.zeros_like(later), np.ones_like(upper)]),
        kind=layer,
        past=np.ones_like(layer),
        graph=graph,
        level=time + layer,
        level_reversed=top - time - layer,
    )


@made_outside
def dag(
    edge_index: Tensor | Sequence[Sequence[int]],
    num_nodes: int | None = None,
    *,
    slot: Tensor | None = None,
    relation: Tensor | None = None,
    edge_attr: Tensor | None = None,
    edge_weight: Tensor | None = None,
    kind: Tensor | None = None,
) -> Structure:
    """A structure from its edges: `edge_index[0, e] → edge_index[1, e]`. Pairs are refused, not guessed at.

    Cycles are allowed here: a structure with one can be scheduled in sync mode, and async mode names it.

    Args:
        edge_index: `[2, E]`, sources and targets. Copied.
        num_nodes: N; by default one more than the highest id in `edge_index`.
        slot, relation, edge_attr, edge_weight: `[E]`, `[E]`, `[E, ...]`, `[E]`. See `Structure`.
        kind: `[N]`.

    Raises:
        ValueError: an edge to a node that is not there, or a carried tensor of the wrong length.
        TypeError: node ids that are not whole numbers.
    """
    edges = as_whole_numbers(
        edge_index, "edge_index must hold node ids as whole numbers, in two equally long rows"
    )
    _check_are_rows(edge_index, edges)
    edges = edges.clone() if edges.numel() else edges.new_zeros((2, 0))
    if num_nodes is None:
        num_nodes = int(edges.max()) + 1 if edges.numel() else 0
    return Structure(
        num_nodes,
        edges,
        slot=slot,  # type: ignore[arg-type]
        relation=relation,
        edge_attr=edge_attr,
        edge_weight=edge_weight,
        kind=kind,
    )


def _check_are_rows(given: Any, edges: Tensor) -> None:
    """Refuse a list of pairs (source, target), since two pairs look like two rows."""
    pairs = edges.dim() == 2 and edges.shape[1] == 2
    if pairs and edges.shape[0] == 2:  # as two rows have, and pairs are written as tuples
        written = isinstance(given, list | tuple) and all(isinstance(pair, tuple) for pair in given)
        pairs = written and not torch.equal(edges, edges.t())
    if pairs:
        raise ValueError(
            f"edge_index must have two rows, sources and targets, got what may be {len(edges)} pairs: give "
            f"torch.tensor(pairs).t(), and two rows of two as lists or in a tensor."
        )


def as_lengths(lengths: Sequence[int] | Tensor | np.ndarray) -> np.ndarray:
    """Lengths of sequences, `[B]`, as numbers from 0 on."""
    size = as_whole_numbers(lengths, "lengths must be whole numbers, one per sequence")
    if size.dim() != 1:
        raise ValueError(f"lengths must be a list with a length per sequence, got {lengths!r}.")
    size = size.cpu().numpy()
    if len(size) and size.min() < 0:
        worst = int(size.argmin())
        raise ValueError(f"lengths must be 0 or more, got {int(size[worst])} for sequence {worst}.")
    if (total := sum(size.tolist())) >= 2**62:
        raise ValueError(f"all lengths together must be less than 2**62, got {total}.")
    return size


def _lags(lags: int | Sequence[int]) -> list[int]:
    expected = "lags must be a whole number, or a list of them"
    back = as_whole_numbers(lags, expected)
    if back.dim() == 0:
        if int(back) < 1:
            raise ValueError(f"lags must be 1 or more, got {int(back)}.")
        return list(range(1, int(back) + 1))
    if back.dim() != 1 or not back.numel():
        raise ValueError(f"{expected}, got {lags!r}.")
    if int(back.min()) < 1:
        raise ValueError(
            f"a lag must be 1 or more, got {int(back.min())}: a node reads its own input anyway."
        )
    if back.unique().numel() < back.numel():
        raise ValueError(f"lags must differ from each other, got {back.tolist()}.")
    return back.tolist()


def _predecessor(s: Structure) -> Tensor:
    """`[N]`: the one source of each node, or -1."""
    count = torch.bincount(s.target, minlength=s.num_nodes)
    if bool((count > 1).any()):
        node = int(count.argmax())
        raise ValueError(
            f"lags count along chains, in which a node has one predecessor at most, but node {node} has "
            f"{int(count[node])}."
        )
    predecessor = torch.full_like(s.graph, -1)
    predecessor[s.target] = s.source
    return predecessor


def _ancestors(predecessor: Tensor, back: list[int]) -> list[Tensor]:
    """For each lag `[N]`: the node that many steps back from each, or -1, by pointer doubling."""
    found = [torch.arange(predecessor.shape[0], device=predecessor.device)] * len(back)
    jump = predecessor
    for bit in range(max(back).bit_length()):
        for number, lag in enumerate(back):
            if lag >> bit & 1:
                found[number] = torch.where(found[number] >= 0, jump[found[number]], -1)
        jump = torch.where(jump >= 0, jump[jump], -1)
    return found


def lay_out(lengths: Sequence[int] | Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per graph its size `[G]`; per node its graph `[N]` and its position in it `[N]`."""
    size = as_lengths(lengths)
    graph = np.arange(len(size)).repeat(size)
    first = size.cumsum() - size
    return size, graph, np.arange(len(graph)) - first[graph]


def _structure(size: np.ndarray, **parts: np.ndarray) -> Structure:
    """The structure with these parts; for a small one numpy counts faster than torch."""
    tensors: dict[str, Any] = {name: torch.from_numpy(part) for name, part in parts.items()}
    return Structure.counted_out(num_nodes=len(parts["graph"]), num_graphs=len(size), **tensors)

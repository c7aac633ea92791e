"""Linear recurrences in PyTorch, in few passes over all nodes.

Steps are composed in pairs: first (a, b) and then (c, d) is (c a, c b + d). Chains side by side take about 2 log T
passes, over half as many pairs each time; where every node has one source, or one target, pointers that jump twice
as far each time find the states in log(depth) passes; else it goes level by level. Nothing is divided, and no logarithm
is taken: a factor may be zero, or of any sign.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .recurrence_edges import Grid, RecurrenceEdges

# With so many numbers on a level, passes over all nodes cost more than steps over levels.
_WIDE = 2**15


def multiplied(factor: Tensor, h: Tensor) -> Tensor:
    """`[..., H]`: states by factors, `[..., H]` or blocks of chunks `[..., k, k, H / k]`."""
    if factor.dim() < h.dim() + 2:
        return factor * h
    chunks = h.reshape(*h.shape[:-1], 1, *factor.shape[-2:])
    return (factor * chunks).sum(-2).reshape(h.shape)


def _composed(later: Tensor, earlier: Tensor, in_blocks: bool) -> Tensor:
    """What multiplies by `earlier` and then by `later`."""
    if not in_blocks:
        return later * earlier
    return (later.unsqueeze(-2) * earlier.unsqueeze(-4)).sum(-3)


def scan(
    factor: Tensor,
    term: Tensor,
    given: Tensor,
    edges: RecurrenceEdges,
    by_edge: bool,
    backwards: bool = False,
) -> Any:
    """The states, `[N, H]`; arguments as in `recurrence`.

    Backwards, along reversed edges: the term is the gradient of states; returns the gradients of terms and of given
    states, `[N, H]` and `[K, H]`.
    """
    if backwards and factor.dim() == 4:
        factor = factor.transpose(1, 2)
    csr, virtual = edges.csr, edges.given_edges
    if not backwards:
        if len(virtual):
            rows = given.index_select(0, csr.source[virtual] - edges.num_nodes)
            brought = multiplied(_of_edges(factor, virtual, edges, by_edge), rows)
            term = term.index_add(0, csr.target[virtual], brought)
        return _solved(factor, term, edges, by_edge, backwards)
    of_term = _solved(factor, term, edges, by_edge, backwards)
    of_given = term.new_zeros(edges.num_given, term.shape[1])
    if len(virtual):
        rows = of_term.index_select(0, csr.target[virtual])
        brought = multiplied(_of_edges(factor, virtual, edges, by_edge), rows)
        of_given = of_given.index_add(0, csr.source[virtual] - edges.num_nodes, brought)
    return of_term, of_given


def _of_edges(factor: Tensor, which: Tensor, edges: RecurrenceEdges, by_edge: bool) -> Tensor:
    """`[e or 1, ...]`: the factors of some edges."""
    if factor.shape[0] == 1:
        return factor
    if by_edge:
        return factor.index_select(0, which if edges.number is None else edges.number[which])
    return factor.index_select(0, edges.csr.target[which])


def _solved(factor: Tensor, term: Tensor, edges: RecurrenceEdges, by_edge: bool, backwards: bool) -> Tensor:
    """The states without what is given."""
    if not len(edges.inner):
        return term.clone()
    is_wide = edges.grid is None and term.numel() > _WIDE * edges.depth
    if is_wide or not (edges.has_one_source or edges.has_one_target):
        return _level_by_level(factor, term, edges, by_edge, backwards)
    if factor.shape[0] > 1 and (by_edge or not edges.has_one_source):
        # Every edge's to that of its ends which has no other one.
        ends = edges.csr.target if edges.has_one_source else edges.csr.source
        of_inner = _of_edges(factor, edges.inner, edges, by_edge)
        factor = factor.new_zeros(len(term), *factor.shape[1:]).index_copy(0, ends[edges.inner], of_inner)
    if edges.grid is not None:
        return _on_grid(factor, term, edges.grid, backwards)
    if edges.has_one_source != backwards:
        return _pulled(factor, term, edges)
    return _pushed(factor, term, edges)


# ------------------------------------------------------------------------------------------------------------ chains


def _on_grid(a: Tensor, b: Tensor, grid: Grid, backwards: bool) -> Tensor:
    """a, b: by nodes."""
    shape = (grid.steps, grid.chains)
    rows = b.index_select(0, grid.node)
    a = a.unsqueeze(0) if a.shape[0] == 1 else a.index_select(0, grid.node).reshape(*shape, *a.shape[1:])
    if backwards:
        if grid.is_padding is not None:
            # (Factors, too: padding has those of some node, of another chain, and 0 times infinity is no number.)
            nothing = grid.is_padding.unsqueeze(1)
            rows = rows.masked_fill(nothing, 0)
            a = a if len(a) == 1 else a.masked_fill(nothing.view(*shape, *[1] * (a.dim() - 2)), 0)
        # From a step's factor on, time runs the other way.
        a = a if len(a) == 1 else a.flip(0).roll(1, 0)
        h = _scanned(a, rows.reshape(*shape, -1).flip(0)).flip(0)
    else:
        h = _scanned(a, rows.reshape(*shape, -1))
    return h.reshape(rows.shape).index_select(0, grid.place)


def _scanned(a: Tensor, b: Tensor) -> Tensor:
    """`[T, ...]`: h_t = a_t h_{t-1} + b_t, h_{-1} = 0. Pairs of steps are a recurrence of half the length."""
    steps, in_blocks = len(b), a.dim() >= b.dim() + 2
    if steps == 1:
        return b
    pairs = steps // 2
    even, odd = (a, a) if len(a) == 1 else (a[0::2], a[1::2])
    first, second = b[0::2], b[1::2]
    of_pairs = _composed(odd, even if len(a) == 1 else even[:pairs], in_blocks)
    ends = _scanned(of_pairs, second + multiplied(odd, first[:pairs]))
    # The first of each pair behind the first pair follows the pair before it.
    rest = first[1:] + multiplied(even if len(a) == 1 else even[1:], ends[: len(first) - 1])
    begins = torch.cat([first[:1], rest])
    both = torch.stack([begins[:pairs], ends], 1).reshape(2 * pairs, *b.shape[1:])
    return both if steps % 2 == 0 else torch.cat([both, begins[-1:]])


# ------------------------------------------------------------------------------------------------- trees, and others


def _pulled(a: Tensor, h: Tensor, edges: RecurrenceEdges) -> Tensor:
    """Along pointers from each node to the only one from which it receives: a of nodes, h the terms."""
    in_blocks = a.dim() == 4
    for node, to in edges.jumps:
        own, ahead = _rows(a, node), _rows(a, to)
        h = h.index_add(0, node, multiplied(own, h.index_select(0, to)))
        a = _with(a, node, _composed(own, ahead, in_blocks))
    return h


def _pushed(a: Tensor, h: Tensor, edges: RecurrenceEdges) -> Tensor:
    """Along pointers from each node to the only one to which it sends: the transpose of `_pulled`."""
    in_blocks = a.dim() == 4
    for node, to in edges.jumps:
        own, ahead = _rows(a, node), _rows(a, to)
        h = h.index_add(0, to, multiplied(own, h.index_select(0, node)))
        a = _with(a, node, _composed(ahead, own, in_blocks))
    return h


def _rows(a: Tensor, at: Tensor) -> Tensor:
    return a if a.shape[0] == 1 else a.index_select(0, at)


def _with(a: Tensor, at: Tensor, rows: Tensor) -> Tensor:
    return rows if a.shape[0] == 1 else a.index_copy(0, at, rows)


def _level_by_level(
    factor: Tensor, term: Tensor, edges: RecurrenceEdges, by_edge: bool, backwards: bool
) -> Tensor:
    h, levels = term.clone(), edges.levels_reversed if backwards else edges.levels
    for level in levels:
        own = _of_edges(factor, level.edges, edges, by_edge)
        h.index_add_(0, level.to, multiplied(own, h.index_select(0, level.begin)))
    return h

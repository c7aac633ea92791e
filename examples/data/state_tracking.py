"""State tracking: what a sequence of events has made of a state, at every position, exactly.

Word problems of groups (parity and sums modulo n, permutations) and Dyck languages of bounded depth, as in
B. Liu et al., *Transformers learn shortcuts to automata*, ICLR 2023; Delétang et al., *Neural networks and the Chomsky
hierarchy*, ICLR 2023; Merrill, Petty & Sabharwal, *The illusion of state in state-space models*, ICML 2024; Grazzi et
al., *Unlocking state-tracking in linear RNNs through negative eigenvalues*, ICLR 2025. Sequences are drawn here, as
many as one likes; nobody holds rights in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from graphrec import Structure, chains
from graphrec.structure.checks import as_count

from .groups import group as group_of


def word_problem(
    group: str, lengths: Sequence[int] | Tensor, seed: int = 0
) -> tuple[Tensor, Structure, Tensor]:
    """The word problem of a group: the product of all elements so far.

    y_t = x_0 x_1 … x_t,  in which p q means first p, then q: it takes i to q[p[i]]

    Elements are drawn evenly, so that every y_t is, too: with n elements a guess is right once in n times. `Z2` is
    parity, `Zn` a sum modulo n, and S3 the smallest group in which order counts. A5 and S5 are not solvable, and their
    word problem is complete for NC1 (Barrington 1989): no model of constant depth made of threshold gates, TC0, solves
    it, unless TC0 = NC1.

    Args:
        group: its name: `Zn`, `Sn` or `An`, such as Z2, Z5, S3, A5 or S5.
        lengths: of the sequences.
        seed: of the random numbers: the same seed, the same sequences.

    Returns:
        token `[N]` long, the elements by number, in ascending order as permutations, 0 being the identity; the chains;
        y `[N]` long, the product so far.

    Raises:
        ValueError: another group, or one of more than 1,000 elements; lengths as in `chains`.
    """
    product = torch.tensor(group_of(group).product)
    s = chains(lengths)
    token = torch.randint(len(product), (s.num_nodes,), generator=torch.Generator().manual_seed(seed))
    y = torch.empty_like(token)
    state = torch.zeros(s.num_graphs, dtype=torch.long)  # the identity
    for graph, now in _steps(s):
        state[graph] = y[now] = product[state[graph], token[now]]
    return token, s, y


def dyck(
    lengths: Sequence[int] | Tensor, brackets: int = 2, depth: int = 4, seed: int = 0
) -> tuple[Tensor, Structure, Tensor]:
    """Dyck languages of bounded depth: which bracket may close next.

    A sequence is the beginning of a well-bracketed string of `brackets` sorts that nests at most `depth` deep. Where
    nothing is open a bracket opens, at the greatest depth the last one closes, and in between both are equally
    probable; a bracket that opens is of any sort with the same probability. The target at each position is the sort of
    the innermost bracket that is open, which alone may be closed, or 0 where none is.

    Hewitt, Hahn, Ganguli, Liang & Manning, *RNNs can generate bounded hierarchical languages with optimal memory*,
    EMNLP 2020 (Dyck-(k, m)): a recurrent net needs O(m log k) units.

    Args:
        lengths: of the sequences.
        brackets: k, the sorts of brackets.
        depth: m, how many may be open at a time.
        seed: of the random numbers: the same seed, the same sequences.

    Returns:
        token `[N]` long: 0 to k - 1 opens a bracket of that sort, k to 2 k - 1 closes one; the chains; y `[N]` long, 0
        or 1 + the sort that may be closed.

    Raises:
        ValueError: fewer than one sort or a depth below 1; lengths as in `chains`.
    """
    brackets, depth = as_count("brackets", brackets, 1), as_count("depth", depth, 1)
    s = chains(lengths)
    draw = torch.Generator().manual_seed(seed)
    opens = torch.rand(s.num_nodes, generator=draw) < 0.5
    sort = torch.randint(brackets, (s.num_nodes,), generator=draw)
    token, y = torch.empty_like(sort), torch.empty_like(sort)
    stack = torch.zeros(s.num_graphs, 1 + depth, dtype=torch.long)
    height = torch.zeros(s.num_graphs, dtype=torch.long)
    for graph, now in _steps(s):
        level = height[graph]
        does_open = (level == 0) | (opens[now] & (level < depth))
        token[now] = torch.where(does_open, sort[now], brackets - 1 + stack[graph, level])
        height[graph] = level = torch.where(does_open, level + 1, level - 1)
        stack[graph[does_open], level[does_open]] = 1 + sort[now[does_open]]
        y[now] = stack[graph, level]
    return token, s, y


def _steps(s: Structure) -> Iterator[tuple[Tensor, Tensor]]:
    """For each time step the graphs that are longer, and their nodes."""
    size = torch.bincount(s.graph, minlength=s.num_graphs)
    falling = size.argsort(descending=True)
    first = (size.cumsum(0) - size)[falling]
    at_least = torch.bincount(size).flip(0).cumsum(0).flip(0)[1:]  # how many graphs have a node at step t
    for t, count in enumerate(at_least.tolist()):
        yield falling[:count], first[:count] + t

"""Prefix trees in whole numbers: sequences merged, paths to the ends of sequences, segments."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .checks import as_whole_numbers
from .structure import Structure
from .written import shown

Ints = np.ndarray  # of int64


def as_sequences(sequences: Any, name: str) -> tuple[Ints, Ints]:
    """A length for each of B sequences, `[B]`, and their tokens one sequence after another, `[R]`.

    Raises:
        TypeError: something else than a list of lists, or of tensors or arrays of one dimension, of whole numbers.
    """
    expected = f"{name} must be a list with the tokens of each sequence, whole numbers"
    if isinstance(sequences, str | bytes | dict) or not hasattr(sequences, "__iter__"):
        raise TypeError(f"{expected}, got {shown(sequences)}.")
    if isinstance(sequences, Tensor) and sequences.is_nested:
        sequences = sequences.unbind()
    if getattr(sequences, "ndim", 2) != 2:
        raise TypeError(
            f"{expected}, got one of shape {list(sequences.shape)}: put a single sequence into a list."
        )
    members = list(sequences)
    if all(isinstance(member, list | tuple) for member in members):
        size = np.array([len(member) for member in members], dtype=np.int64)
        flat = as_whole_numbers(_as_array(list(chain.from_iterable(members))), expected)
        if flat.dim() != 1:
            raise TypeError(f"{expected}, got lists within its sequences.")
        return size, flat.numpy()
    rows = []
    for number, member in enumerate(members):
        if not isinstance(member, Tensor | np.ndarray | list | tuple):
            raise TypeError(
                f"{expected}, got {shown(member)} at {number}: put a single sequence into a list."
            )
        row = as_whole_numbers(member, f"{name}[{number}] must hold tokens, whole numbers")
        if row.dim() != 1:
            raise TypeError(f"{name}[{number}] must have one dimension, got shape {list(row.shape)}.")
        rows.append(row.cpu().numpy())
    return np.array([len(row) for row in rows], dtype=np.int64), np.concatenate(rows)


def _as_array(tokens: list[Any]) -> Any:
    # (numpy reads a list several times as fast as torch does; torch says what is wrong with others.)
    try:
        array = np.array(tokens)
    except ValueError:
        return tokens
    return array if array.dtype.kind in "if" else tokens


def joined(heads: tuple[Ints, Ints], head: Ints, tails: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """Sequences, each a head and a tail; `head` `[B]` is the number of each sequence's head."""
    (head_size, head_token), (tail_size, tail_token) = heads, tails
    before = head_size[head]
    size = before + tail_size
    sequence, position = laid_out(size)
    in_tail = position - before[sequence]
    is_tail = in_tail >= 0
    token = np.empty(len(sequence), dtype=np.int64)
    token[is_tail] = tail_token  # they stand sequence after sequence on both sides
    of_head = sequence[~is_tail]
    token[~is_tail] = head_token[(head_size.cumsum() - head_size)[head[of_head]] + position[~is_tail]]
    return size, token


def laid_out(size: Ints) -> tuple[Ints, Ints]:
    """For each row of sequences that stand one after another its sequence and its position in it, `[R]`."""
    sequence = np.arange(len(size)).repeat(size)
    return sequence, np.arange(len(sequence)) - (size.cumsum() - size)[sequence]


def merge(size: Ints, token: Ints, graph: Ints) -> tuple[Ints, Ints]:
    """Equal prefixes as one.

    Args:
        size, graph: `[B]`, the length of each sequence, and its graph (ascending): prefixes of one graph are merged.
        token: `[R]`.

    Returns:
        The node of each row `[R]`, numbered in the order in which rows first come to them, and the first row that
        comes to each node `[N]`.
    """
    first = size.cumsum() - size
    # As bytes, sequences sort as fast as memory is compared, and those with a common prefix stand side by side.
    width, raw = token.itemsize, token.tobytes()
    keys = [raw[width * i : width * j] for i, j in zip(first.tolist(), (first + size).tolist(), strict=True)]
    perm = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    perm = perm[np.argsort(graph[perm], kind="stable")]
    sequence, position = laid_out(size[perm])
    row = first[perm][sequence] + position

    # How long a prefix each sequence has in common with the one before it, of those sorted.
    above = np.roll(perm, 1)
    reaches = np.where(graph[above] == graph[perm], size[above], 0)
    reaches[:1] = 0
    has_above = np.flatnonzero(position < reaches[sequence])
    token_above = token[first[above][sequence[has_above]] + position[has_above]]
    differs = np.ones(len(row), dtype=bool)
    differs[has_above] = token_above != token[row[has_above]]
    common = size[perm]
    common[sequence[differs][::-1]] = position[differs][::-1]  # the first of each sequence is written last
    is_new = position >= common[sequence]

    # Of all rows of one position, what is no new node is the node of the row before it.
    column = np.argsort(position, kind="stable")
    node = np.empty(len(row), dtype=np.int64)
    node[row[column]] = is_new[column].cumsum() - 1
    return _as_they_appear(node)


def _as_they_appear(number: Ints) -> tuple[Ints, Ints]:
    """Numbers in the order in which each is first seen, and where that is."""
    where = np.empty(number.max(initial=-1) + 1, dtype=np.int64)
    where[number[::-1]] = np.arange(len(number))[::-1]  # the first of each is written last
    is_first = np.zeros(len(number), dtype=bool)
    is_first[where] = True
    return (is_first.cumsum() - 1)[where[number]], np.flatnonzero(is_first)


def as_parents(parents: Any, name: str, what: str) -> Ints:
    """The parent of each node, or segment, an earlier one or -1.

    Raises:
        TypeError: not whole numbers. ValueError: not one of those before it.
    """
    expected = f"{name} must hold for each {what} the number of its parent, a whole number, -1 for none"
    numbers = as_whole_numbers(parents, expected)
    if numbers.dim() != 1:
        raise ValueError(f"{expected}, got shape {list(numbers.shape)}.")
    parent = numbers.cpu().numpy()
    wrong = np.flatnonzero((parent < -1) | (parent >= np.arange(len(parent))))
    if len(wrong):
        child = int(wrong[0])
        raise ValueError(
            f"{name} must point back, to an earlier {what} or -1 for none, but the parent of {what} {child} is "
            f"{parent[child]}: list each {what} after its parent."
        )
    return parent


def as_ends(ends: Any, parent: Ints, what: str) -> Ints:
    """Where sequences end, `[B]`; by default at each node, or segment, that is nobody's parent."""
    if ends is None:
        is_parent = np.zeros(len(parent), dtype=bool)
        is_parent[parent[parent >= 0]] = True
        return np.flatnonzero(~is_parent)
    expected = f"ends must hold for each sequence the number of its last {what}, a whole number"
    numbers = as_whole_numbers(ends, expected)
    if numbers.dim() != 1:
        raise ValueError(f"{expected}, got shape {list(numbers.shape)}.")
    end = numbers.cpu().numpy()
    if len(end) and (end.min() < -1 or end.max() >= len(parent)):
        wrong = end[(end < -1) | (end >= len(parent))][0]
        raise ValueError(
            f"ends must hold numbers 0 to {len(parent) - 1}, or -1 for an empty sequence, got {wrong}."
        )
    return end


def depths(parent: Ints) -> Ints:
    """`[N]`: how many nodes are above each, by pointers that jump twice as far each time."""
    jump, depth = parent, (parent >= 0).astype(np.int64)
    while len(jump) and jump.max() >= 0:
        is_below = jump >= 0
        depth = np.where(is_below, depth + depth[jump], depth)
        jump = np.where(is_below, jump[jump], -1)
    return depth


def paths(parent: Ints, depth: Ints, end: Ints) -> tuple[Ints, Ints]:
    """The lengths of the paths to these nodes, `[B]`, and their nodes, one path after another, `[R]`."""
    size = np.where(end >= 0, np.append(depth, 0)[end] + 1, 0)
    sequence, position = laid_out(size)
    node, back = end[sequence], size[sequence] - 1 - position
    jump = parent
    for bit in range(int(size.max(initial=0)).bit_length()):
        node = np.where(back >> bit & 1, jump[node], node)
        jump = np.where(jump >= 0, jump[jump], -1)
    return size, node


def of_segments(size: Ints, parent: Ints) -> tuple[Ints, Ints]:
    """The parent of each node `[N]`, and where each segment ends `[S]`; -1 where nothing is above."""
    # An empty segment ends where its parent does; nodes before the first are one more, empty one at the end.
    above = np.append(np.where(size > 0, np.arange(len(size)), parent), -1)
    while (above[above] != above).any():
        above = above[above]
    last = np.append(size.cumsum() - 1, -1)[above]
    node_above = np.arange(size.sum()) - 1
    has_nodes = size > 0
    node_above[(size.cumsum() - size)[has_nodes]] = last[parent[has_nodes]]
    return node_above, last[:-1]


def forest(parent: Ints, depth: Ints, graph: Ints, num_graphs: int) -> Structure:
    """The structure in which each node's one source is its parent."""
    child = np.flatnonzero(parent >= 0)
    return Structure.counted_out(
        num_nodes=len(parent),
        edge_index=torch.from_numpy(np.array([parent[child], child])),
        slot=torch.zeros(len(child), dtype=torch.long),
        graph=torch.from_numpy(graph),
        num_graphs=num_graphs,
        level=torch.from_numpy(depth),
    )

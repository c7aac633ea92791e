"""Between torch's containers of sequences and rows with a structure.

Torch keeps a batch of sequences as a padded tensor, a `PackedSequence` or a list of tensors; graphrec as one row per
node and chains. Every conversion keeps all rows, their order and their gradients, and adds no padding to rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.data import Data

from .io import as_structure
from .schedule import levels
from .structure import Episodes, Structure, chains, episodes
from .structure.checks import as_count, as_flag, as_list, as_whole_numbers, check_layout, from_array
from .structure.outside import made_outside, outside, seen_by


class Rows(NamedTuple):
    """A batch of sequences as graphrec keeps it.

    Attributes:
        x: `[N, ...]`, one row per node.
        s: its chains.
    """

    x: Tensor
    s: Structure


def from_padded(x: Tensor, lengths: Sequence[int] | Tensor | None = None, batch_first: bool = True) -> Rows:
    """The rows of a padded tensor without its padding, sequence after sequence.

    Args:
        x: `[B, T, ...]`, or `[T, B, ...]` where `batch_first` is False.
        lengths: how long each sequence is; by default all T.
        batch_first: as in torch's recurrent layers.

    Raises:
        ValueError, TypeError: x with fewer than two dimensions; lengths that do not match it.
    """
    batch_first = as_flag("batch_first", batch_first)
    if not isinstance(x, Tensor) or x.is_nested or x.dim() < 2:
        got = (
            type(x).__name__
            if not isinstance(x, Tensor)
            else "a nested one"
            if x.is_nested
            else tuple(x.shape)
        )
        layout = "[B, T, ...]" if batch_first else "[T, B, ...]"
        raise ValueError(
            f"expected a padded tensor {layout}, got {got}: for a list or a nested tensor use from_list."
        )
    check_layout("x", x)
    by_sequence = x if batch_first else x.transpose(0, 1)
    batch, time = by_sequence.shape[:2]
    sizes = [time] * batch if lengths is None else _check_lengths(lengths, batch, time)
    s = _chains(tuple(sizes), x.device)
    rows = by_sequence.reshape(batch * time, *x.shape[2:])
    if all(size == time for size in sizes):
        return Rows(rows, s)
    return Rows(rows.index_select(0, seen_by(x, s.graph * time + levels(s))), s)


def from_packed(packed: PackedSequence) -> Rows:
    """The rows of a `PackedSequence`, sequence after sequence, in the order in which they were packed."""
    if not isinstance(packed, PackedSequence):
        raise TypeError(f"expected a PackedSequence, got {type(packed).__name__}.")
    sizes = packed_lengths(packed)
    s = _chains(tuple(sizes.tolist()), packed.data.device)
    return Rows(packed.data.index_select(0, _packed_rows(s, packed.batch_sizes, packed.unsorted_indices)), s)


def from_list(sequences: Sequence[Tensor | np.ndarray] | Tensor) -> Rows:
    """The rows of a list of tensors or numpy arrays `[T, ...]`, or of a nested tensor (`torch.nested`).

    Raises:
        ValueError, TypeError: not tensors, or tensors that differ in more than their length.
    """
    if isinstance(sequences, Tensor | np.ndarray):
        if not isinstance(sequences, Tensor) or not sequences.is_nested:
            raise TypeError(
                f"expected a list of tensors [T, ...], got one {type(sequences).__name__}: use from_padded, or put "
                f"it into a list."
            )
        sequences = sequences.unbind()
    members = [_as_tensor(member, i) for i, member in enumerate(as_list("sequences", sequences))]
    if not members:
        raise ValueError(
            "expected at least one sequence, got an empty list, which does not say how wide rows are: use from_padded "
            "of a tensor [0, T, ...]."
        )
    for i, member in enumerate(members):
        if member.shape[1:] != members[0].shape[1:]:
            raise ValueError(
                f"all sequences must have rows of one shape: the first has {list(members[0].shape[1:])}, number {i} "
                f"has {list(member.shape[1:])}."
            )
    x = torch.cat(members)
    return Rows(x, _chains(tuple(len(member) for member in members), x.device))


def _as_tensor(member: Any, i: int) -> Tensor:
    if isinstance(member, np.ndarray) and member.dtype.kind in "biufc":
        member = from_array(member)
    if not isinstance(member, Tensor) or member.dim() < 1:
        got = "a number" if isinstance(member, Tensor) else type(member).__name__
        got = f"an array of {member.dtype}" if isinstance(member, np.ndarray) else got
        raise TypeError(
            f"expected a list of tensors or arrays of numbers [T, ...], got {got} at {i}: convert it with "
            f"torch.tensor(...)."
        )
    check_layout(f"sequence {i}", member)
    return member


def from_resets(x: Tensor, is_first: Tensor, batch_first: bool = False) -> tuple[Tensor, Episodes]:
    """The rows of a rollout with resets inside, `x.flatten(0, 1)`, and its episodes.

    Args:
        x: `[T, B, ...]`, or `[B, T, ...]` where `batch_first`.
        is_first, batch_first: as in `graphrec.episodes`.

    Raises:
        ValueError, TypeError: is_first as in `graphrec.episodes`; x of other steps or columns, or on another device.
    """
    found = episodes(is_first, batch_first)
    if not isinstance(x, Tensor) or x.is_nested or x.dim() < 2 or x.shape[:2] != is_first.shape:
        got = "a nested tensor" if isinstance(x, Tensor) and x.is_nested else type(x).__name__
        got = f"shape {tuple(x.shape)}" if got in ("Tensor", "Parameter") else got
        raise ValueError(
            f"x must have the steps and columns of is_first: expected a tensor {[*is_first.shape, '...']}, got {got}."
        )
    check_layout("x", x)
    if x.device != is_first.device and not x.is_meta:
        raise ValueError(
            f"x is on {x.device}, but is_first is on {is_first.device}: move one of them with .to(...)."
        )
    return x.flatten(0, 1), found


def to_padded(
    h: Tensor,
    s: Structure | Data,
    batch_first: bool = True,
    padding_value: float = 0.0,
    time: int | None = None,
) -> tuple[Tensor, Tensor]:
    """A padded tensor `[B, T, ...]` (or `[T, B, ...]`), and the lengths `[B]`.

    Args:
        h: `[N, ...]`.
        s: chains, or PyG data of them; the first node of a chain comes first in its sequence.
        batch_first: as in torch's recurrent layers.
        padding_value: the value of the padding.
        time: T; by default that of the longest sequence.

    Raises:
        ValueError: s is not a batch of chains, h does not fit it, or T is too small.
    """
    s, batch_first = as_structure(s, h), as_flag("batch_first", batch_first)
    if not isinstance(padding_value, Real):
        raise TypeError(f"padding_value must be a number, got {type(padding_value).__name__}.")
    size, position = _layout(h, s)
    longest = _longest(size)
    time = longest if time is None else as_count("time", time)
    if time < longest:
        raise ValueError(f"the longest sequence has {longest} nodes and does not fit into time={time}.")
    full = h.new_full((len(size) * time, *h.shape[1:]), padding_value)
    padded = full.index_copy(0, seen_by(h, s.graph * time + position), h).view(len(size), time, *h.shape[1:])
    return (padded if batch_first else padded.transpose(0, 1)), size


def to_packed(h: Tensor, s: Structure | Data, like: PackedSequence | None = None) -> PackedSequence:
    """A `PackedSequence`; arguments as in `to_padded`.

    Args:
        h: `[N, ...]`.
        s: chains, none of them empty (torch packs no empty sequences).
        like: a PackedSequence of the same lengths whose order is kept.
    """
    s = as_structure(s, h)
    size, _ = _layout(h, s)
    if like is not None:
        if not isinstance(like, PackedSequence):
            raise TypeError(f"like must be a PackedSequence, got {type(like).__name__}.")
        if not torch.equal(packed_lengths(like), size.cpu()):
            raise ValueError(
                "like must have the lengths of s: pack without it, or give the one that s came from."
            )
        batch_sizes, perm, inverse = like.batch_sizes, like.sorted_indices, like.unsorted_indices
    else:
        if not len(size) or int(size.min()) == 0:
            what = f"number {int(size.argmin())} has no nodes" if len(size) else "there are none"
            raise ValueError(f"torch packs no empty sequences and no empty batch, but {what}: use to_padded.")
        descending, perm = torch.sort(size, descending=True)
        inverse = torch.argsort(perm)
        steps = torch.arange(int(descending[0]), device=size.device)
        batch_sizes = (descending.unsqueeze(0) > steps.unsqueeze(1)).sum(1).cpu()
    rows = _packed_rows(s, batch_sizes, inverse)
    node = torch.empty_like(rows)
    node[rows] = torch.arange(len(rows), device=rows.device)
    return PackedSequence(h.index_select(0, seen_by(h, node)), batch_sizes, perm, inverse)


def to_list(h: Tensor, s: Structure | Data) -> list[Tensor]:
    """A tensor `[T, ...]` per sequence; arguments as in `to_padded`."""
    s = as_structure(s, h)
    size, time = _layout(h, s)
    node = torch.empty_like(time)
    node[(torch.cumsum(size, 0) - size)[s.graph] + time] = torch.arange(len(time), device=time.device)
    return list(h.index_select(0, seen_by(h, node)).split(size.tolist())) if len(size) else []


def packed_lengths(packed: PackedSequence) -> Tensor:
    """`[B]`: the lengths of the sequences, in the order in which they were packed."""
    sizes = torch.cat([packed.batch_sizes, packed.batch_sizes.new_zeros(1)])
    steps = torch.arange(1, len(sizes))
    lengths = torch.repeat_interleave(steps, sizes[:-1] - sizes[1:]).flip(0)
    unsorted = packed.unsorted_indices
    return lengths if unsorted is None else lengths[unsorted.cpu()]


@lru_cache(maxsize=16)
def _chains(lengths: tuple[int, ...], device: torch.device) -> Structure:
    # Batches of one shape recur, and keep their schedule.
    # (On the meta device nothing can be looked up.)
    with outside():
        s = chains(lengths)
        return s if device.type == "meta" else s.to(device)


def _check_lengths(lengths: Sequence[int] | Tensor, batch: int, time: int) -> list[int]:
    sizes = as_whole_numbers(lengths, "lengths must be whole numbers, one per sequence").flatten().tolist()
    if len(sizes) != batch:
        raise ValueError(f"lengths must have one number per sequence: expected {batch}, got {len(sizes)}.")
    for i, size in enumerate(sizes):
        if not 0 <= size <= time:
            raise ValueError(
                f"sequence {i} cannot have length {size}: the padded tensor has {time} time steps."
            )
    return sizes


def _layout(h: Tensor, s: Structure) -> tuple[Tensor, Tensor]:
    """The length of each sequence, `[B]`, and the position of each node in its own, `[N]`."""
    if h.shape[0] != s.num_nodes:
        raise ValueError(f"h must have one row per node: expected {s.num_nodes}, got shape {tuple(h.shape)}.")
    return _sizes_and_positions(s)


@made_outside
def _longest(size: Tensor) -> int:
    return int(size.max()) if len(size) else 0


@made_outside
def _sizes_and_positions(s: Structure) -> tuple[Tensor, Tensor]:
    size = torch.bincount(s.graph, minlength=s.num_graphs)
    position = levels(s)
    # In a chain every level has one node, and no edge leads from one chain to another.
    taken = torch.zeros(s.num_nodes, dtype=torch.bool, device=s.device)
    taken[(torch.cumsum(size, 0) - size)[s.graph] + torch.minimum(position, size[s.graph] - 1)] = True
    if s.num_edges != s.num_nodes - int((size > 0).sum()) or not bool(taken.all()):
        raise ValueError(f"expected a batch of chains, got {s!r}: use h itself, a row per node.")
    return size, position


def _packed_rows(s: Structure, batch_sizes: Tensor, unsorted: Tensor | None) -> Tensor:
    """`[N]`: for each node its row in the packed data."""
    first = (torch.cumsum(batch_sizes, 0) - batch_sizes).to(s.device)
    rank = s.graph if unsorted is None else unsorted[s.graph]
    return first[levels(s)] + rank

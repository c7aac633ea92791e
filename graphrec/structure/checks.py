"""Checks that arguments are counts, whole numbers, texts, rows or tensors, with errors that say what came."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Set
from numbers import Real
from operator import index
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.masked import MaskedTensor

from .features import EdgeFeatures
from .outside import unwrapped
from .written import shown

# A slot and a node together fit one 64-bit number by which inboxes are sorted.
MOST_SLOTS = 2**31


def check_edge_index(edge_index: Tensor) -> None:
    """Raise unless there are two rows of whole numbers."""
    if not isinstance(edge_index, Tensor) or edge_index.dim() != 2 or edge_index.shape[0] != 2:
        got = tuple(edge_index.shape) if isinstance(edge_index, Tensor) else type(edge_index).__name__
        is_batch = isinstance(edge_index, Tensor) and edge_index.dim() == 1
        hint = (
            " A vector with the graph of each node? Give PyG's Batch, or the structure, in its place."
            * is_batch
        )
        raise ValueError(
            f"edge_index must be a long tensor of shape [2, E] (sources, targets), got {got}.{hint}"
        )
    check_layout("edge_index", edge_index)
    check_whole_numbers("edge_index", edge_index)


def check_ends(edge_index: Tensor, num_nodes: int) -> None:
    """Raise unless every edge joins two existing nodes."""
    if edge_index.shape[1] == 0:
        return
    low, high = (int(v) for v in torch.aminmax(edge_index))
    if low < 0 or high >= num_nodes:
        bad = ((edge_index < 0) | (edge_index >= num_nodes)).any(0).nonzero()[0].item()
        source, target = edge_index[:, int(bad)].tolist()
        raise ValueError(
            f"edge {bad} goes from node {source} to node {target}, but the nodes are 0 to {num_nodes - 1}: "
            f"correct the edge, give x a row for each node, or raise num_nodes."
        )


def as_count(name: str, value: Any, least: int = 0) -> int:
    """A count as an int; numpy's and torch's whole numbers are accepted, too.

    Raises:
        TypeError, ValueError: not a whole number, or one below the least.
    """
    try:
        if isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool):
            raise TypeError("True and False are not numbers.")
        count = index(value)
    except TypeError as error:
        raise TypeError(
            f"{name} must be a whole number, got {value!r} of type {type(value).__name__}."
        ) from error
    if count < least:
        raise ValueError(f"{name} must be {least} or more, got {shown(count)}.")
    if count >= 2**63:
        raise ValueError(f"{name} must be a number of 64 bits, got {shown(count)}.")
    return count


def as_widths(inputs: Any, hidden: Any) -> tuple[int, int]:
    """The widths of a cell's input and of its state, as ints."""
    return as_count("inputs", inputs), as_count("hidden", hidden, 1)


def as_number(name: str, value: Any) -> float:
    """A finite number as a float.

    Raises:
        TypeError, ValueError: anything else.
    """
    number = value.item() if isinstance(value, Tensor | np.ndarray) and value.ndim == 0 else value
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(f"{name} must be a number, got {shown(value)} of type {type(value).__name__}.")
    try:
        found = float(number)
    except OverflowError:  # a whole number beyond floats
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{name} must be a finite number, got {shown(value)}.")
    return found


def as_share(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    number: Any = value
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= number <= 1:
        raise ValueError(f"{name} must be a share, from 0 to 1, got {shown(value)}.")
    return float(value)


def as_flag(name: str, value: Any) -> bool:
    """True or False; 1 and 0 are accepted, too, and texts are not, of which "no" would be true.

    Raises:
        TypeError: anything else.
    """
    if isinstance(value, np.bool_) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {shown(value)} of type {type(value).__name__}.")


def as_list(name: str, values: Any) -> list[Any]:
    """What can be iterated over, as a list.

    Raises:
        TypeError: anything else, or a text.
    """
    has_order = not isinstance(values, str | bytes | Tensor | np.ndarray | Set | Mapping)
    if not has_order or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a list, got {shown(values)} of type {type(values).__name__}.")
    return list(values)


def check_one_of(name: str, value: Any, allowed: Collection[Any], otherwise: str = "") -> None:
    """Raise ValueError unless it is one of these; true and false are no numbers, and a list is no text."""
    if not any(type(value) is type(one) and value == one for one in allowed):
        raise ValueError(
            f"{name} must be one of {', '.join(map(str, allowed))}{otherwise}, got {shown(value)}."
        )


def check_layout(name: str, rows: Tensor) -> None:
    """Raise TypeError unless it is a dense tensor that has rows."""
    if not isinstance(rows, Tensor):
        raise TypeError(f"{name} must be a tensor with a row for each, got {type(rows).__name__}.")
    if rows.is_nested:
        raise TypeError(
            f"{name} is a nested tensor: graphrec.from_list({name}.unbind()) makes rows and chains of its sequences."
        )
    if isinstance(rows, MaskedTensor):
        raise TypeError(f"{name} is a masked tensor: fill what is hidden, {name}.to_tensor(0.0).")
    if rows.layout != torch.strided:
        raise TypeError(
            f"{name} must be a dense tensor, got {rows.layout}: convert it with {name}.to_dense()."
        )


def check_no_batch(x: Tensor, num_nodes: int, expected: str) -> None:
    """Raise ValueError for rows of several sets of nodes over one structure, `[B, N, F]`, or padded ones."""
    if x.dim() != 3 or x.shape[0] == num_nodes:
        return
    how = (
        "graphrec.Sequences(model) takes padded sequences [B, T, D], graphrec.from_padded makes rows of them"
    )
    if x.shape[1] == num_nodes:
        how = (
            f"{len(x)} times the rows of one structure are those of a batch, graphrec.batch([s] * {len(x)}) and "
            f"x.flatten(0, 1), or run one after the other"
        )
    raise ValueError(f"x must have one row per node: expected {expected}, got shape {list(x.shape)}: {how}.")


def as_texts(name: str, values: Any) -> tuple[Any, ...]:
    """A list of texts as a tuple; None stands for no text."""
    is_list = hasattr(values, "__iter__") and not isinstance(values, str | Tensor | Set | Mapping)
    texts = tuple(values) if is_list and getattr(values, "ndim", 1) else None
    # (Of a million texts the types are looked at sooner than each of them.)
    kinds = set() if texts is None else set(map(type, texts))
    if texts is None or not all(issubclass(kind, str | NoneType) for kind in kinds):
        raise TypeError(f"{name} must be a list of texts, got {shown(values)}.")
    return texts


def as_whole_numbers(values: Any, expected: str) -> Tensor:
    """A long tensor of what can be converted without loss; the error begins with `expected`."""
    if isinstance(values, Tensor):
        values = unwrapped(values, expected.partition(" must")[0])
    if isinstance(values, Tensor):
        check_layout(expected.partition(" must")[0], values)
    try:
        numbers = from_array(values) if isinstance(values, np.ndarray) else torch.as_tensor(values)
    except Exception as error:
        # (torch reads whatever has a length and numbered items, which may raise anything.)
        raise TypeError(f"{expected} of 64 bits, got {shown(values)}: {error}") from error
    lossy = numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool
    if numbers.numel() and lossy:
        raise TypeError(f"{expected}, got dtype {numbers.dtype}.")
    whole = numbers.to(torch.long)
    if numbers.dtype == torch.uint64 and bool((whole < 0).any()):
        raise TypeError(f"{expected} of 64 bits with a sign, got {shown(values)}.")
    return whole


def from_array(array: np.ndarray) -> Tensor:
    """A tensor with the numbers of an array, which may be read-only, reversed or of the other byte order."""
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


def check_tensor(name: str, value: Any, device: torch.device) -> None:
    """Raise unless this can be a field of a structure on that device."""
    if value is None or (name == "edge_attr" and isinstance(value, EdgeFeatures)):
        return
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a tensor, got {type(value).__name__}: convert it with torch.tensor(...)."
        )
    check_layout(name, value)
    if value.device != device:
        raise ValueError(
            f"{name} is on {value.device}, but edge_index is on {device}: move one of them with .to(...)."
        )
    if name == "edge_attr":
        if value.dim() < 1:
            raise ValueError("edge_attr must have one row per edge, got a single number.")
        return
    if name == "edge_weight":
        if not value.is_floating_point():
            raise TypeError(
                f"edge_weight must be of a floating-point dtype, got {value.dtype}: convert it with .float()."
            )
    else:
        check_whole_numbers(name, value)
    if value.dim() != 1:
        raise ValueError(f"{name} must have one dimension, got shape {tuple(value.shape)}.")


def check_rows(name: str, value: Any, count: int, what: str) -> None:
    """Raise unless there is one row for each node, or edge."""
    if isinstance(value, Tensor) and not value.dim():
        raise ValueError(f"{name} must have one row per {what}, got a single number.")
    if len(value) != count:
        raise ValueError(f"{name} must have one row per {what}: expected {count}, got {len(value)}.")


def check_whole_numbers(name: str, value: Any) -> None:
    """Raise unless the dtype is long."""
    if value.dtype != torch.long:
        raise TypeError(f"{name} must be of dtype torch.long, got {value.dtype}: convert it with .long().")


def check_range(name: str, value: Tensor | None, count: int) -> None:
    """Raise unless all numbers are from 0 to count - 1."""
    if value is None or not value.numel():
        return
    low, high = (int(v) for v in torch.aminmax(value))
    if low < 0 or high >= count:
        raise ValueError(f"{name} must hold numbers 0 to {count - 1}, got {low if low < 0 else high}.")

"""Batches of plain samples, made by a few operations for all of them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate
from torch_geometric.data import Batch, Data

from ..structure import Structure
from ..tries import Trie

# What tells PyG the number of nodes, the first that it finds; of these only x is looked at here.
_COUNTS_NODES = {"feat", "pos", "node_type", "n_id", "tf"}

_MANY = 2**40  # nodes, more than any batch has

# What torch raises where values do not go together: other shapes, other dimensions, numbers that overflow.
_DOES_NOT_FIT = (IndexError, OverflowError, RuntimeError, TypeError, ValueError)


class Collater:
    """Makes batches; an object, so that it can be sent to the loader's workers.

    Args:
        by_pyg: PyG's own way.
        is_special: whether to take it always.
    """

    def __init__(self, by_pyg: Any, is_special: bool) -> None:
        self._by_pyg, self._is_special = by_pyg, is_special

    def __call__(self, samples: Sequence[Any]) -> Any:
        if _holds_structures(samples[0]):
            return default_collate(list(samples))  # which knows them, as PyG does not
        parts = None if self._is_special else _as_columns(samples)
        if parts is None:
            return self._joined_by_pyg(samples)
        try:
            return _joined(samples, parts)
        except _DOES_NOT_FIT:  # PyG refuses it in its own words
            return self._by_pyg(samples)

    def _joined_by_pyg(self, samples: Sequence[Any]) -> Any:
        try:
            return self._by_pyg(samples)
        except TypeError as error:
            if "found invalid type" not in str(error):
                raise
            raise TypeError(
                f"{error}, in samples of type {type(samples[0]).__name__}: give tensors, PyG's Data or structures, or "
                f"a collate_fn that joins samples, as graphrec.train.join_sequences does pairs (x, y)."
            ) from error


def _holds_structures(sample: Any) -> bool:
    """Whether a sample is a structure or a trie, or has one among its parts."""
    if isinstance(sample, dict):
        sample = tuple(sample.values())
    if isinstance(sample, list | tuple):
        return any(map(_holds_structures, sample))
    return isinstance(sample, Structure | Trie)


def _as_columns(samples: Sequence[Any]) -> dict[str, list[Any]] | None:
    """The values of each attribute, if all samples are plain ones that have the same attributes."""
    if set(map(type, samples)) != {Data}:
        return None
    rows = [sample.to_dict() for sample in samples]
    names = list(rows[0])
    if "edge_index" not in names or any(list(row) != names for row in rows):
        return None
    parts = {name: [row[name] for row in rows] for name in names}
    return parts if all(_is_plain(name, values) for name, values in parts.items()) else None


def _is_plain(name: str, values: list[Any]) -> bool:
    """Whether the values of an attribute are joined as `_joined` does."""
    first, kinds = values[0], set(map(type, values))
    if name == "num_nodes":  # (numpy does not notice that numbers overflow)
        return kinds == {int} and min(values) >= 0 and sum(values) < _MANY
    if name == "ptr" or "batch" in name or len(kinds) > 1:
        return False
    if type(first) is Tensor:
        # (Where others differ from the first in what is asked of it, they cannot be joined.)
        is_dense = first.layout is torch.strided and not first.is_nested and first.is_cpu and first.dim() > 0
        return is_dense and (first.dtype == torch.long or not _holds_nodes(name))
    return (type(first) in (int, float) and not _holds_nodes(name)) or _is_text(first)


def _is_text(value: Any) -> bool:
    """Whether PyG keeps a list of such values as it is."""
    return type(value) is str or (type(value) is list and bool(value) and type(value[0]) in (str, NoneType))


def _holds_nodes(name: str) -> bool:
    """Whether PyG takes an attribute's values as numbers of nodes, by its name."""
    return "index" in name or name == "face"


def _joined(samples: Sequence[Data], parts: dict[str, list[Any]]) -> Batch:
    """The batch that PyG makes of samples with these attributes."""
    batch = copy.copy(_empty_batch())
    sizes = _sizes(samples, parts)
    first_nodes = _begins(sizes)
    slices, increments = {}, {}
    one_each, no_increments = torch.arange(len(samples) + 1), torch.zeros(len(samples), dtype=torch.long)
    for name, values in parts.items():
        if name == "num_nodes":
            batch.stores[0]._num_nodes = values
            batch.num_nodes = sum(values)
        elif _is_text(values[0]):
            batch[name], slices[name], increments[name] = values, one_each, None
        elif not isinstance(values[0], Tensor):
            batch[name], slices[name], increments[name] = torch.tensor(values), one_each, no_increments
        elif _holds_nodes(name):
            counts = [value.shape[-1] for value in values]
            batch[name] = torch.cat(values, -1).add_(torch.from_numpy(np.repeat(first_nodes[:-1], counts)))
            slices[name] = torch.from_numpy(_begins(counts))
            increments[name] = torch.from_numpy(first_nodes[:-1].copy())
        else:
            batch[name], increments[name] = torch.cat(values), no_increments
            slices[name] = torch.from_numpy(_begins([value.shape[0] for value in values]))
    batch.batch = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
    batch.ptr = torch.from_numpy(first_nodes)
    # (With these PyG takes a batch apart again.)
    batch._num_graphs, batch._slice_dict, batch._inc_dict = len(samples), slices, increments
    return batch


@functools.cache
def _empty_batch() -> Any:
    """One without attributes. (PyG takes longer to make one than to copy one.)"""
    return Batch(_base_cls=Data)


def _sizes(samples: Sequence[Data], parts: dict[str, list[Any]]) -> list[int]:
    """The number of nodes of each sample."""
    if "num_nodes" in parts:
        return parts["num_nodes"]
    if "x" in parts and _COUNTS_NODES.isdisjoint(parts):
        return [rows.shape[0] for rows in parts["x"]]
    return [int(sample.num_nodes or 0) for sample in samples]


def _begins(sizes: list[int]) -> np.ndarray:
    """Where each part begins, and where the last one ends."""
    begins = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.array(sizes, dtype=np.int64).cumsum(out=begins[1:])
    return begins

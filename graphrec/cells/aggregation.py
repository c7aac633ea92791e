"""PyG's aggregations, applied to each set alone, and to empty sets.

PyG lays sets out as a table as wide as the largest of them: an LSTM then reads the padding behind a small set, memory
grows with the largest one, and no sets at all give no table. Here such aggregations get sets of one size at a time.
N rows have at most sqrt(2 N) different sizes, and nothing is padded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing, aggr

# What these make of a set depends on no other set, and they accept an empty one, too.
_BY_ITSELF = {
    aggr.AttentionalAggregation,
    aggr.DeepSetsAggregation,
    aggr.MaxAggregation,
    aggr.MeanAggregation,
    aggr.MinAggregation,
    aggr.MulAggregation,
    aggr.PowerMeanAggregation,
    aggr.Set2Set,
    aggr.SoftmaxAggregation,
    aggr.StdAggregation,
    aggr.SumAggregation,
    aggr.VarAggregation,
    aggr.VariancePreservingAggregation,
}
# These have no row for empty sets, or none where all are empty.
_IF_NOT_EMPTY = {aggr.MedianAggregation, aggr.QuantileAggregation, aggr.MLPAggregation}


@dataclass(frozen=True)
class Sets:
    """Which rows belong to which set, set by set, small sets first; sets without rows are left out.

    Attributes:
        row: `[E]`, the rows sorted by set; within a set they are as they came.
        index: `[E]`, the set of each of these rows, counted as they are sorted.
        number: `[P]`, the number of each set.
        sizes: each size that occurs, and how many sets have it.
        count: the number of all sets, including those without rows.
    """

    row: Tensor
    index: Tensor
    number: Tensor
    sizes: list[tuple[int, int]]
    count: int

    @staticmethod
    def of(index: Tensor, count: int) -> Sets:
        """From the set of each row, `[E]`."""
        size = torch.bincount(index, minlength=count)
        number = torch.argsort(size, stable=True)
        rank = torch.empty_like(number)
        rank[number] = torch.arange(count, device=index.device)
        row = torch.argsort(rank[index], stable=True)
        number = number[size[number] > 0]
        sizes, sets = torch.unique_consecutive(size[number], return_counts=True)
        index = torch.repeat_interleave(torch.arange(len(number), device=index.device), size[number])
        return Sets(row, index, number, list(zip(sizes.tolist(), sets.tolist(), strict=True)), count)


def aggregate_sets(module: Any, x: Tensor, sets: Sets) -> Tensor:
    """`[E, ...] → [count, ...]`: the module applied to each set alone; zero (or its fill value) for empty sets."""
    if not len(sets.number):
        # The width is that of the module's result for one row; no row of it is used, so that all gradients are zero.
        one = x.new_zeros(1, *x.shape[1:]) + x.sum(0, dtype=x.dtype)
        found = module(one, index=sets.index.new_zeros(1), dim_size=1, dim=0)[:0]
    else:
        rows = x.index_select(0, sets.row)
        found = torch.cat(
            [module(part, index=i, dim_size=n, dim=0) for part, i, n in _parts(module, rows, sets)]
        )
    empty = found.new_full((sets.count, *found.shape[1:]), getattr(module, "fill_value", 0.0)) + found[
        :0
    ].sum(0, dtype=found.dtype)
    return empty.index_copy(0, sets.number, found)


def _parts(module: Any, rows: Tensor, sets: Sets) -> Iterator[tuple[Tensor, Tensor, int]]:
    """What the module can be given in one call: rows, the set of each, and how many sets there are."""
    if _is_of(module, _BY_ITSELF | _IF_NOT_EMPTY):
        yield rows, sets.index, len(sets.number)
        return
    groups = sets.sizes
    if isinstance(module, aggr.EquilibriumAggregation):  # its energy is a mean over all sets of a call
        groups = [(size, 1) for size, number in groups for _ in range(number)]
    for part, (size, number) in zip(rows.split([size * n for size, n in groups]), groups, strict=True):
        index = torch.arange(number, device=rows.device).repeat_interleave(size)
        yield part, index, number


def _is_of(module: Any, kinds: set[type]) -> bool:
    """Whether an aggregation, and all its parts, are of these kinds (subclasses may do something else)."""
    if type(module) is aggr.MultiAggregation:
        return all(_is_of(part, kinds) for part in module.aggrs)
    if type(module) is aggr.DegreeScalerAggregation:
        return _is_of(module.aggr, kinds)
    return type(module) in kinds


class _OfMessages(nn.Module):
    """An aggregation of messages that gives zero where there are none."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, index: Tensor, ptr: Any = None, dim_size: int = 0, dim: int = -2) -> Tensor:
        """`[e, ...] → [dim_size, ...]`."""
        if not len(index) or _is_of(self.module, _BY_ITSELF | _IF_NOT_EMPTY):
            return aggregate_sets(self.module, x, Sets.of(index, dim_size))
        return self.module(x, index, ptr=ptr, dim_size=dim_size, dim=dim)


def taking_no_messages(conv: MessagePassing) -> MessagePassing:
    """The layer, if its aggregation accepts no messages, or a copy with the same weights that gives zero for none."""
    if _is_of(conv.aggr_module, _BY_ITSELF):
        return conv
    other = copy.copy(conv)
    other._modules = {**conv._modules, "aggr_module": _OfMessages(conv.aggr_module)}
    return other

"""Rows permuted and summed, with gathers in both passes, where torch's backward pass would scatter."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .plain import is_plain_only


def gather_sum(rows: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
    """`[r, ...] → [n, ...]`: the sums of `rows[index[offsets[i] : offsets[i + 1]]]`, zero for empty segments."""
    if rows.dim() == 2:
        return F.embedding_bag(index, rows, offsets, mode="sum")
    flat = rows.reshape(rows.shape[0], rows.shape[1:].numel())
    return F.embedding_bag(index, flat, offsets, mode="sum").view(offsets.shape[0], *rows.shape[1:])


def segment_sum(values: Tensor, offsets: Tensor, target: Tensor) -> Tensor:
    """`[e, ...] → [n, ...]`: sums over consecutive rows; segment i begins at `offsets[i]` and is `target == i`."""
    # (embedding_bag supports neither.)
    if not values.is_floating_point() or is_plain_only(values):
        return values.new_zeros(offsets.shape[0], *values.shape[1:]).index_add(0, target, values)
    if values.dim() == 2:
        return _SegmentSum.apply(values, offsets, target)
    # Reshaped here, so that the function does not return a view and its result may be written into.
    sums = _SegmentSum.apply(values.reshape(values.shape[0], values.shape[1:].numel()), offsets, target)
    return sums.view(offsets.shape[0], *values.shape[1:])


def spread(rows: Tensor, offsets: Tensor, target: Tensor) -> Tensor:
    """`[n, ...] → [e, ...]`: the row of each edge's segment, `rows[target]`; arguments as in `segment_sum`."""
    if not rows.requires_grad or not torch.is_grad_enabled() or is_plain_only(rows):
        return rows.index_select(0, target)
    return _Spread.apply(rows, offsets, target)


class _Spread(torch.autograd.Function):
    """`[n, ...] → [e, ...]`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, offsets: Tensor, target: Tensor) -> Tensor:
        """Gather."""
        ctx.save_for_backward(offsets, target)
        return rows.index_select(0, target)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Every row gets the sum of its segment's gradients."""
        return segment_sum(grads[0], *ctx.saved_tensors), None, None


class _SegmentSum(torch.autograd.Function):
    """`[e, H] → [n, H]`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, offsets: Tensor, target: Tensor) -> Tensor:
        """Sum."""
        ctx.save_for_backward(offsets, target)
        return gather_sum(values, torch.arange(values.shape[0], device=values.device), offsets)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Every row gets its segment's gradient."""
        return spread(grads[0], *ctx.saved_tensors), None, None


def rows_or_zero(rows: Tensor, index: Tensor) -> Tensor:
    """`[N, ...] → [G, ...]`: the row at each index, zero where the index is -1."""
    if not rows.shape[0]:
        # (The sum is zero, and a way for the gradient.)
        return rows.new_zeros(index.shape[0], *rows.shape[1:]) + rows.sum(0)
    empty = (index < 0).view(-1, *[1] * (rows.dim() - 1))
    return rows.index_select(0, index.clamp(min=0)).masked_fill(empty, 0)


def move(rows: Tensor, there: Tensor, back: Tensor) -> Tensor:
    """`rows[there]`, where `back` is the inverse: the new index of each row.

    Repeated indices in `there`, and rows that it leaves out, are padding: they must not affect any result.
    """
    if torch.is_grad_enabled() and rows.requires_grad and not is_plain_only(rows):
        return _Move.apply(rows, there, back)
    return rows.index_select(0, there)


class _Move(torch.autograd.Function):
    """Rows at other indices, with padding added or left out; padding has no gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """Gather."""
        ctx.save_for_backward(there, back)
        return rows.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Gather back."""
        there, back = ctx.saved_tensors
        (grad,) = grads
        if len(back) > len(there):
            return grad.new_zeros(len(back), *grad.shape[1:]).index_copy(0, there, grad), None, None
        return grad.index_select(0, back), None, None

"""Softmax over inboxes as one operation, where the library does it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .edges import library_for, softmax
from .plain import must_be_plain
from .segments import segment_sum, spread


def inbox_softmax(
    scores: Tensor, own: Tensor | None, offsets: Tensor, target: Tensor
) -> tuple[Tensor, Tensor | None] | None:
    """`[e, ...], [n, ...] → [e, ...], [n, ...]`: weights that sum to one over each segment, and `own` in it.

    Args:
        scores: `[e, ...]`, of consecutive segments; segment i begins at `offsets[i]` and is `target == i`.
        own: `[n, ...]`, one more score of each segment; None: there is none.
        offsets, target: `[n]` and `[e]`.

    Returns:
        The weights of `scores` and of `own`; None, where the library does not take these.
    """
    if library_for(scores, own) is None or not scores.numel():
        return None
    if own is not None and (own.dtype, own.shape[1:]) != (scores.dtype, scores.shape[1:]):
        return None
    flat = scores.reshape(len(scores), scores.shape[1:].numel())
    if own is None:
        return _Softmax.apply(flat, None, offsets, target)[0].view(scores.shape), None
    share, own_share = _Softmax.apply(flat, own.reshape(len(own), flat.shape[1]), offsets, target)
    return share.view(scores.shape), own_share.view(own.shape)


class _Softmax(torch.autograd.Function):
    """`[e, K], [n, K] → [e, K], [n, K]`."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, own: Tensor | None, offsets: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Weights."""
        share, own_share = softmax(offsets, scores, own)
        ctx.save_for_backward(share, own_share, offsets, target)
        return share, own_share

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """Each share times what its gradient is above the inbox's mean."""
        share, own_share, offsets, target = ctx.saved_tensors
        of_share, of_own = grads if own_share is not None else (grads[0], None)
        if not must_be_plain(grads) and library_for(share, own_share, of_share, of_own) is not None:
            return *softmax(offsets, share, own_share, (of_share, of_own)), None, None
        mean = segment_sum(share * of_share, offsets, target)
        if own_share is None or of_own is None:
            return share * (of_share - spread(mean, offsets, target)), None, None, None
        mean = mean + own_share * of_own
        return share * (of_share - spread(mean, offsets, target)), own_share * (of_own - mean), None, None

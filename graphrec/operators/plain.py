"""Where torch's own operators alone will do: functions of our own have no rules for transforms, or one derivative."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..structure.outside import has_values


def is_plain_only(rows: Tensor) -> bool:
    """Whether it is so on the way there: under torch.func's transforms, in forward-mode derivatives, without values."""
    transforms = torch._C._functorch.peek_interpreter_stack()  # pyright: ignore[reportAttributeAccessIssue]
    return transforms is not None or forward_ad._current_level >= 0 or not has_values(rows)


def must_be_plain(grads: Sequence[Tensor | None]) -> bool:
    """Whether it is so on the way back: it is to be differentiable itself, or takes many gradients at once."""
    return torch.is_grad_enabled() or is_batched(grads)


def is_batched(grads: Sequence[Tensor | None]) -> bool:
    """Whether these are many gradients at once."""
    functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
    return any(
        grad is not None and (functorch.is_legacy_batchedtensor(grad) or functorch.is_batchedtensor(grad))
        for grad in grads
    )

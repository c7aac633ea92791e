"""What runs with a backward pass of their own can be asked for, and what they must refuse."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def check_first_derivatives(grads: Iterable[Tensor | None]) -> None:
    """Raise if a backward pass is to be differentiable itself, or takes many gradients at once.

    Args:
        grads: what has come back.
    """
    if torch.is_grad_enabled() or any(_is_batched(grad) for grad in grads):
        raise RuntimeError(
            "graphrec's fast engines have first derivatives only, one at a time, and this backward pass was asked to "
            "be differentiable itself (create_graph=True), or to take many gradients at once (is_grads_batched, "
            "vectorize): run the model inside `with graphrec.reference_loop():`."
        )


def _is_batched(grad: Tensor | None) -> bool:
    functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
    return grad is not None and (functorch.is_legacy_batchedtensor(grad) or functorch.is_batchedtensor(grad))

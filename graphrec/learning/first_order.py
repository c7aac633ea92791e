"""What a rule whose way back is its own cannot be asked for: transforms, and derivatives of its gradients."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..sparse import is_plain_only, must_be_plain


def check_untransformed(name: str, x: Tensor) -> None:
    """Raise ValueError where a run is transformed: by torch.func, in forward mode, or while a program is traced."""
    if is_plain_only(x):
        raise ValueError(
            f"{name} goes back in its own way, through which torch.func, forward-mode derivatives and tracing cannot "
            f"look: call loss.backward() or torch.autograd.grad outside of them, or leave out the rule."
        )


def check_first_order(name: str, grads: Sequence[Tensor | None]) -> None:
    """Raise RuntimeError where gradients are to be differentiable themselves, or many are asked for at once."""
    if must_be_plain(grads):
        raise RuntimeError(
            f"{name} has first derivatives only, one at a time, which create_graph=True, is_grads_batched=True and "
            f"vectorize=True go beyond: leave these out, or use BPTT."
        )

"""What a rule with its own backward pass refuses: transforms, and derivatives of its gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators import is_plain_only, must_be_plain

_PROXIES = torch._C._TorchDispatchModeKey.PROXY  # of the mode in which make_fx and exports trace


def check_untransformed(name: str, x: Tensor) -> None:
    """Raise ValueError where a run is transformed: by torch.func, in forward mode, or in tracing."""
    is_traced = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    if is_plain_only(x) or is_traced or torch._C._get_dispatch_mode(_PROXIES) is not None:
        raise ValueError(
            f"{name} goes back in its own way, through which torch.func, forward-mode derivatives and tracing cannot "
            f"look: call loss.backward() or torch.autograd.grad outside of them, or leave out the rule."
        )


def check_first_order(name: str, grads: Sequence[Tensor | None]) -> None:
    """Raise RuntimeError where gradients are to be differentiated themselves, or many are asked for at once."""
    if not must_be_plain(grads):
        return
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{name} has first derivatives only, and create_graph=True asks for the graph of a second one: leave it "
            f"out, or use BPTT."
        )
    raise RuntimeError(
        f"{name} goes back for one gradient at a time, and got many of them side by side (is_grads_batched=True, "
        f"vectorize=True, or torch.func.vmap): ask for them one after the other, or use BPTT."
    )

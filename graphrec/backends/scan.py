"""The memory cell of the LSTM over chains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..schedule import Chains
from ..sparse import must_be_plain
from .higher import gradients_of
from .layout import Layout


class Scan(torch.autograd.Function):
    """c_t = f_t * c_{t-1} + u_t over chains, all `[N, H]` in a layout's order; c before each chain is `[B, H]`."""

    @staticmethod
    def forward(ctx: Any, layout: Layout, f: Tensor, u: Tensor, initial: Tensor) -> Tensor:
        """One operation per step."""
        c = torch.empty_like(u)
        steps = zip(*map(layout.steps, (f, u, c)), [initial, *layout.read(c)], strict=True)
        for forget, add, new, earlier in steps:
            torch.addcmul(add, forget, earlier, out=new)
        ctx.layout = layout
        ctx.save_for_backward(f, u, initial, c)
        return c.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """The same scan from the other end."""
        layout: Layout = ctx.layout
        f, u, initial, c = ctx.saved_tensors
        if must_be_plain(grads):
            return None, *gradients_of(_scan, grads, ctx.needs_input_grad[1:], layout.chains, f, u, initial)
        of_u, of_f, of_initial = grads[0].clone(), torch.empty_like(f), torch.zeros_like(initial)
        views = (
            *map(layout.steps, (of_u, of_f, f)),
            [initial, *layout.read(c)],
            [of_initial, *layout.read(of_u)],
        )
        for add, of_forget, forget, earlier, of_earlier in reversed(list(zip(*views, strict=True))):
            torch.mul(add, earlier, out=of_forget)
            of_earlier.addcmul_(add, forget)
        return None, of_f, of_u, of_initial


def _scan(chains: Chains, f: Tensor, u: Tensor, initial: Tensor) -> Tensor:
    """`[N, H]`: the same in plain PyTorch."""
    c, states = initial, []
    for forget, add in zip(f.split(chains.counts), u.split(chains.counts), strict=True):
        c = add + forget * c[: len(add)]
        states.append(c)
    return torch.cat(states)

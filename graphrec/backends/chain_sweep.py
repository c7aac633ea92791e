"""The SRN and the GRU over chains side by side, as one sweep there and one back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..cell import Fused
from ..schedule import Chains
from ..sparse import must_be_plain
from .equations import GRU, SRN, Equations
from .higher import gradients_of
from .layout import Layout
from .lowered import Lowered

_EQUATIONS = {"rnn_tanh": SRN(relu=False), "rnn_relu": SRN(relu=True), "gru": GRU()}


class ChainSweep(Lowered):
    """The SRN and the GRU."""

    name = "chain_sweep"

    @staticmethod
    def refuses(operator: str, x: Tensor) -> str | None:
        """Why not, beside what no backend for chains takes; None: it does."""
        if operator not in _EQUATIONS:
            return "it is for the SRN and the GRU"
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
            return f"it is for float32 and float64 on a CPU, x is {x.dtype} on {x.device}"
        return "autocast is on" if torch.is_autocast_enabled("cpu") else None

    def h(self) -> Tensor:
        """`[N, H]`."""
        equations, layout = _EQUATIONS[self.fused.operator], Layout(self.chains)
        initial, weights = self.initial[0] if self.initial else None, self.fused[1:]
        if torch.is_grad_enabled() and any(
            tensor is not None and tensor.requires_grad for tensor in (self.x, initial, *weights)
        ):
            return _Sweep.apply(equations, layout, self.x, initial, *weights)
        return layout.leave(equations.infer(layout, layout.enter(self.x), initial, self.fused))


class _Sweep(torch.autograd.Function):
    """The sweep, and as its gradient the reverse sweep."""

    @staticmethod
    def forward(
        ctx: Any, equations: Equations, layout: Layout, x: Tensor, initial: Tensor | None, *weights: Any
    ) -> Tensor:
        """`[N, H]`."""
        h, kept = equations.forward(layout, layout.enter(x), initial, Fused("", *weights))
        ctx.equations, ctx.layout = equations, layout
        ctx.save_for_backward(x, initial, *weights, h, kept)
        # A copy in any case: h is kept, and the caller may write into his.
        return h.clone() if layout.stays else layout.leave(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """The gradients of x, the initial state, the weights and the biases, where they are asked for."""
        equations, layout = ctx.equations, ctx.layout
        *inputs, h, kept = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        if must_be_plain(grads):
            return None, None, *gradients_of(_stepwise, grads, needed, equations.step, layout.chains, *inputs)
        x, initial, w_ih, w_hh = inputs[:4]
        of_x, of_initial, of_w_ih, of_w_hh, of_b_ih, of_b_hh = needed
        initial_grad = torch.zeros_like(initial) if of_initial else None
        at_x, at_h = equations.backward(layout, layout.enter_copy(grads[0]), h, kept, w_hh, initial_grad)
        return (
            None,
            None,
            layout.leave(at_x @ equations.permute(w_ih)) if of_x else None,
            initial_grad,
            equations.unpermute(at_x.t() @ layout.enter(x)) if of_w_ih else None,
            layout.outer(at_h, h, initial) if of_w_hh else None,
            equations.unpermute(at_x.sum(0)) if of_b_ih else None,
            at_h.sum(0) if of_b_hh else None,
        )


def _stepwise(
    step: Callable[..., Tensor], chains: Chains, x: Tensor, initial: Tensor | None, *weights: Tensor | None
) -> Tensor:
    """`[N, H]`: the same in plain PyTorch, for derivatives of any order."""
    w_hh = weights[1]
    assert w_hh is not None
    h = x.new_zeros(chains.num_chains, w_hh.shape[1]) if initial is None else initial
    states = []
    for rows in x.index_select(0, chains.perm).split(chains.counts):
        h = step(rows, h[: len(rows)], *weights)
        states.append(h)
    return torch.cat(states).index_select(0, chains.inv_perm)

"""The SRN and the GRU over chains side by side, in place, with derivatives derived by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..operators import must_be_plain
from ..schedule import Chains
from .hand_gru import GRU
from .hand_srn import SRN
from .lowered import Lowered


class HandDerived(Lowered):
    """The SRN and the GRU."""

    name = "hand_derived"
    about = "the SRN and the GRU over chains, with derivatives derived by hand"

    @staticmethod
    def refuses(operator: str, x: Tensor) -> str | None:
        """Why not, apart from what all backends for chains refuse; None: it is accepted."""
        if operator not in _EQUATIONS:
            return "it is for the SRN and the GRU"
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
            return f"it is for float32 and float64 on a CPU, x is {x.dtype} on {x.device}"
        return "autocast is on" if torch.is_autocast_enabled("cpu") else None

    def h(self) -> Tensor:
        """`[N, H]`."""
        equations = _EQUATIONS[self.fused.operator]
        initial = self.initial_state[0] if self.initial_state else None
        x, weights = self.step_by_step(self.x), equations.weights(self.fused)
        return self.as_numbered(_OverChains.apply(equations, self.chains, x, initial, *weights))


# Each has `weights`, `step`, `forward` and `backward`; see `SRN`.
Equations = SRN | GRU
_EQUATIONS: dict[str, Equations] = {"rnn_tanh": SRN(relu=False), "rnn_relu": SRN(relu=True), "gru": GRU()}


class _OverChains(torch.autograd.Function):
    """h `[N, H]` from x `[N, D]`, both step by step."""

    @staticmethod
    def forward(
        ctx: Any, equations: Equations, chains: Chains, x: Tensor, initial: Tensor | None, *weights: Tensor
    ) -> Tensor:
        h, kept = equations.forward(chains, x, initial, *weights)
        ctx.equations, ctx.chains = equations, chains
        ctx.save_for_backward(x, initial, *weights, h, kept)
        return h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        equations, chains = ctx.equations, ctx.chains
        *inputs, h, kept = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        if must_be_plain(grads):
            return None, None, *_plain_gradients(equations, chains, inputs, needed, grads[0])
        x, initial, w, u, _ = inputs
        of_x, of_initial, of_w, of_u, of_b = needed
        initial_grad = torch.zeros_like(initial) if of_initial else None
        # Where rows are permuted afterwards, the gradient is a fresh tensor of ours, and may be written into.
        grad = grads[0].clone() if chains.is_identity else grads[0]
        at_x, at_h, at_b = equations.backward(chains, grad, h, kept, u, initial_grad)
        return (
            None,
            None,
            at_x @ w if of_x else None,
            initial_grad,
            at_x.t() @ x if of_w else None,
            _outer(chains, at_h, h, initial) if of_u else None,
            at_b.sum(0) if of_b else None,
        )


def _outer(chains: Chains, at_h: Tensor, h: Tensor, initial: Tensor | None) -> Tensor:
    """Σ at_h[n] ⊗ h[m] over all nodes n, with m the predecessor of n."""
    first = chains.num_chains
    total = at_h[first:].t() @ chains.previous(h)
    return total if initial is None else total.addmm_(at_h[:first].t(), initial)


def _plain_gradients(
    equations: Equations, chains: Chains, inputs: Sequence[Any], needed: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """The gradients needed, by plain PyTorch, for derivatives of any order."""
    with torch.enable_grad():
        # A view of each: one may be computed from another, or be the same tensor, and these are partial derivatives.
        named: list[Any] = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs]
        x, initial, *weights = named
        h = x.new_zeros(chains.num_chains, weights[1].shape[1]) if initial is None else initial
        states = []
        for rows in x.split(chains.counts):
            h = equations.step(rows, h[: len(rows)], *weights)
            states.append(h)
        wanted = [tensor for tensor, is_needed in zip(named, needed, strict=True) if is_needed]
        found = iter(torch.autograd.grad(torch.cat(states), wanted, grad, create_graph=True))
    return [next(found) if is_needed else None for is_needed in needed]

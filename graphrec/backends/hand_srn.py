"""The simple recurrent network over chains, with two operations a step in each pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Fused
from ..schedule import Chains

# In place, and so called as autograd calls them; both take the function's result.
_THROUGH_TANH = torch.ops.aten.tanh_backward.grad_input
_THROUGH_RELU = torch.ops.aten.threshold_backward.grad_input


class SRN:
    """h_t = f(W x_t + U h_{t-1} + b)"""

    def __init__(self, relu: bool) -> None:
        self._relu = relu

    def weights(self, fused: Fused) -> tuple[Tensor, Tensor, Tensor]:
        """From torch's weights W, U and one bias for both, by differentiable operations."""
        biases = [bias for bias in (fused.b_ih, fused.b_hh) if bias is not None]
        return fused.w_ih, fused.w_hh, sum(biases, fused.w_hh.new_zeros(len(fused.w_hh)))

    def step(self, x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
        """h after one step, in plain PyTorch."""
        z = x @ w.t() + h @ u.t() + b
        return torch.relu(z) if self._relu else torch.tanh(z)

    def forward(
        self, chains: Chains, x: Tensor, initial: Tensor | None, w: Tensor, u: Tensor, b: Tensor
    ) -> tuple[Tensor, None]:
        """h `[N, H]`, f applied in place, and nothing else for the backward pass; x and h stand step by step."""
        h = torch.addmm(b, x, w.t())
        recurrent, f = u.t().contiguous(), torch.relu_ if self._relu else torch.tanh_
        for step, earlier in zip(h.split(chains.counts), [initial, *chains.read(h)], strict=True):
            if earlier is not None:
                step.addmm_(earlier, recurrent)
            f(step)
        return h, None

    def backward(
        self, chains: Chains, grad: Tensor, h: Tensor, kept: Any, u: Tensor, of_initial: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of W x, of U h and of b, a row for each node: that of h becomes that of f's argument.

        Args:
            grad: `[N, H]`, of h; is overwritten.
            of_initial: zeros `[B, H]`, to be written into; None if it is not wanted.
        """
        steps = zip(
            grad.split(chains.counts), h.split(chains.counts), [of_initial, *chains.read(grad)], strict=True
        )
        for step, f, earlier in reversed(list(steps)):
            if self._relu:
                _THROUGH_RELU(step, f, 0, grad_input=step)
            else:
                _THROUGH_TANH(step, f, grad_input=step)
            if earlier is not None:
                earlier.addmm_(step, u)
        return grad, grad, grad

"""The SRN and the GRU over chains, with their reverse derived by hand.

All rows of a step are updated at once, in place, through views that are cut before the loop; a step is two
operations for the SRN and five for the GRU, two and three on the way back. What does not depend on order is done for
all nodes together: products with inputs before the sweep, the derivatives of gates before the reverse sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..cell import Fused
from .layout import Layout

# In place, which is why they are called as autograd calls them; both take the function's result.
_THROUGH_TANH = torch.ops.aten.tanh_backward.grad_input
_THROUGH_RELU = torch.ops.aten.threshold_backward.grad_input


class Equations:
    """What a cell computes in the places of a layout; x and all results are in its order.

    Attributes:
        step: the same for one step, as torch's operator: `(x, h, w_ih, w_hh, b_ih, b_hh) → h`.
    """

    step: Callable[..., Tensor]

    def forward(
        self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused
    ) -> tuple[Tensor, Tensor | None]:
        """h `[N, H]`, and what else the reverse sweep needs."""
        raise NotImplementedError

    def infer(self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused) -> Tensor:
        """h alone."""
        return self.forward(layout, x, initial, weights)[0]

    def backward(
        self, layout: Layout, grad: Tensor, h: Tensor, kept: Any, w_hh: Tensor, initial_grad: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The gradients at the products with `permute(w_ih)` and with w_hh, `[N, V]` each.

        Args:
            grad: `[N, H]`, of h; is written into.
            initial_grad: zeros `[B, H]`, to be written into; None if it is not asked for.
        """
        raise NotImplementedError

    def permute(self, w_ih: Tensor) -> Tensor:
        """The weight of the inputs, its gates in the order in which they are computed."""
        return w_ih

    def unpermute(self, w_ih: Tensor) -> Tensor:
        """Its inverse."""
        return w_ih


class SRN(Equations):
    """h_t = f(W x_t + U h_{t-1} + b)"""

    def __init__(self, relu: bool) -> None:
        self._relu = relu
        self.step = torch.rnn_relu_cell if relu else torch.rnn_tanh_cell

    def forward(
        self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused
    ) -> tuple[Tensor, None]:
        """f is applied where its argument stood."""
        bias = weights.b_ih if weights.b_hh is None else weights.b_hh
        if weights.b_ih is not None and weights.b_hh is not None:
            bias = weights.b_ih + weights.b_hh
        inputs = weights.w_ih.t()
        h = torch.mm(x, inputs) if bias is None else torch.addmm(bias, x, inputs)
        recurrent, f = weights.w_hh.t().contiguous(), torch.relu_ if self._relu else torch.tanh_
        earlier, chains = initial, layout.chains.num_chains
        for count, step in zip(layout.chains.counts, layout.steps(h), strict=True):
            if earlier is not None:
                step.addmm_(earlier if count == chains else earlier[:count], recurrent)
            earlier, chains = f(step), count
        return h, None

    def backward(
        self, layout: Layout, grad: Tensor, h: Tensor, kept: Any, w_hh: Tensor, initial_grad: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The gradient of h becomes that of f's argument."""
        steps = zip(layout.steps(grad), layout.steps(h), [initial_grad, *layout.read(grad)], strict=True)
        for step, f, earlier in reversed(list(steps)):
            if self._relu:
                _THROUGH_RELU(step, f, 0, grad_input=step)
            else:
                _THROUGH_TANH(step, f, grad_input=step)
            if earlier is not None:
                earlier.addmm_(step, w_hh)
        return grad, grad


class GRU(Equations):
    """h_t = (1 - z_t) * n_t + z_t * h_{t-1}, with n_t = tanh(W_n x_t + r_t * u_t) and u_t = U_n h_{t-1} + d_n.

    A row of the gates holds n, r, z, u: the first three begin as products with x, the last three are added to by
    products with h_{t-1}.
    """

    step = staticmethod(torch.gru_cell)

    def permute(self, w_ih: Tensor) -> Tensor:
        """r, z, n to n, r, z."""
        return w_ih.roll(w_ih.shape[0] // 3, 0)

    def unpermute(self, w_ih: Tensor) -> Tensor:
        """n, r, z to r, z, n."""
        return w_ih.roll(-(w_ih.shape[0] // 3), 0)

    def forward(
        self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused
    ) -> tuple[Tensor, Tensor]:
        """Also keeps the gates, `[N, 4H]`."""
        hidden, bias = weights.w_hh.shape[1], self._bias(weights)
        gates, h = x.new_empty(x.shape[0], 4 * hidden), x.new_empty(x.shape[0], hidden)
        torch.addmm(bias[: 3 * hidden], x, self.permute(weights.w_ih).t(), out=gates[:, : 3 * hidden])
        gates[:, 3 * hidden :] = bias[3 * hidden :]
        recurrent = weights.w_hh.t().contiguous()
        sigmoid_, tanh_, lerp = torch.sigmoid_, torch.tanh_, torch.lerp
        views = (gates[:, hidden:], gates[:, hidden : 3 * hidden], *gates.split(hidden, 1), h)
        earlier, chains = initial, layout.chains.num_chains
        for count, rzu, rz, n, r, z, u, new in zip(
            layout.chains.counts, *map(layout.steps, views), strict=True
        ):
            if earlier is None:
                earlier = torch.zeros_like(new)
            else:
                earlier = earlier if count == chains else earlier[:count]
                rzu.addmm_(earlier, recurrent)
            sigmoid_(rz)
            earlier, chains = lerp(tanh_(n.addcmul_(r, u)), earlier, z, out=new), count
        return h, gates

    def infer(self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused) -> Tensor:
        """The same with one row of gates per chain, which every step writes over."""
        hidden, bias = weights.w_hh.shape[1], self._bias(weights)
        x_n = torch.addmm(bias[:hidden], x, weights.w_ih[2 * hidden :].t())
        x_rz = torch.addmm(bias[hidden : 3 * hidden], x, weights.w_ih[: 2 * hidden].t())
        bias[: 3 * hidden] = 0  # what is left belongs to u
        h, bias, recurrent = torch.empty_like(x_n), bias[hidden:], weights.w_hh.t().contiguous()
        gates = bias.expand(layout.chains.num_chains, -1).clone()
        rz, (r, z, u) = gates[:, : 2 * hidden], gates.split(hidden, 1)
        addmm, sigmoid_, tanh_, lerp = torch.addmm, torch.sigmoid_, torch.tanh_, torch.lerp
        earlier, chains = initial, layout.chains.num_chains
        for count, of_rz, n, new in zip(
            layout.chains.counts, *map(layout.steps, (x_rz, x_n, h)), strict=True
        ):
            if earlier is None:
                earlier = torch.zeros_like(new)
            else:
                if count < chains:
                    gates, rz, r, z, u, earlier = (rows[:count] for rows in (gates, rz, r, z, u, earlier))
                addmm(bias, earlier, recurrent, out=gates)
            sigmoid_(rz.add_(of_rz))
            earlier, chains = lerp(tanh_(n.addcmul_(r, u)), earlier, z, out=new), count
        return h

    def _bias(self, weights: Fused) -> Tensor:
        """`[4H]`, for n, r, z, u."""
        hidden = weights.w_hh.shape[1]
        bias = weights.w_hh.new_zeros(4 * hidden)
        if weights.b_ih is not None:
            bias[: 3 * hidden] += self.permute(weights.b_ih)
        if weights.b_hh is not None:
            bias[hidden:] += weights.b_hh
        return bias

    def backward(
        self, layout: Layout, grad: Tensor, h: Tensor, kept: Any, w_hh: Tensor, initial_grad: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The derivatives of h in the gates become gradients when that of h has arrived."""
        hidden = h.shape[1]
        n, r, z, u = kept.split(hidden, 1)
        gates = torch.empty_like(kept)
        of_n, of_r, of_z, of_u = gates.split(hidden, 1)
        new = 1 - z
        torch.mul(h - n, new, out=of_z)  # h - n is z * (h_{t-1} - n)
        torch.addcmul(new, new * n, n, value=-1, out=of_n)
        torch.mul(of_n, r, out=of_u)
        torch.mul(of_u, u, out=of_r).addcmul_(of_r, r, value=-1)
        rzu = gates[:, hidden:]
        views = (grad, grad.unsqueeze(1), rzu, rzu.unflatten(1, (3, hidden)), z)
        steps = zip(*map(layout.steps, views), [initial_grad, *layout.read(grad)], strict=True)
        for of_h, of_h_wide, of_gates, of_each, z_t, earlier in reversed(list(steps)):
            of_each.mul_(of_h_wide)
            if earlier is not None:
                earlier.addcmul_(of_h, z_t).addmm_(of_gates, w_hh)
        of_n.mul_(grad)
        return gates[:, : 3 * hidden], rzu

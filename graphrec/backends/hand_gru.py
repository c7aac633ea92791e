"""The gated recurrent unit over chains, with five operations a step, and three in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Fused
from ..schedule import Chains


class GRU:
    """h_t = (1 - z_t) * n_t + z_t * h_{t-1}, with n_t = tanh(W_n x_t + b_n + r_t * u_t) and u_t = U_n h_{t-1} + d_n.

    A row of the gates holds n, r, z, u: the first three begin as products with x, to the last three products with
    h_{t-1} are added.
    """

    def weights(self, fused: Fused) -> tuple[Tensor, Tensor, Tensor]:
        """W for n, r, z; U for r, z, u; b for n, r, z, u."""
        hidden, none = fused.w_hh.shape[1], fused.w_hh.new_zeros(len(fused.w_hh))
        b_r, b_z, b_n = (none if fused.b_ih is None else fused.b_ih).split(hidden)
        d_r, d_z, d_n = (none if fused.b_hh is None else fused.b_hh).split(hidden)
        return fused.w_ih.roll(hidden, 0), fused.w_hh, torch.cat([b_n, b_r + d_r, b_z + d_z, d_n])

    def step(self, x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
        """One step, in plain PyTorch."""
        b_n, b_r, b_z, b_u = b.chunk(4)
        x_n, x_r, x_z = (x @ w.t()).chunk(3, dim=1)
        h_r, h_z, h_u = (h @ u.t()).chunk(3, dim=1)
        r, z = torch.sigmoid(x_r + h_r + b_r), torch.sigmoid(x_z + h_z + b_z)
        n = torch.tanh(x_n + b_n + r * (h_u + b_u))
        return (1 - z) * n + z * h

    def forward(
        self, chains: Chains, x: Tensor, initial: Tensor | None, w: Tensor, u: Tensor, b: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Also keeps the gates, `[N, 4H]`."""
        hidden = u.shape[1]
        gates, h = x.new_empty(x.shape[0], 4 * hidden), x.new_empty(x.shape[0], hidden)
        torch.addmm(b[: 3 * hidden], x, w.t(), out=gates[:, : 3 * hidden])
        gates[:, 3 * hidden :] = b[3 * hidden :]
        recurrent = u.t().contiguous()
        sigmoid_, tanh_, lerp = torch.sigmoid_, torch.tanh_, torch.lerp
        parts = (gates[:, hidden:], gates[:, hidden : 3 * hidden], *gates.split(hidden, 1), h)
        steps = zip(*(part.split(chains.counts) for part in parts), [initial, *chains.read(h)], strict=True)
        for rzu, rz, n, r, z, u_t, new, earlier in steps:
            if earlier is not None:
                rzu.addmm_(earlier, recurrent)
            sigmoid_(rz)
            lerp(tanh_(n.addcmul_(r, u_t)), torch.zeros_like(new) if earlier is None else earlier, z, out=new)
        return h, gates

    def backward(
        self, chains: Chains, grad: Tensor, h: Tensor, kept: Any, u: Tensor, of_initial: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The derivatives of h by the gates become gradients once that of h is known."""
        hidden = h.shape[1]
        n, r, z, u_t = kept.split(hidden, 1)
        gates = torch.empty_like(kept)
        of_n, of_r, of_z, of_u = gates.split(hidden, 1)
        new = 1 - z
        torch.mul(h - n, new, out=of_z)  # h - n is z * (h_{t-1} - n)
        torch.addcmul(new, new * n, n, value=-1, out=of_n)
        torch.mul(of_n, r, out=of_u)
        torch.mul(of_u, u_t, out=of_r).addcmul_(of_r, r, value=-1)
        rzu = gates[:, hidden:]
        parts = (grad, grad.unsqueeze(1), rzu, rzu.unflatten(1, (3, hidden)), z)
        steps = zip(
            *(part.split(chains.counts) for part in parts), [of_initial, *chains.read(grad)], strict=True
        )
        for of_h, of_h_wide, of_gates, of_each, z_t, earlier in reversed(list(steps)):
            of_each.mul_(of_h_wide)
            if earlier is not None:
                earlier.addcmul_(of_h, z_t).addmm_(of_gates, u)
        of_n.mul_(grad)
        return gates[:, : 3 * hidden], rzu, gates

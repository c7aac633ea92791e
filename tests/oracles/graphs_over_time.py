"""Recurrent units with convolutions over a graph: a loop over snapshots, by dense matrices.

Each takes the cell, the matrices of each snapshot, a list of `[K, N, N]`, x `[T, N, D]` and the state before the first
snapshot, a tuple of `[N, H]`; it returns the states after each, `[T, N, H]` each.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, sigmoid, tanh


def polynomials(W: Tensor, k: int) -> Tensor:
    """`[k, N, N]`: Defferrard et al. (2016), section 2.1, of weights that are the same both ways."""
    one = torch.eye(len(W), dtype=W.dtype)
    W = W * (1 - one)
    degree = W.sum(1)
    root = torch.where(degree > 0, degree, torch.inf) ** -0.5
    scaled = -root[:, None] * W * root  # 2 L / 2 - 1
    found = [one, scaled]
    for _ in range(k):
        found.append(2 * scaled @ found[-1] - found[-2])
    return torch.stack(found[:k])


def walks(W: Tensor, k: int) -> Tensor:
    """`[2 k - 1, N, N]`: Li et al. (2018), equation (2), W_ij being the weight of i → j."""
    found = [torch.eye(len(W), dtype=W.dtype)]
    for matrix in (W, W.t()):
        degree = matrix.sum(1, keepdim=True)
        walk = torch.where(degree > 0, matrix / degree, 0 * matrix)
        found += [torch.linalg.matrix_power(walk, n) for n in range(1, k)]
    return torch.stack(found)


def convolve(layer: Any, matrices: Tensor, x: Tensor, h: Tensor) -> Tensor:
    """sum_k M_k [x, h] W_k + b, one matrix after another."""
    values = torch.cat([x, h], dim=1)
    parts = layer.weight.chunk(len(matrices), dim=1)
    return sum((M @ values @ W.t() for M, W in zip(matrices, parts, strict=True)), layer.bias)


def graph_gru(cell: Any, matrices: list[Tensor], x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """GConvGRU, Seo et al. (2016), and DCRNN, Li et al. (2018), equation (3)."""
    gates, candidate = (part.convolution for part in list(cell.cells)[:2])
    (h,), found = state, []
    for M, x_t in zip(matrices, x, strict=True):
        r, z = sigmoid(convolve(gates, M, x_t, h)).chunk(2, dim=1)
        n = tanh(convolve(candidate, M, x_t, r * h))
        h = z * h + (1 - z) * n
        found.append(h)
    return (torch.stack(found),)


def graph_lstm(cell: Any, matrices: list[Tensor], x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """GConvLSTM: Seo et al. (2016), model 2."""
    layer, (w_i, w_f, w_o) = cell.cells[0].convolution, cell.cells[0].peepholes
    (h, c), found = state, []
    for M, x_t in zip(matrices, x, strict=True):
        z_i, z_f, z_c, z_o = convolve(layer, M, x_t, h).chunk(4, dim=1)
        i, f = sigmoid(z_i + w_i * c), sigmoid(z_f + w_f * c)
        c = f * c + i * tanh(z_c)
        h = sigmoid(z_o + w_o * c) * tanh(c)
        found.append((h, c))
    hs, cs = zip(*found, strict=True)
    return torch.stack(hs), torch.stack(cs)

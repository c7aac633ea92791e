"""The matrix products of a Child-Sum Tree-LSTM by themselves: what no order of the rest can save."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..peers import Layer

Product = Callable[[], Tensor]


class Products:
    """Products of the same sizes, by `torch.mm` into memory that is there; nothing is gathered, added or kept.

    W for all nodes at once; U for the children's sums of a level and U_f for their edges, level by level, without the
    leaves, where both are zero. In training their gradients by rows likewise, and those of each matrix in one
    product over all rows.

    Args:
        layer: its sizes and weights.
        level: `[N]`, of each node.
    """

    def __init__(self, layer: Layer, level: Tensor) -> None:
        weights, target = layer.weights, layer.edge_index[1]
        edges = torch.bincount(level[target])[1:].tolist()
        inner = torch.bincount(level[target.unique()])[1:].tolist()
        self.forward = [_rows(layer.nodes, weights.input.t())]
        self.backward: list[Product] = []
        for nodes, into in zip(inner, edges, strict=True):
            self.forward += [_rows(nodes, weights.iou.t()), _rows(into, weights.forget.t())]
            self.backward += [_rows(nodes, weights.iou), _rows(into, weights.forget)]
        self.backward += [_rows(layer.nodes, weights.input), _gradient(layer.nodes, weights.input)]
        self.backward += [_gradient(sum(inner), weights.iou), _gradient(sum(edges), weights.forget)]

    def infer(self) -> None:
        """Those of the forward pass."""
        for product in self.forward:
            product()

    def train(self) -> None:
        """All."""
        for product in (*self.forward, *self.backward):
            product()


def _rows(count: int, factor: Tensor) -> Product:
    """`[count, k]` times `[k, n]`."""
    rows = torch.randn(count, factor.shape[0])
    return partial(torch.mm, rows, factor, out=rows.new_empty(count, factor.shape[1]))


def _gradient(count: int, weight: Tensor) -> Product:
    """`[m, count]` times `[count, k]`, for a weight of `[m, k]`."""
    rows, upstream = (torch.randn(count, width) for width in (weight.shape[1], weight.shape[0]))
    return partial(torch.mm, upstream.t(), rows, out=torch.empty_like(weight))

"""Recurrent dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cells import Cell
from ..cells.cell import check_cell
from ..schedule import Schedule
from ..structure import as_structure
from .combine import check_share
from .model import Over
from .recursive import Recursive


class VariationalDropout(Recursive):
    """A recurrent cell with variational dropout: in training one mask per sequence, the same at every node of it.

    h_t = cell(m_x * x_t, m_h * h_{t-1}),  m drawn once per sequence, what is kept scaled by 1 / (1 - p)

    Gal & Ghahramani, *A theoretically grounded application of dropout in recurrent neural networks*, NIPS 2016,
    equations (4) to (7), with tied weights. The mask lies on what the cell's recurrent weights see of h; what a gate
    carries over is not masked.

    Args:
        cell: any cell with one slot whose recurrent weights are linear layers of its own.
        dropout: the share of x that is dropped.
        recurrent_dropout: the share of h that is dropped.

    Raises:
        ValueError: shares that are none, a cell with several slots, or without linear layers over its state.
    """

    def __init__(self, cell: Cell, dropout: float = 0.0, recurrent_dropout: float = 0.0) -> None:
        super().__init__(_Masked(cell))
        self.dropout = check_share("dropout", dropout)
        self.recurrent_dropout = check_share("recurrent_dropout", recurrent_dropout)

    def _task(self, x: Tensor, s: Over) -> tuple[Cell, Schedule, Tensor]:
        masked: Any
        masked, plan, x = super()._task(x, s)
        if not self.training:
            return masked.cell, plan, x
        structure = as_structure(s, x)
        of_x = F.dropout(x.new_ones(structure.num_graphs, x.shape[1]), self.dropout)
        of_h = F.dropout(x.new_ones(structure.num_graphs, masked.hidden), self.recurrent_dropout)
        x = x * of_x.index_select(0, structure.graph)
        return masked, plan, torch.cat([x, of_h.index_select(0, structure.graph)], dim=-1)


class _Masked(Cell):
    """A cell whose recurrent weights see h times a mask, which stands behind x in H columns of its own."""

    def __init__(self, cell: Cell) -> None:
        check_cell(cell)
        if cell.arity != 1 or cell.inputs is None:
            raise ValueError(
                f"variational dropout takes a cell with one slot (arity 1) and inputs of known width, got "
                f"{type(cell).__name__}."
            )
        width = cell.shapes()[0][-1]
        super().__init__(cell.inputs + width, width)
        self.cell = cell
        self.State = cell.State
        self.arity = cell.arity
        self._over_state = [
            name for name, part in cell.named_children() if isinstance(part, nn.Linear) and name != "input"
        ]
        if not self._over_state:
            raise ValueError(
                f"{type(cell).__name__} has no linear layer over its state whose input could be masked: expected a "
                f"cell with recurrent weights in torch.nn.Linear."
            )

    def shapes(self) -> list[tuple[int, ...]]:
        return self.cell.shapes()

    def project(self, x: Tensor) -> Tensor:
        x, mask = x[:, : -self.hidden], x[:, -self.hidden :]
        return torch.cat([self.cell.project(x), mask], dim=-1)

    def forward(self, x: Tensor, inbox: Any, own: Any) -> Any:
        x, mask = x[:, : -self.hidden], x[:, -self.hidden :]
        with self._masking(mask):
            return self.cell(x, inbox, own)

    @contextmanager
    def _masking(self, mask: Tensor) -> Iterator[None]:
        """While this lasts, the inputs of the recurrent layers are masked."""

        def masked(layer: nn.Module, inputs: Any) -> Any:
            return (inputs[0] * mask,)

        layers = [getattr(self.cell, name) for name in self._over_state]
        hooks = [layer.register_forward_pre_hook(masked) for layer in layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

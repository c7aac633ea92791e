"""Recurrent dropout."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..cell import Cell
from ..cells.hooks import inputs_changed
from ..cells.wrapping import Wrapping
from ..schedule import Schedule
from ..structure import Structure
from ..structure.checks import as_share
from .delays import check_width
from .recursive import Recursive


class VariationalDropout(Recursive):
    """A recurrent cell with variational dropout: in training one mask per sequence, the same at every node of it.

        h_t = cell(m_x * x_t, m_h * h_{t-1}),  m drawn once per sequence, kept entries scaled by 1 / (1 - p)

    Gal & Ghahramani, *A theoretically grounded application of dropout in recurrent neural networks*, NIPS 2016,
    equations (4) to (7), with tied weights. The mask applies to h as the cell's recurrent weights read it; what a
    gate carries over is not masked.

    Args:
        cell: a cell with one slot that names its `recurrent_layers`, as the SRN, the LSTM and its variants, the GRU
            and the layer-normalised cells do.
        dropout: the probability with which x is dropped.
        recurrent_dropout: the probability with which h is dropped.

    Raises:
        ValueError: probabilities outside 0 to 1, another cell.
    """

    def __init__(self, cell: Cell, dropout: float = 0.0, recurrent_dropout: float = 0.0) -> None:
        super().__init__(cell)
        # In a tuple, so that it is not registered as a submodule: its weights are the cell's.
        self._masked = (_Masked(cell),)
        self.dropout: float = as_share("dropout", dropout)
        self.recurrent_dropout: float = as_share("recurrent_dropout", recurrent_dropout)

    def _task(self, x: Tensor, s: Structure) -> tuple[Cell, Schedule, Tensor]:
        cell, plan, x = super()._task(x, s)
        if not self.training:
            return cell, plan, x
        if self._masked[0].cell is not cell:
            self._masked = (_Masked(cell),)
        check_width("x", x, s.num_nodes, self.cell.inputs or 0)
        of_x = F.dropout(x.new_ones(s.num_graphs, x.shape[1]), self.dropout)
        of_h = F.dropout(x.new_ones(s.num_graphs, *cell.shapes()[0]), self.recurrent_dropout)
        x = x * of_x.index_select(0, s.graph)
        return self._masked[0], plan, torch.cat([x, of_h.index_select(0, s.graph)], dim=-1)


class _Masked(Wrapping):
    """A cell whose recurrent weights read h times a mask, which is given in H additional columns of x."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        if cell.arity != 1 or cell.inputs is None or not cell.recurrent_layers:
            raise ValueError(
                f"variational dropout takes a cell with one slot that names its recurrent_layers, got "
                f'{type(cell).__name__}: say which layers multiply h, recurrent_layers = ("...",).'
            )
        self.width = cell.shapes()[0][-1]
        self.inputs = cell.inputs + self.width

    def project(self, x: Tensor) -> Tensor:
        x, mask = x[:, : -self.width], x[:, -self.width :]
        return torch.cat([self.cell.project(x), mask], dim=-1)

    def forward(self, x: Tensor, inbox: Any, own: Any) -> Any:
        x, mask = x[:, : -self.width], x[:, -self.width :]
        with inputs_changed(self.cell, self.cell.recurrent_layers, lambda h: h * mask):
            return self.cell(x, inbox, own)

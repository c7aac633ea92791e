"""Models that streams are made of, and the states with which they begin."""

from __future__ import annotations

import torch
from torch import Tensor

import graphrec as gr

B, D, H = 3, 2, 4
MODELS = {
    "SRN": lambda: gr.SRN(D, H),
    "LSTM": lambda: gr.LSTM(D, H),
    "GRU": lambda: gr.GRU(D, H),
    "TreeLSTM": lambda: gr.TreeLSTM(D, H),
    "stack": lambda: gr.Stacked([gr.LSTM(D, H), gr.GRU(H, H + 1)]),
}


def squares(h: Tensor) -> Tensor:
    return h.pow(2).sum()


def zeros(model: gr.Model) -> list:
    """The initial states of a model, one row for all."""
    cells = [layer.cell for layer in model.modules() if isinstance(layer, gr.Recursive)]
    return [cell.State(*(torch.zeros(1, *shape).double() for shape in cell.shapes())) for cell in cells]

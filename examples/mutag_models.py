"""What `mutag.py` compares: three networks over molecules or other graphs, each a few lines around rounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.aggr import Set2Set

import graphrec as gr


class GIN(nn.Module):
    """Xu et al.'s network: four rounds; after each, and on the inputs, a linear layer over the sum of all nodes.

    Args:
        atoms, bonds: how many kinds there are; GIN ignores bonds.
        hidden: the width of states.
        dropout: of the layers' outputs.
        classes: of graphs.
        rounds: how many.
    """

    def __init__(
        self, atoms: int, bonds: int, hidden: int, dropout: float, classes: int = 2, rounds: int = 4
    ) -> None:
        super().__init__()
        widths = [atoms] + [hidden] * (rounds - 1)
        self.rounds = gr.GNN([gr.GINCell(width, hidden, _perceptron(width, hidden)) for width in widths])
        self.answers: Any = nn.ModuleList(nn.Linear(width, classes) for width in [*widths, hidden])
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: Any) -> Tensor:
        """`[G, C]`: logits of the classes, on MUTAG of harmless and mutagenic."""
        sums = [gr.readout.sum(h, batch) for h in self._states(batch)]
        said = [self.dropout(answer(h)) for answer, h in zip(self.answers, sums, strict=True)]
        return torch.stack(said).sum(0)

    def shares(self, batch: Any) -> Tensor:
        """`[N]`: what each atom adds to the logit of the last class (mutagenic), minus the mean of the
        others'; without biases."""
        across = [answer.weight[-1] - answer.weight[:-1].mean(0) for answer in self.answers]
        return torch.stack([h @ w for w, h in zip(across, self._states(batch), strict=True)]).sum(0)

    def _states(self, batch: Any) -> list[Tensor]:
        return [batch.x, *self.rounds.rounds(batch.x, batch)]


def _perceptron(inputs: int, hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
    )


class MPNN(nn.Module):
    """Gilmer et al.'s network: three rounds with shared weights, a matrix for each bond, and set2set at the end."""

    def __init__(self, atoms: int, bonds: int, hidden: int, dropout: float, classes: int = 2) -> None:
        super().__init__()
        self.embed, width = _embedding(atoms, hidden)
        self.rounds = gr.Recursive(gr.MPNNCell(width, hidden, edges=bonds), mode="sync", rounds=3)
        self.read = Set2Set(hidden, processing_steps=3)
        self.answer = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * hidden, classes))

    def forward(self, batch: Any) -> Tensor:
        """`[G, C]`."""
        h = self.rounds(self.embed(batch.x), batch)
        return self.answer(gr.readout.aggregate(h, batch, self.read))


class GGNN(nn.Module):
    """Li et al.'s network: four rounds with shared weights, a matrix for each kind of bond, and the gated readout."""

    def __init__(self, atoms: int, bonds: int, hidden: int, dropout: float, classes: int = 2) -> None:
        super().__init__()
        self.embed, width = _embedding(atoms, hidden)
        self.rounds = gr.Recursive(gr.GGNNCell(width, hidden, relations=bonds), mode="sync", rounds=4)
        self.read = gr.readout.Gated(hidden, width)
        self.answer = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, classes))

    def forward(self, batch: Any) -> Tensor:
        """`[G, C]`."""
        x = self.embed(batch.x)
        return self.answer(self.read(self.rounds(x, batch), batch, x))


def _embedding(inputs: int, hidden: int) -> tuple[nn.Module, int]:
    """The initial state of both networks is the input, which must not be wider; and the width of the state."""
    return (nn.Identity(), inputs) if inputs <= hidden else (nn.Linear(inputs, hidden), hidden)

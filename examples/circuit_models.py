"""What `circuits.py` compares: networks over gate-level circuits, a cell that is no network, and how all are trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import learning
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torchmetrics import MeanMetric

import graphrec as gr
from graphrec.datasets.circuits import Kind

KINDS = (Kind.INPUT, Kind.NOT, Kind.AND, Kind.LATCH)  # all that and-inverter graphs have
INPUT, NOT, AND, LATCH = range(len(KINDS))
CODE = 24  # numbers by which inputs are told apart
D = len(KINDS) + CODE
ROUNDS = 10  # of networks that have so many however deep a circuit is


def features(batch: Any, code: Tensor) -> Tensor:
    """`[N, D]`: the kind of each gate, one-hot, and the code of its own that a gate has which reads nothing."""
    begins = (batch.node_type == INPUT) | (batch.node_type == LATCH)
    return torch.cat([one_hot(batch.node_type, len(KINDS)).float(), code * begins.unsqueeze(1)], dim=1)


def draw_code(nodes: int, generator: torch.Generator | None = None) -> Tensor:
    """`[N, CODE]`, of 1 and -1. Without codes a AND b would look like c AND d."""
    return 2.0 * torch.randint(2, (nodes, CODE), generator=generator) - 1


class Gates(nn.Module):
    """How probable it is that each gate is 1, and whether the gates of each pair compute the same.

    Args:
        encode: called with features `[N, D]` and a structure; returns `[N, width]`.
        width: of its rows.
        hidden: of the layers between.
    """

    def __init__(self, encode: nn.Module, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.encode = encode
        self.one = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.same = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, batch: Any) -> Tensor:
        """`[N + P]`: logits of the gates, then those of the pairs."""
        # In training inputs have other codes each time, lest these be learnt by heart.
        code = draw_code(batch.num_nodes) if self.training else batch.code
        h = self.encode(features(batch, code), gr.from_pyg(batch))
        one, other = batch.pair_index
        logits = [self.one(h), self.same((h[one] - h[other]).square())]
        return torch.cat(logits).squeeze(1)


class Teacher(learning.Learner):
    """Trains `Gates` on both at once: the absolute error of probabilities, and the cross entropy of pairs."""

    def __init__(self, network: Gates, lr: float) -> None:
        metrics = {"error": GateError(), "pairs": PairAccuracy()}
        super().__init__(network, metrics, lr=lr, weight_decay=0.0)

    def targets(self, batch: Any) -> Tensor:
        """`[N + P, 2]`: what is to be said, and whether of a pair."""
        said = torch.cat([batch.y, batch.pair_y.float()])
        return torch.stack([said, (torch.arange(len(said)) >= len(batch.y)).float()], dim=1)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The sum of both."""
        said, of_pair = y[:, 0], y[:, 1] == 1
        error = (torch.sigmoid(outputs[~of_pair]) - said[~of_pair]).abs().mean()
        if not of_pair.any():
            return error
        return error + 0.3 * binary_cross_entropy_with_logits(outputs[of_pair], said[of_pair])


class GateError(MeanMetric):
    """The mean absolute error of the probabilities."""

    def update(self, value: Any, weight: Any = None) -> None:
        """What `Gates` returns, and the targets."""
        gates = weight[:, 1] == 0
        super().update((torch.sigmoid(value[gates]) - weight[gates, 0]).abs())


class PairAccuracy(MeanMetric):
    """The share of pairs that are judged rightly."""

    def update(self, value: Any, weight: Any = None) -> None:
        """What `Gates` returns, and the targets."""
        pairs = weight[:, 1] == 1
        if pairs.any():
            super().update(((value[pairs] > 0) == (weight[pairs, 0] == 1)).float())


class Lifted(nn.Module):
    """A linear layer, then a model whose nodes begin with their inputs."""

    def __init__(self, model: nn.Module, hidden: int) -> None:
        super().__init__()
        self.lift = nn.Linear(D, hidden)
        self.model = model

    def forward(self, x: Tensor, s: gr.Structure) -> Tensor:
        """`[N, H]`."""
        return self.model(torch.tanh(self.lift(x)), s)


class Rounds(nn.Module):
    """A cell in rounds in which all gates hear of each other at once.

    Args:
        cell: the equations, the same in all rounds.
        rounds: how many, or None: as many as the deepest circuit of the batch has levels.
        both: whether gates also hear of those that read them, by edges of relation 1.
    """

    def __init__(self, cell: gr.Cell, rounds: int | None = ROUNDS, both: bool = False) -> None:
        super().__init__()
        self.cell, self.rounds, self.both = cell, rounds, both

    def forward(self, x: Tensor, s: gr.Structure) -> Tensor:
        """`[N, H]`."""
        rounds = self.rounds or max(1, int(gr.levels(s).max()))
        plan = gr.schedule(_both_ways(s) if self.both else s, "sync", rounds)
        return gr.run(self.cell, plan, x)[0]


def _both_ways(s: gr.Structure) -> gr.Structure:
    relation = torch.arange(2).repeat_interleave(s.num_edges)
    edge_index = torch.cat([s.edge_index, s.edge_index.flip(0)], dim=1)
    plain = {"slot": torch.zeros_like(relation), "level": None, "level_reversed": None}
    return s.replace(edge_index=edge_index, relation=relation, **plain)


def per_kind(cell: Callable[[int, int], gr.Cell], inputs: int, hidden: int, latches: bool = False) -> gr.Cell:
    """A cell of its own for each kind of gate."""
    return gr.PerKind([cell(inputs, hidden) for _ in range(len(KINDS) if latches else LATCH)])


def networks() -> dict[str, Callable[[], Gates]]:
    """What is compared on circuits without latches, by name. All have about as many weights."""

    def in_order(cell: Callable[[int, int], gr.Cell], hidden: int) -> Callable[[], Gates]:
        return lambda: Gates(gr.Recursive(per_kind(cell, D, hidden)), hidden)

    def up_down() -> Gates:
        up, down = (gr.Recursive(per_kind(gr.DVAECell, inputs, 22)) for inputs in (D, D + 22))
        return Gates(gr.UpDown(up, down), 22)

    def gin(rounds: int | None) -> Gates:
        layers = nn.Sequential(nn.Linear(92, 92), nn.ReLU(), nn.Linear(92, 92), nn.LayerNorm(92))
        return Gates(Lifted(Rounds(gr.GINCell(92, 92, layers), rounds), 92), 92)

    return {
        "D-VAE cells per kind": in_order(gr.DVAECell, 34),
        "DAGNN cells per kind": in_order(gr.DAGNNCell, 40),
        "Tree-LSTM cells per kind": in_order(gr.ChildSumTreeLSTMCell, 34),
        "D-VAE cells, up and down": up_down,
        "PyG's SAGEConv": lambda: Gates(Lifted(gr.Layerwise(pyg.SAGEConv(92, 92)), 92), 92),
        "D-VAE cells, 10 rounds": lambda: Gates(Rounds(per_kind(gr.DVAECell, D, 34)), 34),
        "GIN, 10 rounds": lambda: gin(ROUNDS),
        "GIN, depth rounds": lambda: gin(None),
        "GGNN both ways, 10 rounds": lambda: Gates(
            Lifted(Rounds(gr.GGNNCell(46, 46, relations=2), both=True), 46), 46
        ),
    }

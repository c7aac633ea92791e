"""A network whose gradients are written out by hand, and the structures that it runs over."""

from __future__ import annotations

from collections import namedtuple

import torch
from torch import Tensor, nn

import graphrec as gr


class SumCell(gr.Cell):
    """h_k = tanh(W x_k + U (sum of h over the sources of k) + b)."""

    State = namedtuple("State", "h")

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.input = nn.Linear(inputs, hidden)
        self.recurrent = nn.Linear(hidden, hidden, bias=False)

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.recurrent(inbox.sum(inbox.h))))


STRUCTURES = {
    "chain": gr.chain(9),
    "chains": gr.chains([4, 7, 1]),
    "tree": gr.tree("(0 (1 (2 a) (3 b)) (4 (5 c) (6 (7 d) (8 (9 e) (10 f)))))"),
    # A long path beside short ones, an edge that is there twice, a node that sends to three.
    "dag": gr.dag(
        torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4], [1, 4], [4, 5], [4, 5], [0, 5]]).t(), 7
    ),
}


def by_hand(cell: SumCell, s: gr.Structure, x: Tensor, h: Tensor) -> Tensor:
    """One round of the network from states h `[N, H]`, in plain torch."""
    received = torch.zeros_like(h).index_add(0, s.target, h[s.source])
    return torch.tanh(x @ cell.input.weight.T + cell.input.bias + received @ cell.recurrent.weight.T)


def states_by_hand(cell: SumCell, s: gr.Structure, x: Tensor) -> Tensor:
    """`[N, H]`: after as many rounds as there are nodes, nothing changes any more."""
    h = x.new_zeros(s.num_nodes, cell.hidden)
    for _ in range(s.num_nodes):
        h = by_hand(cell, s, x, h)
    return h


def targets(s: gr.Structure, node: int) -> list[int]:
    """The nodes that a node sends to, once for each edge."""
    return s.target[s.source == node].tolist()


def outermost_first(s: gr.Structure) -> list[int]:
    """All nodes, each behind all that it sends to."""
    return sorted(range(s.num_nodes), key=lambda node: -int(gr.levels(s)[node]))


def gradients_of(module: nn.Module) -> dict[str, Tensor | None]:
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}

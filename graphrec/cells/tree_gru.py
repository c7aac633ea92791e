"""Gated recurrent units on trees."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_count, as_widths


class TreeGRUCell(Cell):
    """The Child-Sum Tree-GRU: any number of unordered children; a reset gate for each.

        h~ = sum_k h_k
        z  = sigmoid(W_z x + U_z h~ + b_z)
        r_k = sigmoid(W_r x + U_r h_k + b_r)
        n  = tanh(W_n x + U_n sum_k (r_k * h_k) + b_n)
        h  = z * h~ + (1 - z) * n

    The gated recurrent unit of Cho et al., *Learning phrase representations using RNN encoder-decoder*, EMNLP
    2014, equations (5) to (8), with children summed as in the Child-Sum Tree-LSTM (Tai et al. 2015, equation
    (2)). On a chain it is that unit, with the reset before the matrix product.

    Args:
        inputs: D.
        hidden: H.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    reads_edges: Any = ()

    class State(NamedTuple):
        """The hidden state."""

        h: Tensor

    def __init__(self, inputs: int, hidden: int) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input: nn.Linear = nn.Linear(inputs, 3 * hidden)  # W and b of z, r, n
        self.update: nn.Linear = nn.Linear(hidden, hidden, bias=False)  # U_z
        self.reset: nn.Linear = nn.Linear(hidden, hidden, bias=False)  # U_r
        self.candidate: nn.Linear = nn.Linear(hidden, hidden, bias=False)  # U_n

    def project(self, x: Tensor) -> Tensor:
        """W x + b of all gates and of the candidate."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        x_z, x_r, x_n = x.chunk(3, dim=-1)
        children = inbox.sum(inbox.h)
        z = torch.sigmoid(x_z + self.update(children))
        r = torch.sigmoid(inbox.to_edges(x_r) + self.reset(inbox.h))
        n = torch.tanh(x_n + self.candidate(inbox.sum(r * inbox.h)))
        return self.State(z * children + (1 - z) * n)


class NaryTreeGRUCell(Cell):
    """The N-ary Tree-GRU: children in slots, each with its own weights; every gate sees all of them.

        z  = sigmoid(W_z x + sum_l U_z^l h_l + b_z)
        r_k = sigmoid(W_r x + sum_l U_r^{kl} h_l + b_r)
        n  = tanh(W_n x + sum_l U_n^l (r_l * h_l) + b_n)
        h  = z * sum_l h_l + (1 - z) * n

    The Child-Sum Tree-GRU with weights for each slot, as the N-ary Tree-LSTM has them (Tai, Socher & Manning 2015,
    equations (9) to (14)), so that it tells the order of children. Such units are used by Tsakalos & Henriques,
    *Sentiment classification using N-ary tree-structured gated recurrent unit networks*, KDIR 2018. With one slot it is
    the Child-Sum Tree-GRU with one child.

    Args:
        inputs: D.
        hidden: H.
        arity: how many slots a node has; an empty one counts as a zero state.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    reads_edges: Any = ()

    class State(NamedTuple):
        """The hidden state."""

        h: Tensor

    def __init__(self, inputs: int, hidden: int, arity: int = 2) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.arity: int = as_count("arity", arity, 1)
        self.input: nn.Linear = nn.Linear(inputs, 3 * hidden)  # W and b of z, r, n
        self.gates: nn.Linear = nn.Linear(
            arity * hidden, (1 + arity) * hidden, bias=False
        )  # U of z, r_1 … r_arity
        self.candidate: nn.Linear = nn.Linear(arity * hidden, hidden, bias=False)  # U_n

    def project(self, x: Tensor) -> Tensor:
        """W x + b of all gates and of the candidate."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        x_z, x_r, x_n = x.chunk(3, dim=-1)
        children = inbox.slots(self.arity)
        u_z, u_r = self.gates(children.flatten(1)).split([self.hidden, self.arity * self.hidden], dim=-1)
        z = torch.sigmoid(x_z + u_z)
        r = torch.sigmoid(x_r.unsqueeze(1) + u_r.unflatten(1, (self.arity, self.hidden)))
        n = torch.tanh(x_n + self.candidate((r * children).flatten(1)))
        return self.State(z * children.sum(1) + (1 - z) * n)

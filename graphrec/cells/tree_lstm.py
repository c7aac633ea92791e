"""The Tree-LSTMs of Tai, Socher & Manning (2015)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_count, as_widths


class ChildSumTreeLSTMCell(Cell):
    """The Child-Sum Tree-LSTM: any number of unordered children; a forget gate for each.

        h~ = sum_k h_k                               (2)
        i  = sigmoid(W_i x + U_i h~ + b_i)           (3)
        f_k = sigmoid(W_f x + U_f h_k + b_f)         (4)
        o  = sigmoid(W_o x + U_o h~ + b_o)           (5)
        u  = tanh(W_u x + U_u h~ + b_u)              (6)
        c  = i * u + sum_k f_k * c_k                 (7)
        h  = o * tanh(c)                             (8)

    Tai, Socher & Manning, *Improved semantic representations from tree-structured long short-term memory
    networks*, ACL 2015, equations (2) to (8). On a chain it is the LSTM.

    Args:
        inputs: D.
        hidden: H.

    Shapes: x `[N, D]`; State `h`, `c` `[N, H]` each.
    """

    reads_edges: Any = ()
    recurrent_layers: tuple[str, ...] = ("iou", "forget")

    class State(NamedTuple):
        """The hidden state and the memory cell."""

        h: Tensor
        c: Tensor

    def __init__(self, inputs: int, hidden: int) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input: nn.Linear = nn.Linear(inputs, 4 * hidden)  # W and b of i, o, u, f
        self.iou: nn.Linear = nn.Linear(hidden, 3 * hidden, bias=False)  # U of i, o, u
        self.forget: nn.Linear = nn.Linear(hidden, hidden, bias=False)  # U_f

    def project(self, x: Tensor) -> Tensor:
        """W x + b of all gates."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        x_iou, x_f = x.split([3 * self.hidden, self.hidden], dim=-1)
        i, o, u = (x_iou + self.iou(inbox.sum(inbox.h))).chunk(3, dim=-1)
        f = torch.sigmoid(inbox.to_edges(x_f) + self.forget(inbox.h))
        c = torch.sigmoid(i) * torch.tanh(u) + inbox.sum(f * inbox.c)
        return self.State(torch.sigmoid(o) * torch.tanh(c), c)


class NaryTreeLSTMCell(Cell):
    """The N-ary Tree-LSTM: children in slots, each with its own weights; every gate sees all of them.

        i  = sigmoid(W_i x + sum_l U_i^l h_l + b_i)              (9)
        f_k = sigmoid(W_f x + sum_l U_f^{kl} h_l + b_f)          (10)
        o  = sigmoid(W_o x + sum_l U_o^l h_l + b_o)              (11)
        u  = tanh(W_u x + sum_l U_u^l h_l + b_u)                 (12)
        c  = i * u + sum_l f_l * c_l                             (13)
        h  = o * tanh(c)                                         (14)

    Tai, Socher & Manning, *Improved semantic representations from tree-structured long short-term memory
    networks*, ACL 2015, equations (9) to (14), with the off-diagonal forget terms k != l. With one slot it is the
    Child-Sum Tree-LSTM with one child.

    Args:
        inputs: D.
        hidden: H.
        arity: how many slots a node has; an empty one counts as a zero state.

    Shapes: x `[N, D]`; State `h`, `c` `[N, H]` each.
    """

    reads_edges: Any = ()
    recurrent_layers: tuple[str, ...] = ("recurrent",)

    class State(NamedTuple):
        """The hidden state and the memory cell."""

        h: Tensor
        c: Tensor

    def __init__(self, inputs: int, hidden: int, arity: int = 2) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.arity: int = as_count("arity", arity, 1)
        self.input: nn.Linear = nn.Linear(inputs, 4 * hidden)  # W and b of i, o, u, f
        self.recurrent: nn.Linear = nn.Linear(
            arity * hidden, (3 + arity) * hidden, bias=False
        )  # U of i, o, u, f_1 … f_arity

    def project(self, x: Tensor) -> Tensor:
        """W x + b of all gates."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> State:
        """One step."""
        x_iou, x_f = x.split([3 * self.hidden, self.hidden], dim=-1)
        u_iou, u_f = self.recurrent(inbox.slots(self.arity).flatten(1)).split(
            [3 * self.hidden, self.arity * self.hidden], dim=-1
        )
        i, o, u = (x_iou + u_iou).chunk(3, dim=-1)
        f = torch.sigmoid(x_f.unsqueeze(1) + u_f.unflatten(1, (self.arity, self.hidden)))
        c = torch.sigmoid(i) * torch.tanh(u) + (f * inbox.by_slot(inbox.c, self.arity)).sum(1)
        return self.State(torch.sigmoid(o) * torch.tanh(c), c)

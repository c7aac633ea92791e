"""A right cell, and others that differ from it in one defect each."""

from collections import namedtuple

import torch
from torch import nn

import graphrec as gr


class Sums(gr.Cell):
    """h = tanh(W x + U sum h)."""

    State = namedtuple("State", "h")

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.W, self.U = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)

    def project(self, x):
        return self.W(x)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.U(inbox.sum(inbox.h))))


class ReadsItsPlace(Sums):
    """The first node of a step is another than the second."""

    def forward(self, x, inbox, own):
        place = torch.arange(len(x), dtype=x.dtype).unsqueeze(1)
        return self.State(torch.tanh(x + 0.1 * place + self.U(inbox.sum(inbox.h))))


class ReadsItsNumber(Sums):
    """The number of the node, which the structure happens to tell."""

    def forward(self, x, inbox, own):
        s = inbox.structure
        number = s.target[:1].to(x.dtype).sum() if s.num_edges else x.new_zeros(())
        return self.State(torch.tanh(x + 0.1 * number + self.U(inbox.sum(inbox.h))))


class SeesTheBatch(Sums):
    """The mean of all nodes of a step is taken off."""

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x - x.mean(0) + self.U(inbox.sum(inbox.h))))


class BatchNorm(Sums):
    """The same, as one meets it."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.norm = nn.BatchNorm1d(hidden)

    def forward(self, x, inbox, own):
        if len(x) < 2:
            return super().forward(x, inbox, own)
        return self.State(self.norm(torch.tanh(x + self.U(inbox.sum(inbox.h)))))


class TakesTheFirst(Sums):
    """The first edge of an inbox counts twice."""

    def forward(self, x, inbox, own):
        first = torch.ones_like(inbox.target, dtype=x.dtype)
        first[1:] = (inbox.target[1:] != inbox.target[:-1]).to(x.dtype)
        return self.State(torch.tanh(x + self.U(inbox.sum((1 + first.unsqueeze(1)) * inbox.h))))


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        return 1.99 * ctx.saved_tensors[0] * grad


class WrongBackward(Sums):
    """An operation of its own, whose gradient is 0.5 % off."""

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(_Square.apply(x) + self.U(inbox.sum(inbox.h))))


class IsRandom(Sums):
    """Noise that nobody can turn off."""

    def forward(self, x, inbox, own):
        noise = 1e-3 * torch.randn(len(x), 1, dtype=x.dtype)
        return self.State(torch.tanh(x + noise + self.U(inbox.sum(inbox.h))))


class KeepsFloat32(Sums):
    """A product in float32, whatever was asked for; the state is cast back."""

    def forward(self, x, inbox, own):
        m = torch.nn.functional.linear(inbox.sum(inbox.h).float(), self.U.weight.float())
        return self.State(torch.tanh(x + m.to(x.dtype)))


class ReturnsFloat32(Sums):
    """A state of float32, which the engine would cast."""

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.U(inbox.sum(inbox.h))).float())


class WritesIntoItsInbox(Sums):
    """Every message is halved where it lies."""

    def forward(self, x, inbox, own):
        inbox.h.mul_(0.5)
        return self.State(torch.tanh(x + self.U(inbox.sum(inbox.h))))


class Counts(Sums):
    """A buffer that counts steps."""

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x, inbox, own):
        self.steps += 1
        return super().forward(x, inbox, own)


class FailsWithoutNodes(Sums):
    """A step of no nodes is not thought of."""

    def project(self, x):
        return self.W(x - x.detach().amax())


class AsksForNumbers(Sums):
    """A branch on a value, which vmap cannot follow."""

    def forward(self, x, inbox, own):
        m = inbox.sum(inbox.h)
        return self.State(torch.tanh(x + (self.U(m) if float(m.detach().sum()) > -9 else m)))

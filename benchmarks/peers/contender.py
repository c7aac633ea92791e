"""What is timed, and what every contender must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


class Unavailable(Exception):
    """A peer cannot run here; the message says why."""

    @classmethod
    def because(cls, package: str, error: Exception, hint: str) -> Unavailable:
        """The package did not import."""
        return cls(f"`import {package}` fails: {type(error).__name__}: {error} ({hint})")


class Weights(NamedTuple):
    """The parameters of a Child-Sum Tree-LSTM (Tai et al. 2015); rows by gate: i, o, u, for the input f."""

    input: Tensor  # [4H, D]
    bias: Tensor  # [4H]
    iou: Tensor  # [3H, H]
    forget: Tensor  # [H, H]


class Layer(NamedTuple):
    """One layer on one forest, from the inputs of all nodes to their states.

    i, o, u = W x + b + U Σ h_child,   f_child = σ(W_f x + b_f + U_f h_child),
    c = σ(i) tanh(u) + Σ f_child c_child,   h = σ(o) tanh(c)
    """

    edge_index: Tensor  # [2, E], child and parent; children are numbered before their parents
    x: Tensor  # [N, D]
    upstream: Tensor  # [N, H], the gradient that comes back for h
    weights: Weights

    @property
    def nodes(self) -> int:
        return self.x.shape[0]

    @property
    def hidden(self) -> int:
        return self.upstream.shape[1]


class Results(NamedTuple):
    """What contenders must agree in: states, and gradients of the inputs and the recurrent weights."""

    h: Tensor  # [N, H]
    x_grad: Tensor  # [N, D]
    iou_grad: Tensor  # [3H, H]
    forget_grad: Tensor  # [H, H]


class Contender(ABC):
    """A Tree-LSTM layer ready to run; whatever can be prepared once per forest is done when it is made.

    Raises:
        Unavailable: when made, if the library is not there or does not load.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, layer: Layer) -> None: ...

    @abstractmethod
    def train(self) -> None:
        """Forward and backward, to fresh gradients of the inputs and of all weights."""

    @abstractmethod
    def infer(self) -> None:
        """Forward alone, with nothing kept for a backward."""

    @abstractmethod
    def results(self) -> Results:
        """What one `train` comes to."""


class TorchContender(Contender):
    """A contender that runs on torch: `forward` is all that differs."""

    x: Tensor
    upstream: Tensor
    model: torch.nn.Module

    @abstractmethod
    def forward(self) -> Tensor:
        """`[N, H]`, the states of all nodes, from `self.x`."""

    @abstractmethod
    def recurrent_weights(self) -> tuple[Tensor, Tensor]:
        """`[3H, H]` and `[H, H]`: what the children's states are multiplied with."""

    def train(self) -> None:
        self._train()

    def _train(self) -> Tensor:
        self.x.grad = None
        self.model.zero_grad(set_to_none=True)
        h = self.forward()
        h.backward(self.upstream)
        return h

    def infer(self) -> None:
        with torch.no_grad():
            self.forward()

    def results(self) -> Results:
        h = self._train().detach()
        iou, forget = self.recurrent_weights()
        assert self.x.grad is not None
        assert iou.grad is not None
        assert forget.grad is not None
        return Results(h, self.x.grad, iou.grad, forget.grad)


def leaf(x: Tensor) -> Tensor:
    """The same values, as inputs that want a gradient."""
    return x.detach().clone().requires_grad_()


def assign(parameter: Tensor, values: Tensor) -> None:
    """Give a parameter its values."""
    with torch.no_grad():
        parameter.copy_(values)

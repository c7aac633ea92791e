"""The usual nonlinearities of simple cells."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..structure.checks import check_one_of

Activation = Callable[[Tensor], Tensor]


def _linear(z: Tensor) -> Tensor:
    return z


def _positive(z: Tensor) -> Tensor:
    return torch.where(z >= 0, z + 0.5, torch.sigmoid(z))


_BY_NAME: dict[str, Activation] = {
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "relu": torch.relu,
    "linear": _linear,
    "positive": _positive,
}


def activation_function(activation: str | Activation) -> Activation:
    """A nonlinearity by name, or as a function.

    Raises:
        ValueError: an unknown name.
    """
    if callable(activation):
        return activation
    check_one_of("activation", activation, _BY_NAME, otherwise=", or a function")
    return _BY_NAME[activation]

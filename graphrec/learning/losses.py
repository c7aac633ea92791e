"""Losses that a rule can differentiate: numbers that depend on what a model returns, and on nothing else of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..operators import graph_from, leaves_behind


def check_is_function(loss: Any) -> None:
    """Raise unless a loss can be called, before any work is done."""
    if not callable(loss):
        raise TypeError(
            f"loss must be a function of what the model returns, e.g. lambda y: mse_loss(y, target), got "
            f"{type(loss).__name__}."
        )


def backward(loss: Callable[[Any], Tensor], output: Any, model: nn.Module, x: Any) -> Tensor:
    """Differentiate a loss, and from there what the model returned; returns the loss, `[]`, detached.

    The loss is a function of the output alone, so that its graph stops there: anything else of the model that it
    reads is found, and refused before any gradient has been added.
    """
    values, layout = tree_flatten(output)
    read = [_leaf(value) for value in values]
    with torch.enable_grad():
        value = loss(tree_unflatten(read, layout))
    check_is_number(value)
    _check_reads_output_alone(value, model, x)
    value.backward()
    pairs = [
        (v, r.grad) for v, r in zip(values, read, strict=True) if isinstance(v, Tensor) and r.requires_grad
    ]
    reached = [(v, grad) for v, grad in pairs if grad is not None]
    if not reached:
        raise ValueError(
            "the loss does not depend on what the model returns, and so has no gradient: compute it from the argument "
            "of the loss function, whose parameters must not all be frozen."
        )
    torch.autograd.backward([v for v, _ in reached], [grad for _, grad in reached])
    return value.detach()


def _leaf(value: Any) -> Any:
    """A part of the output as a new leaf, from which the loss is computed."""
    return value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value


def check_is_number(value: Any) -> None:
    """Raise unless a loss is one number that has a gradient."""
    if not isinstance(value, Tensor):
        raise TypeError(f"loss must return a tensor of one number, got {type(value).__name__}.")
    if value.dim():
        raise ValueError(
            f"loss must return one number, a tensor of shape [], got shape {list(value.shape)}: take its sum or mean."
        )
    if not value.requires_grad:
        raise ValueError(
            "the loss has no gradient: it does not depend on what the loss was given, or was computed without one "
            "(detach, argmax, a round trip through numpy)."
        )


def _check_reads_output_alone(value: Tensor, model: nn.Module, x: Any) -> None:
    nodes, leaves = set(graph_from(value.grad_fn)), leaves_behind(value.grad_fn)
    names = [name for name, parameter in model.named_parameters() if parameter in leaves]
    if isinstance(x, Tensor) and (x in leaves or (x.grad_fn is not None and x.grad_fn in nodes)):
        names.append("x")
    if names:
        raise ValueError(
            f"the loss reads {', '.join(names)} of {type(model).__name__} besides what the model returns, "
            f"and a rule differentiates the run alone. Weight decay belongs to the optimiser (weight_decay=...), a "
            f"readout into the model; add other penalties to .grad by a backward() of their own."
        )

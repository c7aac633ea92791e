"""Sequences of equal length, side by side in a padded tensor, as torch's own operators, layer by layer.

For programs that torch traces, and for shapes without values: there are no rows to number, so that the batch may be of
any size. Only models that are torch's layers can be run so; others run over the structure that their sizes make.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cells.cell import Fused
from .combine import Bidirectional, Reversed, Stacked
from .model import count_states, is_as_written
from .recursive import Recursive

_OPERATORS: dict[str, Any] = {
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
    "gru": torch.gru,
    "lstm": torch.lstm,
}


def are_torch_layers(model: nn.Module) -> bool:
    """Whether `run_padded` can run a model."""
    if is_as_written(model, Stacked):
        return all(map(are_torch_layers, model.layers))
    if is_as_written(model, Bidirectional):
        return are_torch_layers(model.along) and are_torch_layers(model.against)
    if is_as_written(model, Reversed):
        return are_torch_layers(model.model)
    return is_as_written(model, Recursive) and model.mode == "async" and model.cell.fused() is not None


def run_padded(model: Any, x: Tensor, initial: Sequence[Any]) -> tuple[Tensor, list[Any]]:
    """`[T, B, D] → [T, B, H]`, and the final states, one per layer and direction.

    Args:
        model: see `are_torch_layers`.
        x: the inputs.
        initial: for each layer and direction the fields of its state, `[B, H]` each, or None.
    """
    states: list[Any] = []
    if isinstance(model, Stacked):
        for number, layer in enumerate(model.layers):
            if number:
                x = F.dropout(x, model.dropout, model.training)
            here = initial[len(states) : len(states) + count_states(layer)]
            x, final = run_padded(layer, x, here)
            states += final
        return x, states
    if isinstance(model, Bidirectional):
        first = count_states(model.along)
        along, states = run_padded(model.along, x, initial[:first])
        against, more = run_padded(model.against, x, initial[first:])
        return model.merge(along, against), [*states, *more]
    if isinstance(model, Reversed):
        h, states = run_padded(model.model, x.flip(0), initial)
        return h.flip(0), states
    h, final = _operate(model.cell, x, initial[0])
    return h, [model.cell.State(*final)]


def _operate(cell: Any, x: Tensor, initial: Any) -> tuple[Tensor, list[Tensor]]:
    fused: Fused = cell.fused()
    weights, names = fused.weights(), cell.State._fields
    if x.shape[-1] != fused.w_ih.shape[1] or x.dtype != fused.w_ih.dtype:
        raise ValueError(
            f"expected rows of width {fused.w_ih.shape[1]} and {fused.w_ih.dtype}, got {x.shape[-1]} and {x.dtype}."
        )
    if initial is None:
        initial = [x.new_zeros(x.shape[1], fused.w_hh.shape[1])] * len(names)
    fields = [initial] if isinstance(initial, Tensor) else list(initial)
    if len(fields) != len(names):
        raise ValueError(
            f"the initial state must have the fields of the cell's State ({', '.join(names)}), got {len(fields)}."
        )
    before = [_of_each(field, x, fused.w_hh.shape[1]).unsqueeze(0) for field in fields]
    h_and_c: Any = before if fused.operator == "lstm" else before[0]
    training = torch.is_grad_enabled()
    h, *final = _OPERATORS[fused.operator](
        x, h_and_c, weights, len(weights) == 4, 1, 0.0, training, False, False
    )
    return h, [field.squeeze(0) for field in final]


def _of_each(field: Tensor, x: Tensor, hidden: int) -> Tensor:
    """`[B, H]`: a field of the initial state, of which there may be one row for all; torch's operators trust shapes."""
    if field.dim() != 2 or field.shape[1] != hidden or field.dtype != x.dtype:
        raise ValueError(
            f"an initial state must have rows of width {hidden} and {x.dtype}, got shape {tuple(field.shape)} and "
            f"{field.dtype}."
        )
    if field.shape[0] != x.shape[1]:
        if field.shape[0] != 1:
            raise ValueError(
                f"an initial state must have a row per sequence, {x.shape[1]}, or one for all, got {field.shape[0]}."
            )
        return field.expand(x.shape[1], -1).contiguous()
    return field

"""Models that are equal to torch's layers, run by torch's operators on a padded tensor.

For programs that torch traces, and for shapes without values: rows are not numbered, so that the batch may have
any size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Fused
from ..cells import ProjectedLSTMCell
from .combine import Stacked
from .torch_weights import cells_of, check_alike

_OPERATORS: dict[str, Any] = {
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
    "gru": torch.gru,
    "lstm": torch.lstm,
}


def torch_layers(model: nn.Module) -> list[list[Any]] | None:
    """The cells of each layer, one per direction, if torch has one operator for all of them; otherwise None."""
    try:
        cells = cells_of(model)
        check_alike(cells)
    except (TypeError, ValueError):
        return None
    return cells


def run_padded(
    model: Any, cells: list[list[Any]], x: Tensor, fields: tuple[Tensor, ...] | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`[T, B, D] → [T, B, H]`, and the fields of the final states.

    Args:
        model, cells: see `torch_layers`.
        x: the inputs.
        fields: of the initial states, `[layers * directions, B, ·]` each; None: zero.

    Raises:
        ValueError: rows or states of another width or dtype, or another number of fields; torch's operators do not
            check.
    """
    first, like = cells[0][0], cells[0][0].input.weight
    if (x.shape[-1], x.dtype) != (first.inputs, like.dtype):
        raise ValueError(
            f"expected rows of width {first.inputs} and {like.dtype}, got {x.shape[-1]} and {x.dtype}."
        )
    states = sum(map(len, cells))
    if fields is None:
        fields = tuple(x.new_zeros(states, x.shape[1], *shape) for shape in first.shapes())
    wanted = [(*shape, x.dtype) for shape in first.shapes()]
    if [(field.shape[-1], field.dtype) for field in fields] != wanted:
        got = [(field.shape[-1], field.dtype) for field in fields]
        raise ValueError(f"expected initial states of widths and dtypes {wanted}, got {got}.")
    weights = [weight for layer in cells for cell in layer for weight in _weights(cell)]
    has_biases = len(_weights(first)) > 3
    operator = "lstm" if len(fields) == 2 else first.fused().operator
    dropout = model.dropout if isinstance(model, Stacked) else 0.0
    h, *final = _OPERATORS[operator](
        x,
        fields if operator == "lstm" else fields[0],
        weights,
        has_biases,
        len(cells),
        dropout,
        model.training,
        len(cells[0]) == 2,
        False,
    )
    return h, tuple(final)


def _weights(cell: Any) -> list[Tensor]:
    if isinstance(cell, ProjectedLSTMCell):
        fused = Fused("", cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias)
        return [*fused.weights(), cell.projection.weight]
    return cell.fused().weights()

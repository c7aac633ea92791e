"""What can be a stream: models that run forward in time, and masks of streams."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..models import Model, Recursive, Reversed


def cells_in_time(model: Any) -> list[Any]:
    """The cells whose states a stream carries on, one for each of the model's states.

    Raises:
        TypeError, ValueError: a model with other states, or one that does not run forward in time only.
    """
    name = type(model).__name__
    if not isinstance(model, Model) or not model.num_states:
        what = "a model with states" if isinstance(model, nn.Module) else "a model"
        raise TypeError(
            f"a stream takes {what}, e.g. graphrec.LSTM(D, H) or graphrec.Stacked([...]), got {name}: apply a readout "
            f"to what the stream returns."
        )
    parts = [part for _, part in model.named_modules(remove_duplicate=False)]
    layers = [part for part in parts if isinstance(part, Recursive)]
    if any(isinstance(part, Reversed) for part in parts) or len(layers) != model.num_states:
        raise ValueError(
            f"{name} does not run forward in time alone: a layer that runs backward begins at the end, which a stream "
            f"without end does not have."
        )
    for layer in layers:
        if (
            layer.mode != "async"
            or layer.cycles != "error"
            or layer.order is not None
            or layer.cell.begins_with_x
        ):
            raise ValueError(
                f"a stream continues from the previous step's state, and {type(layer.cell).__name__} runs in rounds, "
                f"in a given order, or from its own input: take a cell for sequences, in async mode."
            )
    return [layer.cell for layer in layers]


def checked_mask(name: str, mask: Tensor | None, shape: Any, device: torch.device) -> Tensor:
    """A copy of a mask of this shape; all False where it is None."""
    if mask is None:
        return torch.zeros(shape, dtype=torch.bool, device=device)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != shape:
        got = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"{name} must be a bool tensor of shape {list(shape)}, got {got}.")
    return mask.to(device, copy=True)

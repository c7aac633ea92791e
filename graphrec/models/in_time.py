"""Models that run forward in time, so that a state can be carried on from call to call."""

from __future__ import annotations

from typing import Any

from torch import nn

from .combine import Reversed
from .model import Model
from .recursive import Recursive


def cells_in_time(model: Any, of: str) -> list[Any]:
    """The cells whose states are carried on from call to call, one for each of the model's states.

    Args:
        model: what is called again and again.
        of: what it goes on with, "a stream", for errors.

    Raises:
        TypeError, ValueError: a model with other states, or one that does not run forward in time only.
    """
    name = type(model).__name__
    if not isinstance(model, Model) or not model.num_states:
        what = "a model with states" if isinstance(model, nn.Module) else "a model"
        raise TypeError(
            f"{of} takes {what}, e.g. graphrec.LSTM(D, H) or graphrec.Stacked([...]), got {name}: apply a readout "
            f"to what it returns."
        )
    parts = [part for _, part in model.named_modules(remove_duplicate=False)]
    layers = [part for part in parts if isinstance(part, Recursive)]
    if any(isinstance(part, Reversed) for part in parts) or len(layers) != model.num_states:
        raise ValueError(
            f"{name} does not run forward in time alone: a layer that runs backward begins at the end, which {of} has "
            f"not come to yet."
        )
    for layer in layers:
        if (
            layer.mode != "async"
            or layer.cycles != "error"
            or layer.order is not None
            or layer.cell.begins_with_x
        ):
            raise ValueError(
                f"{of} continues from the previous step's state, and {type(layer.cell).__name__} runs in rounds, "
                f"in a given order, or from its own input: take a cell for sequences, in async mode."
            )
    return [layer.cell for layer in layers]

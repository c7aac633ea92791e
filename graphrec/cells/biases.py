"""How many biases a recurrent cell has."""

from __future__ import annotations

from torch import nn

from ..structure.written import shown


def recurrent_layers(
    inputs: int, hidden: int, gates: int, biases: int, fed_back: int | None = None
) -> tuple[nn.Linear, nn.Linear]:
    """The linear layers of x and of the state, with all gates concatenated.

    Args:
        inputs: D.
        hidden: H.
        gates: how many.
        biases: 0, none; 1, with the product of x; 2, with each product, as in `torch.nn`.
        fed_back: the width of the state that is fed back; by default H.

    Raises:
        ValueError: another number of biases.
    """
    if type(biases) is not int or biases not in (0, 1, 2):
        raise ValueError(f"biases must be 0, 1, or 2 as in torch.nn, got {shown(biases)}.")
    return (
        nn.Linear(inputs, gates * hidden, bias=biases > 0),
        nn.Linear(hidden if fed_back is None else fed_back, gates * hidden, bias=biases > 1),
    )

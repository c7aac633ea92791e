"""The names of graphrec's parameters in torch's recurrent layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..cell import Cell
from ..cells import GRUCell, LSTMCell, ProjectedLSTMCell, SRNCell
from ..cells.plain import is_plain
from .combine import Bidirectional, Stacked
from .model import is_as_written
from .recursive import Recursive


def renamed(state: dict[str, Any], model: nn.Module, prefix: str, within: str) -> dict[str, Any]:
    """A state_dict of `torch.nn.RNN`, `LSTM` or `GRU` with the names of a graphrec model that equals such a layer.

    Where a cell has one bias, it is the sum of torch's two.

    Args:
        state: the state_dict, which may hold other modules' parameters, too.
        model: whose names are wanted.
        prefix: of torch's names.
        within: of the model's names.

    Raises:
        TypeError: a model that torch has no layer for.
        ValueError: a GRU whose two biases cannot be one.
    """
    names = {id(parameter): f"{within}{name}" for name, parameter in model.named_parameters()}
    found = dict(state)
    for layer, directions in enumerate(_named_cells(model)):
        for cell, suffix in zip(directions, ("", "_reverse"), strict=False):
            for theirs, ours in _named(cell, f"l{layer}{suffix}"):
                value = found.pop(prefix + theirs, None)
                if value is None:
                    continue
                if ours is not None:
                    found[names[id(ours)]] = value
                elif (
                    cell.input.bias is not None
                ):  # the bias of the recurrent product, where there is only one bias
                    if isinstance(cell, GRUCell) and bool(value[2 * cell.hidden :].any()):
                        raise ValueError(
                            f"{prefix}{theirs} has no place in a GRUCell of one bias: make it with biases=2, as torch."
                        )
                    other = found.get(names[id(cell.input.bias)])
                    if other is None:  # one of two alone does not determine their sum
                        found[prefix + theirs] = value
                    else:
                        found[names[id(cell.input.bias)]] = other + value
                else:
                    raise ValueError(
                        f"{prefix}{theirs} has no place in a cell without biases: make it with biases=2."
                    )
    return found


def _named_cells(model: Any) -> list[list[Any]]:
    """The cells of each layer by their names, whatever hooks or parametrizations do to their rows."""
    layers = list(model.layers) if isinstance(model, Stacked) else [model]
    found = [
        [layer.along, layer.against.model] if isinstance(layer, Bidirectional) else [layer]
        for layer in layers
    ]
    cells = [[getattr(part, "cell", None) for part in parts] for parts in found]
    for cell in (cell for parts in cells for cell in parts):
        if not isinstance(cell, SRNCell | LSTMCell | GRUCell | ProjectedLSTMCell):
            raise TypeError(
                f"weights of torch's layers go into layers of SRNCell, LSTMCell, ProjectedLSTMCell and GRUCell, got "
                f"{type(cell).__name__}."
            )
    return cells


def pairs(cell: Any, module: nn.Module, name: str) -> list[tuple[Tensor, Tensor]]:
    """The parameters of a cell, each with its name in torch."""
    return [(ours, getattr(module, theirs)) for theirs, ours in _named(cell, name) if ours is not None]


def _named(cell: Any, name: str) -> list[tuple[str, Tensor | None]]:
    named = [
        (f"weight_ih_{name}", cell.input.weight),
        (f"weight_hh_{name}", cell.recurrent.weight),
        (f"bias_ih_{name}", cell.input.bias),
        (f"bias_hh_{name}", cell.recurrent.bias),
    ]
    if isinstance(cell, ProjectedLSTMCell):
        named.append((f"weight_hr_{name}", cell.projection.weight))
    return named


def has_bias(cell: Any) -> bool:
    """Whether a cell has biases."""
    return cell.input.bias is not None or cell.recurrent.bias is not None


def cells_of(model: Any) -> list[list[Any]]:
    """The cells of each layer, one per direction.

    Raises:
        TypeError: a model that torch has no layer for.
    """
    layers = list(model.layers) if is_as_written(model, Stacked) else [model]
    return [_cells_of_layer(layer) for layer in layers]


def _cells_of_layer(layer: Any) -> list[Any]:
    if is_as_written(layer, Bidirectional) and layer.merges_by_concatenation:
        return [_cell_of(layer.along), _cell_of(layer.against.model)]
    return [_cell_of(layer)]


def _cell_of(layer: Any) -> Any:
    cell: Any = getattr(layer, "cell", None)
    plain = is_as_written(layer, Recursive) and layer.mode == "async"
    if plain and (cell.fused() is not None or is_plain(cell, ProjectedLSTMCell)):
        return cell
    raise TypeError(
        f"torch has layers of SRNCell (tanh or relu), LSTMCell, ProjectedLSTMCell and GRUCell, one direction or both "
        f"side by side, got "
        f"{type(layer if cell is None else cell).__name__}."
    )


def check_alike(cells: list[list[Cell]]) -> None:
    """Raise ValueError unless layers are as uniform as torch's are."""

    def traits(cell: Any) -> tuple[Any, ...]:
        fused = cell.fused()
        return type(cell).__name__, cell.shapes(), fused and fused.operator, has_bias(cell)

    first = cells[0]
    for number, layer in enumerate(cells):
        if len(layer) != len(first) or any(traits(cell) != traits(first[0]) for cell in layer):
            raise ValueError(
                f"torch's layers have one cell, hidden size and number of directions throughout, but layer 0 has "
                f"{[traits(c)[:2] for c in first]} and layer {number} has {[traits(c)[:2] for c in layer]}."
            )
        width = first[0].inputs if number == 0 else first[0].shapes()[0][0] * len(first)
        if any(cell.inputs != width for cell in layer):
            raise ValueError(
                f"layer {number} must take inputs of width {width}, got {[c.inputs for c in layer]}."
            )

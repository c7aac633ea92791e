"""Models over sequences called as torch's recurrent layers are, and weights to and from those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..cells import Cell, GRUCell, LSTMCell, SRNCell
from ..cells.weights import Resettable
from ..engine import per_graph
from ..sequences import from_list, from_packed, from_padded, to_list, to_packed, to_padded
from .combine import Bidirectional, Stacked
from .model import Model, is_as_written
from .recursive import Recursive


class Sequences(Resettable):
    """A model over sequences, called as `torch.nn.RNN`, `LSTM` and `GRU` are.

    Args:
        model: e.g. `graphrec.LSTM(D, H)`, `Stacked`, `Bidirectional`, or what they are made of.
        batch_first: whether padded tensors are `[B, T, D]` or, as is torch's default, `[T, B, D]`.
    """

    def __init__(self, model: Model, batch_first: bool = True) -> None:
        super().__init__()
        if not isinstance(model, Model):
            raise TypeError(f"expected a graphrec model with states, got {type(model).__name__}.")
        self.model = model
        self.batch_first = batch_first

    def forward(
        self, input: Any, initial: Any = None, lengths: Sequence[int] | Tensor | None = None
    ) -> tuple[Any, Any]:
        """The output, in the kind of container that the input came in, and the final state.

        Args:
            input: a padded tensor `[B, T, D]` (`[T, B, D]` without `batch_first`), one sequence `[T, D]`, a
                `PackedSequence`, or a list of tensors `[T, D]`.
            initial: as in torch, h_0 `[layers * directions, B, H]`, or (h_0, c_0); without B for one sequence. Where
                layers differ in cell or width, a list of states.
            lengths: how long the sequences of a padded tensor are; by default all T. The output is zero behind
                their ends.

        Returns:
            output `[·, H]`, and the final state, as `initial`. An empty sequence ends as it began.

        Raises:
            ValueError, TypeError: what is said in `graphrec.from_padded` and `graphrec.run`; initial states of
                another shape; lengths for something that knows its own.
        """
        if lengths is not None and not (isinstance(input, Tensor) and input.dim() > 2):
            raise ValueError("lengths belong to a padded tensor: a list or a PackedSequence knows its own.")
        alone = isinstance(input, Tensor) and input.dim() == 2
        if isinstance(input, PackedSequence):
            x, s = from_packed(input)
        elif isinstance(input, Tensor):
            x, s = from_list([input]) if alone else from_padded(input, lengths, self.batch_first)
        else:
            x, s = from_list(input)
        h, final = self.model(x, s, initial=self._split(initial, s.num_graphs, alone), return_states=True)
        states = self._join(final, alone)
        if isinstance(input, PackedSequence):
            return to_packed(h, s, like=input), states
        if alone:
            return h, states
        if isinstance(input, Tensor):
            time = input.shape[1 if self.batch_first else 0]
            return to_padded(h, s, self.batch_first, time=time)[0], states
        return to_list(h, s), states

    def _split(self, initial: Any, graphs: int, alone: bool) -> list[Any] | None:
        """Torch's initial state as a list of states, one per layer and direction."""
        if initial is None or isinstance(initial, list):
            # A list is what comes out where states differ in kind or width.
            return (
                None
                if initial is None
                else [None if state is None else per_graph(state) for state in initial]
            )
        fields = initial if isinstance(initial, tuple) else (initial,)
        if not fields or not all(isinstance(field, Tensor) for field in fields):
            got = [type(field).__name__ for field in fields]
            raise TypeError(
                f"expected initial states as torch has them, h_0 or (h_0, c_0), or a list of states, got {got}."
            )
        fields = tuple(field.unsqueeze(1) for field in fields) if alone else fields
        for field in fields:
            if field.dim() != 3 or field.shape[:2] != (self.model.num_states, graphs):
                raise ValueError(
                    f"initial states must have shape [{self.model.num_states}, {graphs}, H] (layers times directions, "
                    f"sequences, hidden), got {tuple(field.shape)}."
                )
        return [per_graph([field[i] for field in fields]) for i in range(len(fields[0]))]

    def _join(self, final: list[Any], alone: bool) -> Any:
        """A list of states as torch's final state; left as it is where they differ in kind or width."""
        shapes = {tuple((name, *value.shape) for name, value in state._asdict().items()) for state in final}
        if len(shapes) != 1:
            return final
        fields = [torch.stack(values) for values in zip(*final, strict=True)]
        fields = [field.squeeze(1) if alone else field for field in fields]
        return fields[0] if len(fields) == 1 else tuple(fields)


def from_torch(module: nn.RNNBase) -> Sequences:
    """A graphrec model with the weights of `torch.nn.RNN`, `LSTM` or `GRU` (copied), and called as it is.

    Layers, directions, biases, dropout and `batch_first` are taken over; `to_torch` gives the same weights back,
    bit by bit.

    Raises:
        TypeError: another module.
        ValueError: an LSTM with projections.
    """
    kind = type(module).__name__
    if not isinstance(module, nn.RNN | nn.LSTM | nn.GRU):
        raise TypeError(f"expected torch.nn.RNN, LSTM or GRU, got {kind}.")
    if module.proj_size:
        raise ValueError(
            f"expected an LSTM without projections, got proj_size={module.proj_size}: graphrec has no such cell."
        )
    biases = 2 if module.bias else 0
    directions = 2 if module.bidirectional else 1

    def build(layer: int, suffix: str) -> Recursive:
        inputs = module.input_size if layer == 0 else module.hidden_size * directions
        cell: Any
        if isinstance(module, nn.LSTM):
            cell = LSTMCell(inputs, module.hidden_size, biases=biases)
        elif isinstance(module, nn.GRU):
            cell = GRUCell(inputs, module.hidden_size, biases=biases)
        else:
            cell = SRNCell(inputs, module.hidden_size, module.nonlinearity, biases=biases)
        weight: Any = module.weight_ih_l0
        cell.to(weight.device, weight.dtype)
        for ours, theirs in _pairs(cell, module, f"l{layer}{suffix}"):
            ours.data.copy_(theirs.data)
            ours.requires_grad_(theirs.requires_grad)
        return Recursive(cell)

    layers: list[nn.Module] = []
    for layer in range(module.num_layers):
        along = build(layer, "")
        layers.append(Bidirectional(along, build(layer, "_reverse")) if module.bidirectional else along)
    model = Sequences(Stacked(layers, module.dropout), module.batch_first)
    return model.train(module.training)


def to_torch(model: nn.Module) -> nn.RNNBase:
    """`torch.nn.RNN`, `LSTM` or `GRU` with the weights of a graphrec model (copied).

    Args:
        model: what `from_torch` returns, or a model like it: `SRN`, `LSTM`, `GRU`, or a `Recursive` of their cells;
            `Bidirectional` of two of them merged by concatenation; `Stacked` of such layers; `Sequences` of these.

    Raises:
        TypeError: a model that torch has no layer for.
        ValueError: layers that differ in cell, width, or directions.
    """
    batch_first = model.batch_first if isinstance(model, Sequences) else True
    inner: Any = model.model if isinstance(model, Sequences) else model
    layers = list(inner.layers) if is_as_written(inner, Stacked) else [inner]
    cells = [_cells_of(layer) for layer in layers]
    first = cells[0][0]
    _check_alike(cells)
    kinds: dict[type, type] = {SRNCell: nn.RNN, LSTMCell: nn.LSTM, GRUCell: nn.GRU}
    options: dict[str, Any] = {
        "num_layers": len(layers),
        "bias": _has_bias(first),
        "batch_first": batch_first,
        "dropout": inner.dropout if isinstance(inner, Stacked) else 0.0,
        "bidirectional": len(cells[0]) == 2,
    }
    if type(first) is SRNCell:
        options["nonlinearity"] = "relu" if first.activation is torch.relu else "tanh"
    weight = first.input.weight
    made = kinds[type(first)](first.inputs, first.hidden, **options).to(weight.device, weight.dtype)
    for layer, directions in enumerate(cells):
        for cell, suffix in zip(directions, ("", "_reverse"), strict=False):
            for ours, theirs in _pairs(cell, made, f"l{layer}{suffix}"):
                theirs.data.copy_(ours.data)
                theirs.requires_grad_(ours.requires_grad)
            # Torch always has two, of which one does all.
            for part, kind in ((cell.input, "ih"), (cell.recurrent, "hh")):
                if made.bias and part.bias is None:
                    getattr(made, f"bias_{kind}_l{layer}{suffix}").data.zero_()
    return made.train(model.training)


def _pairs(cell: Any, module: nn.Module, name: str) -> list[tuple[Tensor, Tensor]]:
    """The parameters of a cell, each with the one of torch's that it is."""
    named = [
        (cell.input.weight, f"weight_ih_{name}"),
        (cell.recurrent.weight, f"weight_hh_{name}"),
        (cell.input.bias, f"bias_ih_{name}"),
        (cell.recurrent.bias, f"bias_hh_{name}"),
    ]
    return [(ours, getattr(module, theirs)) for ours, theirs in named if ours is not None]


def _has_bias(cell: Any) -> bool:
    return cell.input.bias is not None or cell.recurrent.bias is not None


def _cells_of(layer: Any) -> list[Any]:
    """The cells of a layer, one per direction."""
    if is_as_written(layer, Bidirectional) and layer.merges_by_concatenation:
        return [_cell_of(layer.along), _cell_of(layer.against.model)]
    return [_cell_of(layer)]


def _cell_of(layer: Any) -> Any:
    cell: Any = getattr(layer, "cell", None)
    plain = is_as_written(layer, Recursive) and layer.mode == "async"
    if plain and cell.fused() is not None:
        return cell
    raise TypeError(
        f"torch has layers of SRNCell (tanh or relu), LSTMCell and GRUCell, one or both directions concatenated, got "
        f"{type(layer if cell is None else cell).__name__}."
    )


def _check_alike(cells: list[list[Cell]]) -> None:
    def traits(cell: Any) -> tuple[Any, ...]:
        return type(cell).__name__, cell.hidden, cell.fused().operator, _has_bias(cell)

    first = cells[0]
    for number, layer in enumerate(cells):
        if len(layer) != len(first) or any(traits(cell) != traits(first[0]) for cell in layer):
            raise ValueError(
                f"torch's layers have one cell, hidden size and number of directions throughout, but layer 0 has "
                f"{[traits(c)[:2] for c in first]} and layer {number} has {[traits(c)[:2] for c in layer]}."
            )
        width = first[0].inputs if number == 0 else first[0].hidden * len(first)
        if any(cell.inputs != width for cell in layer):
            raise ValueError(
                f"layer {number} must take inputs of width {width}, got {[c.inputs for c in layer]}."
            )

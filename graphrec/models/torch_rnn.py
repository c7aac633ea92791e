"""Models over sequences called like torch's recurrent layers, and weights to and from those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..cells import GRUCell, LSTMCell, ProjectedLSTMCell, SRNCell
from ..engine import per_graph
from ..sequences import from_list, from_packed, from_padded, from_resets, to_list, to_packed, to_padded
from ..structure.checks import as_flag
from ..structure.outside import has_values, is_exporting, uncompiled
from ..weights import Resettable
from .combine import Bidirectional, Stacked
from .in_time import cells_in_time
from .model import Model, check_model
from .padded import run_padded, torch_layers
from .recursive import Recursive
from .torch_weights import cells_of, check_alike, has_bias, pairs, renamed


class Sequences(Resettable):
    """A model over sequences, called like `torch.nn.RNN`, `LSTM` and `GRU`.

    Args:
        model: e.g. `graphrec.LSTM(D, H)`, `Stacked`, `Bidirectional`, or a model built of these.
        batch_first: whether padded tensors are `[B, T, D]` or, as is torch's default, `[T, B, D]`.
    """

    def __init__(self, model: Model, batch_first: bool = True) -> None:
        super().__init__()
        if not isinstance(check_model(model), Model):
            raise TypeError(f"expected a graphrec model with states, got {type(model).__name__}.")
        self.model = model
        self.batch_first: bool = as_flag("batch_first", batch_first)

    def forward(
        self,
        input: Any,
        hx: Any = None,
        lengths: Sequence[int] | Tensor | None = None,
        is_first: Tensor | None = None,
        reset: Any = None,
    ) -> tuple[Any, Any]:
        """The output, in a container of the input's kind, and the final state.

        Args:
            input: a padded tensor `[B, T, D]` (`[T, B, D]` without `batch_first`), one sequence `[T, D]`, a
                `PackedSequence`, or a list of tensors `[T, D]`.
            hx: the initial states as in torch, h_0 `[layers * directions, B, H]`, or (h_0, c_0); without B for one
                sequence. Where layers differ in cell or width, a list of states.
            lengths: the lengths of the sequences in a padded tensor; by default all T. The output is zero in the
                padding.
            is_first: the steps of a rollout at which an episode begins, a bool tensor `[T, B]` as the first two
                dimensions of a padded one (`[B, T]` with `batch_first`). The state before such a step is dropped: hx
                is for the episodes that go on at step 0. See `graphrec.episodes`.
            reset: the state of episodes that begin, as `hx`, with one row for all of them or one for each column; by
                default zero.

        Returns:
            output `[·, H]`, and the final state, as `hx`. The final state of an empty sequence is its initial state.

        Raises:
            ValueError, TypeError: as in `graphrec.from_padded` and `graphrec.run`; initial states of
                another shape; lengths for a container that has its own. With is_first: as in `graphrec.from_resets`;
                no hx, though an episode goes on; a model that does not run forward in time alone.
        """
        if is_first is not None:
            return self._run_episodes(input, hx, lengths, is_first, reset)
        if reset is not None:
            raise ValueError(
                "reset is the state after a reset: give is_first, too, which says where they are."
            )
        is_traced = isinstance(input, Tensor) and (is_exporting() or not has_values(input))
        if is_traced and lengths is None and input.dim() in (2, 3) and not isinstance(hx, list):
            cells = torch_layers(self.model)
            if cells is not None:
                return self._run_padded(cells, input, hx)
        return self._run(input, hx, lengths)

    def _run_padded(self, cells: list[list[Any]], input: Tensor, hx: Any) -> tuple[Tensor, Any]:
        alone = input.dim() == 2
        x = input.unsqueeze(1) if alone else input.transpose(0, 1) if self.batch_first else input
        given = None if hx is None else self._fields(hx, x.shape[1], alone)
        h, fields = run_padded(self.model, cells, x, given)
        fields = tuple(field.squeeze(1) for field in fields) if alone else fields
        states = fields[0] if len(fields) == 1 else fields
        return (h.squeeze(1) if alone else h.transpose(0, 1) if self.batch_first else h), states

    @uncompiled
    def _run(self, input: Any, hx: Any, lengths: Any) -> tuple[Any, Any]:
        if lengths is not None and not (isinstance(input, Tensor) and input.dim() > 2):
            raise ValueError("lengths belong to a padded tensor: a list or a PackedSequence knows its own.")
        alone = isinstance(input, Tensor) and input.dim() == 2
        if isinstance(input, PackedSequence):
            x, s = from_packed(input)
        elif isinstance(input, Tensor):
            x, s = from_list([input]) if alone else from_padded(input, lengths, self.batch_first)
        else:
            x, s = from_list(input)
        split = self._split(hx, s.num_graphs, alone)
        initial = None if split is None else [None if state is None else per_graph(state) for state in split]
        h, final = self.model(x, s, initial=initial, return_states=True)
        states = self._join(final, alone)
        if isinstance(input, PackedSequence):
            return to_packed(h, s, like=input), states
        if alone:
            return h, states
        if isinstance(input, Tensor):
            time = input.shape[1 if self.batch_first else 0]
            return to_padded(h, s, self.batch_first, time=time)[0], states
        return to_list(h, s), states

    @uncompiled
    def _run_episodes(
        self, input: Any, hx: Any, lengths: Any, is_first: Tensor, reset: Any
    ) -> tuple[Tensor, Any]:
        if lengths is not None:
            raise ValueError("lengths and is_first both say where sequences end: give one of them.")
        cells = cells_in_time(self.model, "a rollout")
        x, episodes = from_resets(input, is_first, self.batch_first)
        carried = self._split(hx, episodes.num_columns, False)
        begun = self._split(reset, episodes.num_columns, False, or_one_for_all=True)
        if carried is None and begun is None:  # a state of zero, as where one is carried, and no empty inbox
            begun = [[x.new_zeros(1, *shape) for shape in cell.shapes()] for cell in cells]
        initial = episodes.initial(carried, begun)
        h, final = self.model(x, episodes.structure, initial=initial, return_states=True)
        return h.unflatten(0, is_first.shape), self._join(episodes.final(final), False)

    def _load_from_state_dict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state_dict: dict[str, Any], prefix: str, *others: Any
    ) -> None:
        # The names of torch's layers for their weights are understood, too. (The caller's dictionary has been copied.)
        if any(key.startswith((f"{prefix}weight_", f"{prefix}bias_")) for key in state_dict):
            ours = renamed(state_dict, self.model, prefix, f"{prefix}model.")
            state_dict.clear()
            state_dict.update(ours)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def _split(
        self, initial: Any, graphs: int, alone: bool, or_one_for_all: bool = False
    ) -> list[Any] | None:
        """Torch's initial state as a list of states, one per layer and direction."""
        if initial is None or isinstance(initial, list):
            return initial  # a list is returned where states differ in kind or width
        fields = self._fields(initial, graphs, alone, or_one_for_all)
        return [[field[i] for field in fields] for i in range(self.model.num_states)]

    def _fields(
        self, initial: Any, graphs: int, alone: bool, or_one_for_all: bool = False
    ) -> tuple[Tensor, ...]:
        """Torch's initial state, `[layers * directions, B, H]` each."""
        fields = initial if isinstance(initial, tuple) else (initial,)
        if not fields or not all(isinstance(field, Tensor) for field in fields):
            got = [type(field).__name__ for field in fields]
            raise TypeError(
                f"expected initial states as torch has them, h_0 or (h_0, c_0), or a list of states, got {got}."
            )
        fields = tuple(field.unsqueeze(1) for field in fields) if alone else fields
        layers, rows = self.model.num_states, {graphs, 1} if or_one_for_all else {graphs}
        for field in fields:
            if field.dim() != 3 or field.shape[0] != layers or field.shape[1] not in rows:
                count = f"{graphs} or 1" if or_one_for_all else graphs
                raise ValueError(
                    f"initial states must have shape [{layers}, {count}, H] (layers times directions, sequences, "
                    f"hidden), got {tuple(field.shape)}."
                )
        return fields

    def _join(self, final: list[Any], alone: bool) -> Any:
        """A list of states as torch's final state; unchanged where they differ in kind or width."""
        shapes = [[(name, *value.shape) for name, value in state._asdict().items()] for state in final]
        if any(shape != shapes[0] for shape in shapes):
            return final
        fields = [torch.stack(values) for values in zip(*final, strict=True)]
        fields = [field.squeeze(1) if alone else field for field in fields]
        return fields[0] if len(fields) == 1 else tuple(fields)


def from_torch(module: nn.RNNBase) -> Sequences:
    """A graphrec model with the weights of `torch.nn.RNN`, `LSTM` or `GRU` (copied), called like it.

    Layers, directions, biases, projections, dropout and `batch_first` are kept; `to_torch` returns the same weights
    exactly. The model's `load_state_dict` also accepts `module.state_dict()`.

    What it is made of: `net.model.layers[l].cell` is the cell of layer l, where there are two directions
    `net.model.layers[l].along.cell` and `net.model.layers[l].against.model.cell`. So `net.model` runs over any
    structure, `net.model(x, s)`, over `graphrec.episodes` for instance.

    Raises:
        TypeError: another module.
    """
    kind = type(module).__name__
    if not isinstance(module, nn.RNN | nn.LSTM | nn.GRU):
        raise TypeError(f"expected torch.nn.RNN, LSTM or GRU, got {type(module).__module__}.{kind}.")
    biases = 2 if module.bias else 0
    directions = 2 if module.bidirectional else 1

    def build(layer: int, suffix: str) -> Recursive:
        output = module.proj_size or module.hidden_size
        inputs = module.input_size if layer == 0 else output * directions
        cell: Any
        if module.proj_size:
            cell = ProjectedLSTMCell(inputs, module.hidden_size, module.proj_size, biases=biases)
        elif isinstance(module, nn.LSTM):
            cell = LSTMCell(inputs, module.hidden_size, biases=biases)
        elif isinstance(module, nn.GRU):
            cell = GRUCell(inputs, module.hidden_size, biases=biases)
        else:
            cell = SRNCell(inputs, module.hidden_size, module.nonlinearity, biases=biases)
        weight: Any = module.weight_ih_l0
        cell.to(weight.device, weight.dtype)
        for ours, theirs in pairs(cell, module, f"l{layer}{suffix}"):
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
    cells = cells_of(inner)
    first = cells[0][0]
    check_alike(cells)
    kinds: dict[type, type] = {
        SRNCell: nn.RNN,
        LSTMCell: nn.LSTM,
        ProjectedLSTMCell: nn.LSTM,
        GRUCell: nn.GRU,
    }
    options: dict[str, Any] = {
        "num_layers": len(cells),
        "bias": has_bias(first),
        "batch_first": batch_first,
        "dropout": inner.dropout if isinstance(inner, Stacked) else 0.0,
        "bidirectional": len(cells[0]) == 2,
    }
    if type(first) is ProjectedLSTMCell:
        options["proj_size"] = first.width
    if type(first) is SRNCell:
        options["nonlinearity"] = "relu" if first.activation is torch.relu else "tanh"
    weight = first.input.weight
    made = kinds[type(first)](first.inputs, first.hidden, **options).to(weight.device, weight.dtype)
    for layer, directions in enumerate(cells):
        for cell, suffix in zip(directions, ("", "_reverse"), strict=False):
            for ours, theirs in pairs(cell, made, f"l{layer}{suffix}"):
                theirs.data.copy_(ours.data)
                theirs.requires_grad_(ours.requires_grad)
            # Torch always has two, one of which is enough.
            for part, kind in ((cell.input, "ih"), (cell.recurrent, "hh")):
                if made.bias and part.bias is None:
                    getattr(made, f"bias_{kind}_l{layer}{suffix}").data.zero_()
    return made.train(model.training)

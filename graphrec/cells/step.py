"""Cells of other libraries."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from ..structure.checks import as_count


class One(NamedTuple):
    """A state of one tensor."""

    h: Tensor


class Two(NamedTuple):
    """A state of two tensors."""

    h: Tensor
    c: Tensor


class Three(NamedTuple):
    """A state of three tensors."""

    h: Tensor
    c: Tensor
    s: Tensor


class StepCell(Cell):
    """Any step module of the form (x, state) → state as a cell: `torch.nn.RNNCell`, `LSTMCell`, `GRUCell`,
    and the cells of the package torchrecurrent.

        state_t = step(x_t, state_{t-1}),  a tensor, or a tuple of several
        y_t, state_t = step(x_t, state_{t-1}),  where the step also has an output: (tensor, (tensor, …))

    Args:
        step: the module.
        inputs: D; by default the module's `input_size`.
        hidden: the width of each tensor that `step` returns, nested as it returns them: H, (H, H), or with an output
            of width Y as well (Y, (H,)), for a state that is one tensor, or (Y, (H, H)); by default found by
            calling `step` on a zero input without a state, and again with the state that it has returned (these
            calls leave no trace).

    Shapes: x `[N, D]`; State `h`, or `h` and `c`, or `h`, `c` and `s`; an output comes first, as `h`, and is not
    passed back to the step. A node has one predecessor at most (slot 0).

    Raises:
        TypeError: not a module, or one that returns anything but one to three tensors `[n, H]`.
        ValueError: inputs or hidden are neither given nor found.
    """

    arity = 1
    reads_edges: Any = ()

    def __init__(self, step: nn.Module, inputs: int | None = None, hidden: Any = None) -> None:
        if not isinstance(step, nn.Module):
            raise TypeError(f"expected a step module (torch.nn.Module), got {type(step).__name__}.")
        inputs = getattr(step, "input_size", None) if inputs is None else inputs
        if inputs is None:
            raise ValueError(f"{type(step).__name__} has no input_size: say StepCell(step, inputs=D).")
        super().__init__(inputs)
        self.step = step
        widths = _widths(step, inputs) if hidden is None else hidden
        self._has_output = _has_output(widths)
        self._is_tuple = isinstance(widths, tuple | list)  # the state that is passed back
        if self._has_output:
            self._is_tuple = len(widths[1]) > 1 or hidden is None
        self._widths = _flat(widths)
        if not 1 <= len(self._widths) <= 3 or any(isinstance(width, list | tuple) for width in self._widths):
            raise TypeError(
                f"a step must return one to three tensors, nested as H, (H, H) or (Y, (H, H)), got widths {widths!r}."
            )
        self._widths = [as_count("hidden", width, 1) for width in self._widths]
        self.State: Any = (One, Two, Three)[len(self._widths) - 1]

    def shapes(self) -> list[tuple[int, ...]]:
        """The widths of the state's tensors."""
        return [(width,) for width in self._widths]

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step."""
        names: tuple[str, ...] = self.State._fields
        if self._has_output:
            names = names[1:]
        previous = tuple(inbox.sum(getattr(inbox, name)) for name in names)
        after = _tensors(self.step, self.step(x, previous if self._is_tuple else previous[0]))
        if len(after) != len(self._widths):
            raise TypeError(
                f"{type(self.step).__name__} must return {len(self._widths)} tensors, as hidden says, got {len(after)}."
            )
        return self.State(*after)


def _has_output(returned: Any) -> bool:
    """Whether this is (output, (state, …)), of tensors or of their widths."""
    return isinstance(returned, tuple | list) and len(returned) == 2 and isinstance(returned[1], tuple | list)


def _flat(returned: Any) -> list[Any]:
    if _has_output(returned):
        return [returned[0], *returned[1]]
    return list(returned) if isinstance(returned, tuple | list) else [returned]


def _tensors(step: nn.Module, returned: Any) -> list[Tensor]:
    tensors = _flat(returned)
    if not all(hasattr(value, "shape") for value in tensors):
        raise TypeError(
            f"{type(step).__name__} must return its new state, a tensor or a tuple of tensors, or an output and that, "
            f"got {_described(returned)}."
        )
    return tensors


def _described(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_described, value))})"
    return type(value).__name__


def _widths(step: nn.Module, inputs: int) -> Any:
    """The widths of what a step returns, nested as it returns them."""
    like = next(step.parameters(), torch.zeros(()))
    x = like.new_zeros(2, inputs)
    was_training = [module for module in step.modules() if module.training]
    try:
        step.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            returned = _try(step, "without a state", x)
            widths = tuple(_width(step, tensor) for tensor in _tensors(step, returned))
            _try(
                step,
                "on the state that it has returned",
                x,
                returned[1] if _has_output(returned) else returned,
            )
    finally:
        for module in was_training:
            module.training = True
    if _has_output(returned):
        return widths[0], widths[1:]
    return widths[0] if isinstance(returned, Tensor) else widths


def _width(step: nn.Module, tensor: Tensor) -> int:
    if tensor.dim() != 2 or tensor.shape[0] != 2:
        raise TypeError(
            f"{type(step).__name__} must return tensors [n, H] with a row for each of the n rows of x, got "
            f"{list(tensor.shape)} for 2 rows: a layer that runs over sequences itself is not a step."
        )
    return tensor.shape[1]


def _try(step: nn.Module, how: str, *arguments: Any) -> Any:
    try:
        return step(*arguments)
    except Exception as error:
        raise ValueError(
            f"{type(step).__name__} does not run {how} ({error}): say how wide each tensor is that it returns, "
            f"StepCell(step, hidden=H) or hidden=(H, H); or hidden=(Y, (H,)) where the first is an output, which "
            f"is not handed back."
        ) from error

"""Other people's cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from .cell import Cell

if TYPE_CHECKING:
    from ..engine.inbox import Inbox


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
    """Any step module of the form (x, state) → state on the engine: `torch.nn.RNNCell`, `LSTMCell`, `GRUCell`,
    and the cells of the package torchrecurrent.

    state_t = step(x_t, state_{t-1}),  a tensor, or a tuple of several

    Args:
        step: the module.
        inputs: D; by default the module's `input_size`.
        hidden: the width of each tensor of the state; by default found out by calling `step` on a zero input
            without a state (nothing is kept of that call).

    Shapes: x `[N, D]`; State `h`, or `h` and `c`, or `h`, `c` and `s`. A node has one predecessor at most (slot 0).

    Raises:
        TypeError: not a module, or one that returns something else than one to three tensors `[n, H]`.
        ValueError: inputs or hidden are neither given nor found out.
    """

    arity = 1

    def __init__(
        self, step: nn.Module, inputs: int | None = None, hidden: int | Sequence[int] | None = None
    ) -> None:
        if not isinstance(step, nn.Module):
            raise TypeError(f"expected a step module (torch.nn.Module), got {type(step).__name__}.")
        inputs = getattr(step, "input_size", None) if inputs is None else inputs
        if inputs is None:
            raise ValueError(f"{type(step).__name__} has no input_size: say StepCell(step, inputs=D).")
        super().__init__(inputs)
        self.step = step
        if hidden is None:
            hidden = _widths(step, inputs)
        self._widths = [hidden] if isinstance(hidden, int) else list(hidden)
        if not 1 <= len(self._widths) <= 3:
            raise TypeError(f"a step's state must be one to three tensors, got {len(self._widths)}.")
        self.State = (One, Two, Three)[len(self._widths) - 1]

    def shapes(self) -> list[tuple[int, ...]]:
        """The widths of the state's tensors."""
        return [(width,) for width in self._widths]

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step."""
        before = [inbox.sum(getattr(inbox, name)) for name in self.State._fields]
        after = self.step(x, tuple(before) if len(before) > 1 else before[0])
        return self.State(*_tensors(self.step, after))


def _tensors(step: nn.Module, state: Any) -> tuple[Tensor, ...]:
    tensors = (state,) if isinstance(state, Tensor) else state
    if not isinstance(tensors, tuple | list) or not all(isinstance(value, Tensor) for value in tensors):
        raise TypeError(
            f"{type(step).__name__} must return its new state, a tensor or a tuple of tensors, "
            f"got {type(state).__name__}."
        )
    return tuple(tensors)


def _widths(step: nn.Module, inputs: int) -> list[int]:
    like = next(step.parameters(), torch.zeros(()))
    was_training = [module for module in step.modules() if module.training]
    try:
        step.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            state = step(like.new_zeros(1, inputs))
    except Exception as error:
        raise ValueError(
            f"{type(step).__name__} does not run without a state ({error}): say how wide each tensor of its state "
            f"is, StepCell(step, hidden=H) or hidden=(H, H)."
        ) from error
    finally:
        for module in was_training:
            module.training = True
    return [tensor.shape[-1] for tensor in _tensors(step, state)]

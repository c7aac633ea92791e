"""What a second run needs to be the same as the first: random numbers, modes, and the weights that were read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..backends import running_on
from ..backends.runner import forced
from ..engine.rules import differentiated_by
from ..structure.outside import is_autocast


def random_state(device: torch.device) -> Tensor:
    """Where torch's random numbers stand on a device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Let them stand there again."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


@contextmanager
def drawn_again(device: torch.device, state: Tensor | None) -> Iterator[None]:
    """In this context the numbers are drawn that have followed a state, and none is used up. None: as usual."""
    if state is None:
        yield
        return
    now = random_state(device)
    set_random_state(device, state)
    try:
        yield
    finally:
        set_random_state(device, now)


class Surroundings:
    """What a run of a cell depends on beside its arguments, as it is now.

    Attributes:
        is_autocast: whether autocast is on.
    """

    def __init__(self, cell: nn.Module, device: torch.device) -> None:
        self.is_autocast: bool = is_autocast(device)
        self._autocast: dict[str, Any] = {"device_type": device.type, "enabled": self.is_autocast}
        if self.is_autocast:
            self._autocast["dtype"] = torch.get_autocast_dtype(device.type)
        self._backend = forced.get()
        self._training = [(part, part.training) for part in cell.modules()]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """In this context it is as it was."""
        now = [(part, part.training) for part, _ in self._training]
        with running_on(self._backend), differentiated_by(None), torch.autocast(**self._autocast):
            try:
                _set_training(self._training)
                yield
            finally:
                _set_training(now)


def _set_training(modes: list[tuple[nn.Module, bool]]) -> None:
    for part, is_training in modes:
        part.training = is_training


class Reads(TorchFunctionMode):
    """In this context, without gradients: the tensors that have some and are given to torch's functions, by their ids.

    They come from elsewhere, since nothing that is made in it has a gradient.

    Attributes:
        noted: the tensors.
        has_generator: whether random numbers were drawn from a generator other than torch's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[int, Tensor] = {}
        self.has_generator: bool = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.has_generator |= bool(kwargs) and isinstance(kwargs.get("generator"), torch.Generator)
        args = tuple(map(self._seen, args))
        return func(*args, **{name: self._seen(value) for name, value in (kwargs or {}).items()})

    def _seen(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.note(value)
        if type(value) in (tuple, list):
            return type(value)(map(self._seen, value))
        return value

    def note(self, tensor: Tensor) -> Tensor:
        """What functions are given for it: itself."""
        # (A cell that turns gradients on makes some of its own.)
        if tensor.requires_grad and not torch.is_grad_enabled() and not _is_part(tensor):
            self.noted[id(tensor)] = tensor
        return tensor


def _is_part(tensor: Tensor) -> bool:
    """Whether it is one of several views that were made without gradients; torch says that they have some."""
    base = tensor._base
    return base is not None and base.requires_grad and tensor.is_leaf


class ReadsAgain(Reads):
    """In this context: those of some tensors that are given to torch's functions, which get others in their place."""

    def __init__(self, before: list[Tensor], instead: list[Tensor]) -> None:
        super().__init__()
        self._instead = {id(tensor): other for tensor, other in zip(before, instead, strict=True)}

    def note(self, tensor: Tensor) -> Tensor:
        """What functions are given for it."""
        other = self._instead.get(id(tensor))
        if other is None:
            return tensor
        self.noted[id(tensor)] = tensor
        return other

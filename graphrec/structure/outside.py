"""Where integers are kept: outside whatever torch is doing at the moment.

Structures, schedules and what is cached with them outlive the call in which they are made. Tensors that belong to
a transform of torch.func, to a dispatch mode (fake tensors, tracing), to a default device without memory or to
inference mode would be useless afterwards, and would break every later call that finds them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch._ops import _len_torch_dispatch_stack_pre_dispatch
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _disable_current_modes

_functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]


_ORDINARY = nullcontext()

# (Torch 2.6 does not distinguish exported programs from otherwise traced ones.)
is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)

Made = TypeVar("Made", bound=Callable[..., Any])


# Whether structures are inputs of a program that is being traced: then their integers are computed by the program.
_traced: ContextVar[bool] = ContextVar("traced", default=False)


@contextmanager
def structures_traced() -> Iterator[None]:
    """In this context integers of structures are traced with everything else: nothing is `outside`."""
    token = _traced.set(True)
    try:
        yield
    finally:
        _traced.reset(token)


def outside() -> AbstractContextManager[Any]:
    """In this context torch makes ordinary tensors: no transform, mode, default device or inference mode is on."""
    return _ORDINARY if _traced.get() else untraced()


def untraced() -> AbstractContextManager[Any]:
    """The same, whatever is traced: for what is no part of a program, such as the state of random numbers."""
    is_ordinary = not (
        torch.is_inference_mode_enabled()
        or torch._C._len_torch_function_stack()
        or torch._C._len_torch_dispatch_stack()
        or _len_torch_dispatch_stack_pre_dispatch()
        or _functorch.peek_interpreter_stack() is not None
    )
    return _ORDINARY if is_ordinary else _outside()


@contextmanager
def _outside() -> Iterator[None]:
    with (
        torch.inference_mode(False),
        temporarily_clear_interpreter_stack(),
        _disable_current_modes(),
        torch._C.DisableTorchFunction(),
    ):
        yield


def uncompiled(function: Made) -> Made:
    """A function that torch.compile leaves to Python, while it compiles the code around it."""
    return cast(Made, torch.compiler.disable(function))


def made_outside(function: Made) -> Made:
    """A function of integers that runs `outside`, and that torch.compile leaves to Python."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with outside():
            return function(*args, **kwargs)

    return uncompiled(cast(Made, call))


def has_values(tensor: Tensor) -> bool:
    """Whether the numbers of a tensor can be read: not on the meta device, and not of a fake one, as in tracing."""
    return not (tensor.is_meta or isinstance(tensor, FakeTensor))


def is_stand_in(tensor: Tensor) -> bool:
    """Whether a tensor stands for another while a program is traced."""
    return isinstance(tensor, FakeTensor | FunctionalTensor)


def is_autocast(device: torch.device) -> bool:
    """Whether autocast is on; it never is where there is none, as on the meta device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def may_need_grad(tensor: Tensor) -> bool:
    """Whether a tensor, or the one that a transform of torch.func has wrapped, requires grad."""
    while _functorch.is_functorch_wrapped_tensor(tensor):
        if tensor.requires_grad:
            return True
        tensor = _functorch.get_unwrapped(tensor)
    return tensor.requires_grad


def is_ordinary(tensor: Tensor) -> bool:
    """Whether a tensor is in no transform of torch.func, has no tangent, and has readable numbers."""
    may_be_dual = tensor.is_floating_point() and forward_ad._current_level >= 0
    return has_values(tensor) and not may_be_dual and not _functorch.is_functorch_wrapped_tensor(tensor)


def unwrapped(tensor: Tensor, name: str) -> Tensor:
    """A tensor of whole numbers without the wrappers of torch.func, which do not concern integers.

    Raises:
        ValueError: different numbers for each sample of `torch.func.vmap`, or numbers that cannot be read.
    """
    while _functorch.is_functorch_wrapped_tensor(tensor):
        if _functorch.is_batchedtensor(tensor):
            raise ValueError(
                f"{name} differs from sample to sample of torch.func.vmap: one structure serves all of them; "
                f"put different ones side by side with graphrec.batch."
            )
        tensor = _functorch.get_unwrapped(tensor)
    if not has_values(tensor):
        raise ValueError(
            f"{name} has no values here (it is on the meta device, or fake, as inputs are while torch traces a "
            f"program), but who depends on whom must be known: make the structure beforehand, of ordinary tensors, "
            f"and let the traced program use it."
        )
    return tensor


def seen_by(x: Tensor, tensor: Tensor) -> Tensor:
    """An ordinary tensor in a form that can be used together with x, even if x has no values."""
    if x.is_meta:
        return tensor.to("meta")
    # (While a program is exported ordinary tensors are its constants.)
    if isinstance(x, FakeTensor) and not is_exporting():
        return x.fake_mode.from_tensor(tensor)
    return tensor

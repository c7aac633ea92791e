"""Weights redrawn as at construction, what a loop over folds asks of every layer; and where each stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn
from torch.nn.utils.parametrize import is_parametrized


class Resettable(nn.Module):
    """A module whose weights can be redrawn."""

    def reset_parameters(self) -> None:
        """Redraw all weights, as at construction.

        The parts are reset by their own `reset_parameters`, as they are listed in the module and each
        once, however many rounds it has; then `init_parameters` is called.

        Raises:
            TypeError: a part with weights that has no `reset_parameters`. Nothing has been done then.
        """
        if type(self).reset_parameters is Resettable.reset_parameters:
            _check_own(self, "the module")
        for reset in list(_of_parts(self, "", {self})):
            reset()
        self.init_parameters()

    def init_parameters(self) -> None:
        """Give initial values to what parts do not draw themselves; called at construction, and by `reset_parameters`.

        A subclass with its own parameters defines this, or a `reset_parameters` that begins with this class's.
        """


Seen = set[nn.Module]


def _of_parts(module: nn.Module, name: str, seen: Seen) -> Iterator[Callable[..., object]]:
    for child, part in module.named_children():
        if part not in seen:
            seen.add(part)
            yield from _of_part(part, f"{name}{child}", seen)


def _of_part(part: nn.Module, name: str, seen: Seen) -> Iterator[Callable[..., object]]:
    reset = getattr(part, "reset_parameters", None)
    if is_parametrized(part):
        raise TypeError(
            f"{name} ({type(part).__name__}) has weights that are computed from others (torch.nn.utils.parametrize), "
            f"which nothing redraws: make a new model."
        )
    if isinstance(part, Resettable) and type(part).reset_parameters is Resettable.reset_parameters:
        _check_own(part, name)
        yield from _of_parts(part, f"{name}.", seen)
        yield part.init_parameters
    elif callable(reset):
        seen.update(part.modules())
        yield reset
    else:
        _check_own(part, name)
        yield from _of_parts(part, f"{name}.", seen)


def _check_own(part: nn.Module, name: str) -> None:
    # (PyG's explainers leave their masks on the module.)
    own = [
        key for key, weight in part._parameters.items() if weight is not None and not key.endswith("_mask")
    ]
    draws = isinstance(part, Resettable) and type(part).init_parameters is not Resettable.init_parameters
    if own and not draws:
        raise TypeError(
            f"{name} ({type(part).__name__}) has weights ({', '.join(own)}) and no reset_parameters() that draws them: "
            f"give its class one."
        )


def paths_of_weights(module: nn.Module) -> dict[str, str]:
    """The path of each parameter, by its name among those of the module: tied ones have several.

    A part with two names has one path: `functional_call` would put its weights back wrongly if both were given (torch
    2.13, whose own ties of weights give both).
    """
    name_of = {weight: name for name, weight in module.named_parameters()}
    return {
        f"{path}.{name}" if path else name: name_of[weight]
        for path, part in module.named_modules()
        for name, weight in part._parameters.items()
        if weight is not None
    }

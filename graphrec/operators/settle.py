"""A step whose nodes depend on themselves: it is repeated a number of times, or until nothing changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .fixed_point import FixedPoint, NoFixedPointError, NoFixedPointWarning
from .plain import must_be_plain

Fields = Sequence[Tensor]
# From the state of a step's nodes, and a function that is applied to each tensor from elsewhere, to their next
# state.
Round = Callable[[Any, Callable[[Tensor], Tensor]], Any]


def settle(
    once: Round, state: Any, rounds: int | FixedPoint, component: Tensor, constants: tuple[str, ...] = ()
) -> Any:
    """The state of a step's nodes after a number of rounds, or at the fixed point.

    Args:
        once: a round.
        state: the initial one.
        rounds: how many.
        component: `[n]`, the strongly connected component of each node; each component stops separately.
        constants: the names of the state's fields that no round changes.
    """
    if isinstance(rounds, int):
        for _ in range(rounds):
            state = once(state, _as_it_is)
        return state
    _, component = torch.unique(component, return_inverse=True)
    with torch.no_grad():
        found = _fixed_point(
            lambda fields: once(type(state)(*fields), _as_it_is), state, rounds, component, "the states"
        )
    found = state._replace(**{name: found[state._fields.index(name)] for name in _moving(state, constants)})
    return _with_gradient(once, found, rounds, component, constants) if torch.is_grad_enabled() else found


def _with_gradient(
    once: Round, found: Any, until: FixedPoint, component: Tensor, constants: tuple[str, ...]
) -> Any:
    """The fixed point that was found, with the gradient of one round at it."""
    cut = _Cut()
    leaves = {name: getattr(found, name).detach().requires_grad_() for name in _moving(found, constants)}
    there = {name: cut(getattr(found, name)) for name in constants}
    images = once(found._replace(**leaves, **there), cut)
    moved = [getattr(images, name) for name in leaves]
    if not any(field.requires_grad for field in moved):
        return found
    task = _Task(until, component, list(leaves.values()), moved, cut.inside)
    return found._replace(**dict(zip(leaves, _Implicit.apply(task, *moved, *cut.outside), strict=True)))


def _moving(state: Any, constants: tuple[str, ...]) -> list[str]:
    return [name for name in state._fields if name not in constants]


def _as_it_is(rows: Tensor) -> Tensor:
    return rows


class _Cut:
    """Where the graph of a round is cut: tensors from elsewhere are detached, and remembered.

    To differentiate a round, autograd would search everything that it depends on, which is all that has been
    computed so far.
    """

    def __init__(self) -> None:
        self.outside: list[Tensor] = []
        self.inside: list[Tensor] = []

    def __call__(self, rows: Tensor) -> Tensor:
        if not rows.requires_grad:
            return rows
        self.outside.append(rows)
        self.inside.append(rows.detach().requires_grad_())
        return self.inside[-1]


def _fixed_point(
    once: Callable[[Fields], Fields], state: Fields, until: FixedPoint, component: Tensor, what: str
) -> Fields:
    moving = torch.ones(int(component.max()) + 1, dtype=torch.bool, device=component.device)
    residual = torch.full(moving.shape, torch.inf, device=component.device)
    for _ in range(until.limit):
        new = once(state)
        residual = _change(state, new, component, len(moving))
        # A component that has settled keeps its state, however long others take.
        unsettled = moving[component]
        state = [torch.where(_like(unsettled, a), b, a) for a, b in zip(state, new, strict=True)]
        moving = moving & ~(residual <= until.tolerance)
        if not bool(moving.any()):
            return state
    left = float(residual[moving].max())
    message = (
        f"{what} of {int(moving.sum())} of {len(moving)} cyclic components still change by {left:.0e} after "
        f"{until.limit} rounds, more than the tolerance of {until.tolerance:.3g}: raise the limit or the tolerance, "
        f"take a number of rounds, or a cell that contracts (smaller weights)."
    )
    if until.otherwise == "error":
        raise NoFixedPointError(message, left)
    warnings.warn(message, NoFixedPointWarning, stacklevel=2)
    return state


def _change(old: Fields, new: Fields, component: Tensor, count: int) -> Tensor:
    """For each component the largest change of any entry of the state."""
    most = torch.zeros(count, device=component.device, dtype=old[0].dtype)
    for a, b in zip(old, new, strict=True):
        change = (b - a).abs().reshape(len(a), -1).amax(1) if a.numel() else a.new_zeros(len(a))
        most = most.scatter_reduce(0, component, change, "amax")
    return most


def _like(mask: Tensor, rows: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (rows.dim() - 1))


class _Task(NamedTuple):
    """What the backward pass needs.

    Attributes:
        until: when to stop.
        component: of each node.
        leaves, images: the fields of the state before and after one round at the fixed point.
        inside: the tensors that the round has read from elsewhere.
    """

    until: FixedPoint
    component: Tensor
    leaves: list[Tensor]
    images: list[Tensor]
    inside: list[Tensor]

    def back(self, to: list[Tensor], grads: Fields) -> Sequence[Tensor | None]:
        """The gradients of a round, given those of its result."""
        pairs = [(image, grad) for image, grad in zip(self.images, grads, strict=True) if image.requires_grad]
        with torch.enable_grad():
            return torch.autograd.grad(
                [image for image, _ in pairs],
                to,
                [grad for _, grad in pairs],
                retain_graph=True,
                allow_unused=True,
            )


class _Implicit(torch.autograd.Function):
    """The fixed point, whose gradient goes through one round as if there had been as many as it takes.

    Autograd itself follows the images of that round back to the weights; the gradients of what the round has read
    from elsewhere are found here.
    """

    @staticmethod
    def forward(ctx: Any, task: _Task, *images_and_outside: Tensor) -> tuple[Tensor, ...]:
        """The fields of the state, unchanged."""
        ctx.task = task
        return tuple(field.detach() for field in task.leaves)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Solve g = grads + J^T g, J being the derivative of a round by the state."""
        if must_be_plain(grads):
            raise RuntimeError(
                "the gradient at a fixed point is found by iteration, one at a time, and has no derivative itself, "
                "which create_graph=True, is_grads_batched=True or vectorize=True ask for: take a number of rounds, "
                "schedule(..., cycles='iterate', rounds=T)."
            )
        task: _Task = ctx.task

        def once(g: Fields) -> Fields:
            back = task.back(task.leaves, g)
            return [a if b is None else a + b for a, b in zip(grads, back, strict=True)]

        solved = _fixed_point(once, grads, task.until, task.component, "the gradients")
        return (None, *solved, *(task.back(task.inside, solved) if task.inside else ()))

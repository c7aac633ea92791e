"""A step whose nodes depend on themselves: it is done again and again, or until nothing changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..schedule import FixedPoint, NoFixedPointError, NoFixedPointWarning
from .derivatives import check_first_derivatives

Round = Callable[[Any], Any]  # from the state of a step's nodes to their next one


def settle(once: Round, state: Any, rounds: int | FixedPoint, component: Tensor) -> Any:
    """The state of a step's nodes after so many rounds, or at the fixed point.

    Args:
        once: a round.
        state: before the first one.
        rounds: how many.
        component: `[n]`, the strongly connected component of each node, each of which stops by itself.
    """
    if isinstance(rounds, int):
        for _ in range(rounds):
            state = once(state)
        return state
    _, component = torch.unique(component, return_inverse=True)
    with torch.no_grad():
        found = _fixed_point(once, state, rounds, component, "the states")
    if not torch.is_grad_enabled():
        return found
    leaves = type(found)(*(field.detach().requires_grad_() for field in found))
    images = once(leaves)
    if not any(field.requires_grad for field in images):
        return found
    return type(found)(*_Implicit.apply(rounds, component, leaves, images, *images))


def _fixed_point(once: Round, state: Any, until: FixedPoint, component: Tensor, what: str) -> Any:
    moving = torch.ones(int(component.max()) + 1, dtype=torch.bool, device=component.device)
    residual = torch.full(moving.shape, torch.inf, device=component.device)
    for _ in range(until.limit):
        new = once(state)
        residual = _change(state, new, component, len(moving))
        # A component that has settled stays as it is, however long others take.
        still = moving[component]
        state = type(state)(*(torch.where(_like(still, a), b, a) for a, b in zip(state, new, strict=True)))
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


def _change(old: Any, new: Any, component: Tensor, count: int) -> Tensor:
    """For each component by how much its largest change changes a number of the state."""
    most = torch.zeros(count, device=component.device, dtype=old[0].dtype)
    for a, b in zip(old, new, strict=True):
        change = (b - a).abs().flatten(1).amax(1) if a[0].numel() else a.new_zeros(a.shape[0])
        most = most.scatter_reduce(0, component, change, "amax")
    return most


def _like(mask: Tensor, rows: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (rows.dim() - 1))


class _Implicit(torch.autograd.Function):
    """The fixed point, whose gradient goes through one round as if there had been as many as it takes."""

    @staticmethod
    def forward(
        ctx: Any, until: FixedPoint, component: Tensor, leaves: Any, images: Any, *fields: Tensor
    ) -> tuple[Tensor, ...]:
        """The fields of the state, as they are."""
        ctx.until, ctx.component, ctx.leaves, ctx.images = until, component, leaves, images
        return tuple(field.detach() for field in leaves)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Solve g = grads + J^T g, J being the derivative of a round by the state."""
        check_first_derivatives(grads)
        of_state = type(ctx.leaves)(*grads)
        pairs = [(image, number) for number, image in enumerate(ctx.images) if image.requires_grad]

        def once(g: Any) -> Any:
            with torch.enable_grad():
                back = torch.autograd.grad(
                    [image for image, _ in pairs],
                    list(ctx.leaves),
                    [g[number] for _, number in pairs],
                    retain_graph=True,
                    allow_unused=True,
                )
            return type(g)(*(a if b is None else a + b for a, b in zip(of_state, back, strict=True)))

        solved = _fixed_point(once, of_state, ctx.until, ctx.component, "the gradients")
        return (None, None, None, None, *solved)

"""The gradient at a fixed point h = f(h), by the implicit function theorem, and the derivative of that gradient."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .autograd_graph import leaves_behind
from .fixed_point import Fields, FixedPoint, iterate
from .plain import is_batched

# A function that is applied to each tensor that a round reads from elsewhere.
Cut = Callable[[Tensor], Tensor]
# From the state of a step's nodes, and such a cut, to their next state.
Round = Callable[[Any, Cut], Any]

_NO_THIRD = (
    "a fixed point has first and second derivatives, and no third ones, which create_graph=True asks for here: take a "
    "number of rounds, schedule(..., cycles='iterate', rounds=T)."
)


def with_gradient(
    once: Round,
    found: Any,
    moving: Sequence[str],
    until: FixedPoint,
    component: Tensor,
    is_gradient: bool = False,
) -> Any:
    """A fixed point that was found, with the gradient of one round at it.

    Args:
        once: a round.
        found: the state at the fixed point.
        moving: the names of the fields that rounds change.
        until: when the iteration for the gradient stops.
        component: `[n]`, of each node, counted from 0.
        is_gradient: whether this is such a gradient itself, whose own has no derivative any more.
    """
    border = _Border()
    leaves = {name: getattr(found, name).detach().requires_grad_() for name in moving}
    there = {name: border(getattr(found, name)) for name in found._fields if name not in leaves}
    images = once(found._replace(**leaves, **there), border)
    moved = [getattr(images, name) for name in moving]
    if not any(field.requires_grad for field in moved):
        return found
    point = _Point(
        once, found, moving, until, component, list(leaves.values()), moved, border.inside, is_gradient
    )
    known = {*leaves.values(), *border.inside}
    weights = [leaf for leaf in leaves_behind(*(field.grad_fn for field in moved)) if leaf not in known]
    fields = _Implicit.apply(point, *moved, *border.outside, *weights)
    return found._replace(**dict(zip(moving, fields, strict=True)))


class _Border:
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


@dataclass(frozen=True, eq=False)
class _Point:
    """A fixed point, and one round at it.

    Attributes:
        once, found, moving, until, component, is_gradient: see `with_gradient`.
        leaves, images: the fields that move, before and after the round.
        inside: the tensors that the round has read from elsewhere.
    """

    once: Round
    found: Any
    moving: Sequence[str]
    until: FixedPoint
    component: Tensor
    leaves: list[Tensor]
    images: list[Tensor]
    inside: list[Tensor]
    is_gradient: bool

    def round_again(self, h: Fields, read: Fields) -> list[Tensor]:
        """The fields after a round from others, with other tensors from elsewhere in place of those that it read."""
        given, instead = dict(zip(self.moving, h, strict=True)), iter(read)
        kept = [name for name in self.found._fields if name not in given]

        def cut(rows: Tensor) -> Tensor:
            return next(instead) if rows.requires_grad else rows

        given |= {name: cut(getattr(self.found, name)) for name in kept}
        images = self.once(self.found._replace(**given), cut)
        return [getattr(images, name) for name in self.moving]


def _back(images: Fields, to: Fields, grads: Fields, create_graph: bool = False) -> Sequence[Tensor | None]:
    """The gradients of a round, given those of its result."""
    pairs = [(image, grad) for image, grad in zip(images, grads, strict=True) if image.requires_grad]
    if not pairs or not to:
        return [None] * len(to)
    ends, at_ends = zip(*pairs, strict=True)
    return torch.autograd.grad(
        ends, to, at_ends, retain_graph=True, create_graph=create_graph, allow_unused=True
    )


class _Implicit(torch.autograd.Function):
    """The fixed point, whose gradient goes through one round as if there had been as many as it takes.

    With J and K, the derivatives of a round with respect to the state and to all else, it is K^T g, where
    g = grads + J^T g. Autograd itself follows the images of that round back to the weights; the gradients of what the
    round has read from elsewhere are found here. If the gradient is to be differentiated itself, all of them are
    found here, from a second round whose derivatives depend on the fixed point.
    """

    @staticmethod
    def forward(ctx: Any, point: _Point, *images_outside_and_weights: Tensor) -> tuple[Tensor, ...]:
        """The fields of the state, unchanged."""
        ctx.point = point
        fields = tuple(field.detach() for field in point.leaves)
        ctx.save_for_backward(*images_outside_and_weights[len(point.images) :], *fields)
        return fields

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Solve g = grads + J^T g."""
        point: _Point = ctx.point
        if is_batched(grads):
            raise RuntimeError(
                "the gradient at a fixed point is found by iteration, one at a time, not many at once as "
                "is_grads_batched=True or vectorize=True ask for: ask for them one by one, or take a number of rounds, "
                "schedule(..., cycles='iterate', rounds=T)."
            )
        others, fields = ctx.saved_tensors[: -len(grads)], ctx.saved_tensors[-len(grads) :]
        outside, weights = others[: len(point.inside)], others[len(point.inside) :]
        if torch.is_grad_enabled():
            return (None, *[None] * len(grads), *_differentiable(point, grads, fields, outside, weights))

        def once(g: Fields) -> Fields:
            return _plus(grads, _back(point.images, point.leaves, g))

        with torch.enable_grad():
            solved = iterate(once, grads, point.until, point.component, "the gradients")
            return (None, *solved, *_back(point.images, point.inside, solved), *[None] * len(weights))


def _plus(grads: Fields, back: Sequence[Tensor | None]) -> list[Tensor]:
    return [grad if more is None else grad + more for grad, more in zip(grads, back, strict=True)]


def _differentiable(
    point: _Point, grads: Fields, h: Fields, outside: Fields, weights: Fields
) -> Sequence[Tensor | None]:
    """The gradients of what comes from elsewhere and of the weights, which have a gradient themselves."""
    if point.is_gradient:
        raise RuntimeError(_NO_THIRD)
    Gradients = namedtuple("Gradients", point.moving)

    def once(g: Any, cut: Cut) -> Any:
        with torch.enable_grad():
            at, read = [cut(field) for field in h], [cut(rows) for rows in outside]
            images = point.round_again(at, read)
            return Gradients(*_plus([cut(grad) for grad in grads], _back(images, at, g, create_graph=True)))

    def found(g: Fields) -> Fields:
        return [field.detach() for field in once(Gradients(*g), _apart)]

    solved = Gradients(
        *iterate(found, [grad.detach() for grad in grads], point.until, point.component, "the gradients")
    )
    solved = with_gradient(once, solved, point.moving, point.until, point.component, is_gradient=True)
    border = _Border()
    at, read = [border(field) for field in h], [border(rows) for rows in outside]
    values = _back(point.round_again(at, read), [*read, *weights], solved, create_graph=True)
    return _as_of_outside(values, border)


def _apart(rows: Tensor) -> Tensor:
    return rows.detach().requires_grad_()


def _as_of_outside(values: Sequence[Tensor | None], border: _Border) -> list[Tensor | None]:
    """Values that were computed from what stands inside a border, as values of what stands outside."""
    there = [value for value in values if value is not None and value.requires_grad]
    moved = iter(_AsOfOutside.apply(border.inside, len(there), *there, *border.outside) if there else ())
    return [next(moved) if value is not None and value.requires_grad else value for value in values]


class _AsOfOutside(torch.autograd.Function):
    """See `_as_of_outside`."""

    @staticmethod
    def forward(
        ctx: Any, inside: list[Tensor], count: int, *values_and_outside: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.inside, ctx.values = inside, values_and_outside[:count]
        return tuple(value.detach() for value in ctx.values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(_NO_THIRD)
        return (None, None, *grads, *_back(ctx.values, ctx.inside, grads))

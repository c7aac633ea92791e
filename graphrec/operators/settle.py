"""A round that is done again and again, or until nothing changes; differentiable either way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .fixed_point import FixedPoint, iterate
from .implicit import Round, with_gradient


def settle(
    once: Round, state: Any, rounds: int | FixedPoint, component: Tensor, constants: tuple[str, ...] = ()
) -> Any:
    """The state of a step's nodes after so many rounds, or at the fixed point.

    Args:
        once: a round.
        state: before the first one.
        rounds: how many.
        component: `[n]`, the strongly connected component of each node, each of which stops by itself.
        constants: the names of the state's fields that no round changes.
    """
    if isinstance(rounds, int):
        for _ in range(rounds):
            state = once(state, _as_it_is)
        return state
    _, component = torch.unique(component, return_inverse=True)

    def of_fields(fields: Sequence[Tensor]) -> Any:
        return once(type(state)(*fields), _as_it_is)

    with torch.no_grad():
        found = iterate(of_fields, state, rounds, component, "the states")
    moving = [name for name in state._fields if name not in constants]
    found = state._replace(**{name: found[state._fields.index(name)] for name in moving})
    return with_gradient(once, found, moving, rounds, component) if torch.is_grad_enabled() else found


def _as_it_is(rows: Tensor) -> Tensor:
    return rows

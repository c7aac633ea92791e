"""Which weight acts on which unit of the state, and so how sensitivities are stored."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import vmap

from .step_function import LocalStep, StepFunction, Weights


class Layout:
    """Weights as a table `[U, Q]` with a row for each unit: the Q weights that act on that unit alone.

    With one unit, U = 1, every weight may act on the whole state, and a node's sensitivities are the full matrix
    dstate/dtheta, `[K, Q]`. Where the U units of a cell are independent of each other, a weight of unit u changes
    only unit u: all units share a direction, and K numbers for each direction suffice. (This is how sparse
    Jacobians are found with few directions: Curtis, Powell & Reid, *On the estimation of sparse Jacobian matrices*,
    IMA Journal of Applied Mathematics 13, 1974.)

    Args:
        function: the step.
        units: U.
        with_initial: whether the initial state, `[K]`, counts as weights, too.

    Attributes:
        fields: F = K / U, how many numbers of the state each unit has.
        size: Q.
        shapes: of each weight, by name.
    """

    units: int
    fields: int

    def __init__(self, function: StepFunction, units: int, with_initial: bool) -> None:
        self.units, self.fields = units, function.width // units
        weights = function.weights
        self.shapes: dict[str, torch.Size] = {name: weight.shape for name, weight in weights.items()}
        self._like = next(iter(weights.values()), torch.zeros(()))
        self._sizes = [weight.numel() // units for weight in weights.values()]
        self.initial_size: int = self.fields if with_initial else 0
        self.size: int = sum(self._sizes) + self.initial_size

    def table(self, by_name: Weights) -> Tensor:
        """`[U, Q]`, from a tensor for each weight (without the initial state's part)."""
        parts = [_rows_of_units(by_name[name], self.units) for name in self.shapes]
        return torch.cat(parts, dim=1) if parts else self._like.new_zeros(self.units, 0)

    def by_name(self, table: Tensor) -> Weights:
        """A tensor for each weight, from `[U, Q]`."""
        parts = table.split([*self._sizes, self.initial_size], dim=1)
        return {
            name: _from_rows(part, shape, self.units)
            for (name, shape), part in zip(self.shapes.items(), parts[:-1], strict=True)
        }

    def initial(self, table: Tensor) -> Tensor:
        """`[..., K]`: the initial state's part of a table `[..., U, Q]`."""
        return table[..., self.size - self.initial_size :].transpose(-1, -2).flatten(-2)

    def begin(self) -> Tensor:
        """`[F, U, Q]`: the sensitivities of the initial state to itself."""
        start = self._like.new_zeros(self.fields, self.units, self.size)
        for field in range(self.initial_size):
            start[field, :, self.size - self.initial_size + field] = 1
        return start

    def push(self, step: LocalStep, sensitivity: Tensor | None) -> Tensor:
        """`[n, F, U, Q]`: the sensitivities after a step, from one derivative in each of the Q directions.

        Args:
            step: the step.
            sensitivity: of the sources, `[e, F, U, Q]`; None: they count as constants.
        """
        shape = (len(step.x), self.fields, self.units)
        if not self.size:
            return step.x.new_zeros(*shape, 0)
        number = torch.arange(self.size, device=step.x.device)
        own = self.begin().to(step.x)

        def along(q: Tensor, sources: Tensor | None, own: Tensor) -> Tensor:
            direction = (number == q).to(step.x.dtype).expand(self.units, -1)
            sources = torch.zeros_like(step.sources) if sources is None else sources.flatten(1)
            after = step.along(self.by_name(direction), sources, own.flatten().expand_as(step.own))
            return after.view(shape)

        in_dims = (0, None if sensitivity is None else -1, -1)
        return vmap(along, in_dims, out_dims=-1, chunk_size=_CHUNK)(number, sensitivity, own)


_CHUNK = 512  # directions per pass: each is as large as all weights


def _axis(shape: torch.Size, units: int) -> int | None:
    """The dimension of a weight along which its rows belong to units 0, 1, 2, …: the first, or else the last."""
    if not shape:
        return 0 if units == 1 else None
    if shape[0] % units == 0:
        return 0
    return len(shape) - 1 if shape[-1] == units else None


def _rows_of_units(weight: Tensor, units: int) -> Tensor:
    if _axis(weight.shape, units) == 0:
        rows = weight.reshape(-1, units, weight.numel() // max(1, weight.shape[0] if weight.dim() else 1))
        return rows.transpose(0, 1).flatten(1)
    return weight.reshape(-1, units).t()


def _from_rows(rows: Tensor, shape: torch.Size, units: int) -> Tensor:
    if _axis(shape, units) == 0:
        rest = shape.numel() // max(1, shape[0] if shape else 1)
        return rows.reshape(units, -1, rest).transpose(0, 1).reshape(shape)
    return rows.t().reshape(shape)


def has_rows_for_units(weights: Weights, units: int) -> bool:
    """Whether each weight has a part for each unit."""
    return all(_axis(weight.shape, units) is not None for weight in weights.values())

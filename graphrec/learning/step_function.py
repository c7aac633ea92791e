"""A cell's step as a function for `torch.func` to differentiate: of weights, sources and the node's own state."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp, vmap

from ..cell import Cell
from ..cells.hooks import inputs_changed
from ..cells.wrapping import with_message
from ..weights import paths_of_weights

Weights = dict[str, Tensor]


class StepFunction:
    """One step of a cell over n nodes and e edges, with all that it reads as arguments, `project` included.

    States are flat here: `[n, K]`, the fields of a state concatenated.

    Args:
        cell: the equations.
        cut: names of layers whose inputs count as constants.

    Attributes:
        weights: the cell's parameters that are trained, by name.
        width: K.
    """

    cell: Cell
    cut: tuple[str, ...]

    def __init__(self, cell: Cell, cut: tuple[str, ...] = ()) -> None:
        self.cell, self.cut = cell, cut
        self.names: tuple[str, ...] = tuple(
            name for name, weight in cell.named_parameters() if weight.requires_grad
        )
        self._shapes = cell.shapes()
        self._sizes = [torch.Size(shape).numel() for shape in self._shapes]
        self.width: int = sum(self._sizes)
        self._step = _Step(_twin(cell))
        self._paths = paths_of_weights(cell)

    @property
    def weights(self) -> Weights:
        """Looked up at each access: an optimiser may have changed them since the last step."""
        weights = dict(self.cell.named_parameters())
        return {name: weights[name] for name in self.names}

    def sources(self, inbox: Any) -> Tensor:
        """`[e, K]`: the states in an inbox."""
        return self.flat([getattr(inbox, name) for name in self.cell.State._fields])

    def flat(self, fields: Any) -> Tensor:
        """`[n, K]`, from the fields of a state."""
        parts = zip(fields, self._sizes, strict=True)
        return torch.cat([field.reshape(len(field), size) for field, size in parts], dim=1)

    def state(self, flat: Tensor) -> Any:
        """A State, from `[n, K]`."""
        parts = flat.split(self._sizes, dim=1)
        return self.cell.State(
            *(part.reshape(len(flat), *shape) for part, shape in zip(parts, self._shapes, strict=True))
        )

    def __call__(self, weights: Weights, x: Tensor, sources: Tensor, own: Tensor, inbox: Any) -> Tensor:
        """`[n, K]`: the new states, from `x` `[n, D]`, `sources` `[e, K]` and `own` `[n, K]`."""
        with inputs_changed(self._step.cell, self.cut, torch.Tensor.detach) if self.cut else nullcontext():
            return self.uncut(weights, x, sources, own, inbox)

    def uncut(self, weights: Weights, x: Tensor, sources: Tensor, own: Tensor, inbox: Any) -> Tensor:
        """The same, with nothing as a constant."""
        names = self.cell.State._fields
        fields = dict(zip(names, self.state(sources), strict=True))
        seen = inbox.renamed({name: name for name in names}).replaced(**fields)
        placed = {f"cell.{path}": weights[name] for path, name in self._paths.items() if name in weights}
        return self.flat(functional_call(self._step, placed, (x, seen, self.state(own)), tie_weights=False))


def _twin(cell: Cell) -> Cell:
    """Copies of the modules with the same tensors: replacing weights here does not affect other users."""
    kept = {}
    for part in cell.modules():
        for value in (*vars(part).values(), *part.parameters(recurse=False), *part.buffers(recurse=False)):
            if isinstance(value, Tensor):
                kept[id(value)] = value
    return copy.deepcopy(cell, kept)


class _Step(nn.Module):
    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, inbox: Any, own: Any) -> Any:
        cell = self.cell
        return cell(cell.project(x), inbox.read_by(cell), with_message(cell, own))


class LocalStep:
    """A step at its arguments, ready to be differentiated there.

    Args:
        function: the step.
        x, inbox, own: as the engine gives them to a cell; the inbox and `own` may have more fields than the cell's.
    """

    function: StepFunction
    x: Tensor
    inbox: Any

    def __init__(self, function: StepFunction, x: Tensor, inbox: Any, own: Any) -> None:
        self.function, self.x, self.inbox = function, x, inbox
        self.weights: dict[str, Tensor] = {name: weight.detach() for name, weight in function.weights.items()}
        self.sources: Tensor = function.sources(inbox)
        self.own: Tensor = function.flat([getattr(own, name) for name in function.cell.State._fields])

    def value(self) -> Tensor:
        """`[n, K]`: the new states."""
        return self.function(self.weights, self.x, self.sources, self.own, self.inbox)

    def along(self, weights: Weights, sources: Tensor, own: Tensor) -> Tensor:
        """`[n, K]`: the derivative of the new states in one direction, given by a tangent for each argument."""

        def step(weights: Weights, sources: Tensor, own: Tensor) -> Tensor:
            return self.function(weights, self.x, sources, own, self.inbox)

        return jvp(step, (self.weights, self.sources, self.own), (weights, sources, own))[1]

    def along_sources(self, sources: Tensor) -> Tensor:
        """`[n, K]`: the same where only the sources change."""
        still = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        return self.along(still, sources, torch.zeros_like(self.own))

    def both_ways(self) -> tuple[Tensor, Tensor, Tensor]:
        """u' (J v) and (J' u)' v for random u and v, `[]` each, J by weights and sources: equal up to round-off.

        With them ||J v|| ||u||, the scale of the round-off.
        """
        weights = {name: _drawn(weight) for name, weight in self.weights.items()}
        sources = _drawn(self.sources)
        after = self.along(weights, sources, torch.zeros_like(self.own))
        chosen = _drawn(after)

        def step(weights: Weights, sources: Tensor) -> Tensor:
            return self.function(weights, self.x, sources, self.own, self.inbox)

        of_weights, of_sources = vjp(step, self.weights, self.sources)[1](chosen)
        back = sum((of_weights[name] * weights[name]).sum() for name in weights)
        return (after * chosen).sum(), back + (of_sources * sources).sum(), after.norm() * chosen.norm()

    def across_units(self, layout: Any, with_sources: bool) -> Tensor:
        """`[p, n, F, U]`: what weights (and sources) of some units change in the others; zero if units are independent.

        Any two units are on different sides at least once, both ways: for each of the p / 2 bits, the units whose
        number has it set, and those without it.

        Args:
            layout: the weights by unit.
            with_sources: whether the sources' states change with the weights.
        """
        units, like = layout.units, self.x
        table = _drawn(like.new_empty(units, layout.size))
        sources = _drawn(self.sources).view(-1, layout.fields, units) * with_sources

        def of_some(chosen: Tensor) -> Tensor:
            weights = layout.by_name(table * chosen.unsqueeze(1))
            after = self.along(weights, (sources * chosen).flatten(1), torch.zeros_like(self.own))
            return after.view(-1, layout.fields, units) * (1 - chosen)

        bit = torch.arange((units - 1).bit_length(), device=like.device)
        is_set = ((torch.arange(units, device=like.device) >> bit[:, None]) & 1).to(like.dtype)
        return vmap(of_some)(torch.cat([is_set, 1 - is_set]))

    def to_weights(self, grad: Tensor) -> Tensor:
        """`[n, P]`: each node's own part of the gradient of the weights, from that of its new state `[n, K]`."""
        back = vjp(
            lambda weights: self.function(weights, self.x, self.sources, self.own, self.inbox), self.weights
        )[1]

        def of_node(node: Tensor) -> Tensor:
            of_weights = back(grad * node.unsqueeze(1))[0]
            parts = [of_weights[name].flatten() for name in self.weights]
            return torch.cat(parts) if parts else grad.new_zeros(0)

        return vmap(of_node)(torch.eye(len(grad), dtype=grad.dtype, device=grad.device))

    def reads_own(self) -> bool:
        """Whether the new states depend on the nodes' own previous ones."""
        still = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        return bool(self.along(still, torch.zeros_like(self.sources), _drawn(self.own)).any())

    def own_units(self, units: int) -> Tensor:
        """`[e, F, F, U]`: the derivatives of fields of each target's unit by fields of the same unit of a source."""
        fields = self.function.width // units
        shape = (len(self.sources), fields, units)
        if not len(self.sources):
            return self.x.new_zeros(0, fields, fields, units)
        back = vjp(
            lambda sources: self.function(self.weights, self.x, sources, self.own, self.inbox), self.sources
        )[1]

        def row(field: Tensor, unit: Tensor) -> Tensor:
            chosen = torch.outer(field, unit).flatten().expand(len(self.x), -1)
            return (back(chosen)[0].view(shape) * unit).sum(-1)

        one_of = torch.eye(fields, dtype=self.x.dtype, device=self.x.device)
        unit = torch.eye(units, dtype=self.x.dtype, device=self.x.device)
        over_units = vmap(row, in_dims=(None, 0), out_dims=-1)
        return vmap(over_units, in_dims=(0, None), out_dims=1)(one_of, unit)

    def to_x(self, grad: Tensor) -> Tensor:
        """`[n, D]`: the gradient of x from that of the new states `[n, K]`, with their sources held fixed.

        A layer that counts its input as a constant may read x as well as the sources, so nothing is cut here.
        """
        back = vjp(
            lambda x: self.function.uncut(self.weights, x, self.sources, self.own, self.inbox), self.x
        )[1]
        return back(grad)[0]


def _drawn(like: Tensor) -> Tensor:
    """Random numbers, always the same ones, without changing torch's own generator."""
    generator = torch.Generator(like.device).manual_seed(0)
    return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)

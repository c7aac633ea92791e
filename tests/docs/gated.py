"""Runs of gated cells by the engine, to be compared with the formulas of docs/derivations.md, 6-4 and 6-5."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import graphrec as gr
from tests.docs.local_gradients import Readout, run_locally

T, D, H = 5, 3, 4
STEPS = range(1, T + 1)
ZERO = torch.zeros(H).double()


class Trial:
    """A run of a gated cell by the engine, and by hand whatever is asked of it; lists begin with step 0."""

    def __init__(self, cell: gr.Cell) -> None:
        self.cell = cell.double()
        self.x = torch.randn(T, D).double()
        self.initial = cell.State(*(torch.rand(1, H).double() for _ in cell.State._fields))
        self.readout = Readout(H, T)
        self.local = run_locally(cell, gr.chain(T), self.x, self.initial)
        self.loss = self.readout.losses(self.local.state.h).sum()
        self.inputs = [None, *self.x]

    def weights(self) -> dict[str, Tensor]:
        names, weights = zip(*self.cell.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(self.loss, weights, retain_graph=True), strict=True))

    def jacobian(self) -> Tensor:
        """Of the last state with respect to the initial one, all fields side by side, by autograd."""
        plan = gr.schedule(gr.chain(T))

        def last(*initial: Tensor) -> Tensor:
            state = gr.run(self.cell, plan, self.x, self.cell.State(*(field[None] for field in initial)))
            return torch.cat([field[-1] for field in state])

        fields = tuple(field[0] for field in self.initial)
        return torch.cat(torch.autograd.functional.jacobian(last, fields), dim=1)


def gates(layer: nn.Linear, names: str, what: str = "weight") -> dict[str, Tensor]:
    return dict(zip(names, getattr(layer, what).detach().chunk(len(names)), strict=True))


def stacked(by_gate: dict[str, dict[int, Tensor]]) -> Tensor:
    """`[T, gates * H]`, as a cell's z."""
    return torch.stack([torch.cat([delta[t] for delta in by_gate.values()]) for t in STEPS])


def product(factors: list[Tensor]) -> Tensor:
    """Of the factors of the steps 1 … T, the last one to the left."""
    total = torch.eye(len(factors[0])).double()
    for factor in factors:
        total = factor @ total
    return total


def memory_left(cell: gr.Cell, field: str, x: Tensor) -> Tensor:
    """The Jacobian of the last value of a field of the state by its initial one, all others zero."""

    def last(initial: Tensor) -> Tensor:
        zero = cell.State(*(torch.zeros(1, H).double() for _ in cell.State._fields))
        state = gr.run(cell, gr.schedule(gr.chain(len(x))), x, zero._replace(**{field: initial[None]}))
        return getattr(state, field)[-1]

    return torch.autograd.functional.jacobian(last, torch.zeros(H).double())

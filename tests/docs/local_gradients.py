"""Gradients within a run, by autograd: with respect to each node's pre-activation z and to its state."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

import graphrec as gr


class Nudged(gr.Cell):
    """A cell to whose z and state zeros from its input are added: their gradients are dL/dz and dL/dstate.

    What is added to a field of the state is seen by later nodes and by the loss, not by other fields of the same node.

    Shapes: x `[N, D + Z + S]`: the cell's own input; what is added to its projected input, Z wide; what is added to
    its state, all fields side by side, S wide.
    """

    def __init__(self, cell: gr.Cell, z_width: int) -> None:
        super().__init__(hidden=cell.hidden)
        self.cell, self.State, self.arity = cell, cell.State, cell.arity
        self.state_widths = [width for (width,) in cell.shapes()]
        self.widths = [cell.inputs, z_width, sum(self.state_widths)]

    def project(self, x: Tensor) -> Tensor:
        own, z, state = x.split(self.widths, dim=1)
        return torch.cat([self.cell.project(own) + z, state], dim=1)

    def forward(self, x: Tensor, inbox: gr.Inbox, own: Any) -> Any:
        z, nudges = x.split(self.widths[1:], dim=1)
        state = self.cell(z, inbox, own)
        return self.State(
            *(a + b for a, b in zip(state, nudges.split(self.state_widths, dim=1), strict=True))
        )


class Local(NamedTuple):
    """A run in which every z and every field of the state can be asked for the gradient of a loss."""

    state: Any
    z: Tensor
    nudges: Tensor
    widths: list[int]

    def gradients(self, loss: Tensor) -> list[Tensor]:
        """dL/dz `[N, Z]`, and dL/dstate `[N, ·]` field by field."""
        of_z, of_state = torch.autograd.grad(loss, [self.z, self.nudges], retain_graph=True)
        return [of_z, *of_state.split(self.widths, dim=1)]


def run_locally(cell: gr.Cell, structure: gr.Structure, x: Tensor, initial: Any = None) -> Local:
    """Run a cell by the engine."""
    z = torch.zeros_like(cell.project(x)).detach().requires_grad_()
    nudged = Nudged(cell, z.shape[1])
    nudges = x.new_zeros(len(x), nudged.widths[2]).requires_grad_()
    state = gr.run(nudged, gr.schedule(structure), torch.cat([x, z, nudges], dim=1), initial)
    return Local(state, z, nudges, nudged.state_widths)


class Readout:
    """Losses L_t = logsumexp(y_t) - y_t[k_t], the cross entropy of y_t = V h_t + c and a class k_t.

    Args:
        hidden: H.
        steps: T.
    """

    def __init__(self, hidden: int, steps: int, classes: int = 3) -> None:
        self.V = torch.randn(classes, hidden, dtype=torch.double, requires_grad=True)
        self.c = torch.randn(classes, dtype=torch.double, requires_grad=True)
        self.k = torch.randint(classes, (steps,))

    def losses(self, h: Tensor) -> Tensor:
        """`[T, H] → [T]`, for autograd."""
        y = h @ self.V.t() + self.c
        return torch.logsumexp(y, dim=1) - y[torch.arange(len(y)), self.k]

    def of_y(self, h: list[Tensor]) -> dict[int, Tensor]:
        """L_t'(y_t) for t = 1 … T, by hand, from the states h_0 … h_T."""
        made = {}
        for t in range(1, len(h)):
            odds = torch.exp(self.V.detach() @ h[t] + self.c.detach())
            made[t] = odds / odds.sum()
            made[t][self.k[t - 1]] -= 1
        return made

    def pulls(self, h: list[Tensor]) -> dict[int, Tensor]:
        """V^T L_t'(y_t) for t = 1 … T, by hand: what the loss at t adds to dL/dh_t."""
        return {t: self.V.detach().t() @ of_y for t, of_y in self.of_y(h).items()}

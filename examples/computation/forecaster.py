"""An SRN that predicts the next state of a dynamical system, and continues from its own predictions."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch_geometric.data import Data

import graphrec as gr


class FreeRun(gr.Cell):
    """An SRN that reads its own output: h_t = f(W y_{t-1} + U h_{t-1} + b), y_t = V h_t + c.

    Shapes: x `[N, 0]`, no input; State `h` `[N, H]`, `y` `[N, C]`.
    """

    class State(NamedTuple):
        """The hidden units, and the output."""

        h: Tensor
        y: Tensor

    arity = 1

    def __init__(self, cell: gr.Cell, output: nn.Linear) -> None:
        super().__init__(0, cell.hidden)
        self.cell, self.output = cell, output

    def shapes(self) -> list[tuple[int, ...]]:
        """h and y."""
        return [(self.hidden,), (self.output.out_features,)]

    def forward(self, x: Tensor, inbox: gr.Inbox, own: Any) -> State:
        """One step."""
        h = self.cell(self.cell.project(inbox.sum(inbox.y)), inbox, own).h
        return self.State(h, self.output(h))


class Forecaster(nn.Module):
    """An SRN that predicts the next state of a system with C coordinates."""

    def __init__(self, coordinates: int, hidden: int) -> None:
        super().__init__()
        self.read = gr.SRN(coordinates, hidden)
        self.output = nn.Linear(hidden, coordinates)

    def forward(self, batch: Data) -> Tensor:
        """`[N, C]`: what it predicts from the true states."""
        return self.output(self.read(batch.before, batch))

    def rollout(self, known: Tensor, steps: int) -> Tensor:
        """`[G, W, C] → [G, steps, C]`: the states after the last of W known ones, by its own predictions."""
        count, warm, coordinates = known.shape
        before = known[:, :-1].reshape(-1, coordinates)
        _, [state] = self.read.with_states(before, gr.chains([warm - 1] * count))
        free = FreeRun(self.read.cell, self.output)
        plan = gr.schedule(gr.chains([steps] * count))
        nothing = known.new_zeros(count * steps, 0)
        y = gr.run(free, plan, nothing, gr.per_graph(free.State(state.h, known[:, -1]))).y
        return y.view(count, steps, coordinates)

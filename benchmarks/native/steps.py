"""A single step of a few rows without gradients, as an agent in its environments takes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import graphrec as gr

from .figures import Figure, Target
from .race import LOOP, NEW, Race

ROWS, HIDDEN, TIMES = 8, 64, 100
CELL = "nn.GRUCell"
TARGET = Target(1.5, 1.1, small=True)


def run(rounds: int, quick: bool) -> list[Figure]:
    """One `gr.run` from given states; and `gr.steps` along a chain, beside as many calls in a Python loop."""
    times = 3 if quick else TIMES
    torch.manual_seed(0)
    theirs = nn.GRUCell(HIDDEN, HIDDEN)
    ours = gr.GRUCell(HIDDEN, HIDDEN)
    for layer, of in ((ours.input, "ih"), (ours.recurrent, "hh")):
        layer.load_state_dict({part: getattr(theirs, f"{part}_{of}") for part in ("weight", "bias")})
    x, h = torch.randn(times, ROWS, HIDDEN), torch.randn(ROWS, HIDDEN)
    case = f"{ROWS} rows, H={HIDDEN}"
    return [
        _one(ours, theirs, x[0], h, case)
        .run(rounds)
        .figure("GRU, **a single step**, inference", case, NEW, CELL, TARGET),
        _repeated(ours, theirs, x, h)
        .run(rounds)
        .figure(f"GRU, {times} single steps by `gr.steps`, inference", case, NEW, CELL, TARGET),
    ]


def _one(ours: gr.GRUCell, theirs: nn.GRUCell, x: Tensor, h: Tensor, case: str) -> Race:
    plan = gr.schedule(gr.chains([1] * ROWS))
    state = gr.per_graph(h)

    @torch.no_grad()
    def step() -> Tensor:
        return gr.run(ours, plan, x, state).h

    @torch.no_grad()
    def their_step() -> Tensor:
        return theirs(x, h)

    torch.testing.assert_close(step(), their_step())
    race = Race(step)
    race.add(CELL, their_step)
    race.add_backend(LOOP)
    return race


def _repeated(ours: gr.GRUCell, theirs: nn.GRUCell, x: Tensor, h: Tensor) -> Race:
    plan = gr.schedule(gr.chains([len(x)] * ROWS, batch_first=False))
    state, rows = gr.per_graph(h), x.flatten(0, 1)

    @torch.no_grad()
    def walk() -> Tensor:
        last = h
        for visit in gr.steps(ours, plan, rows, state):
            last = visit.state.h
        return last

    @torch.no_grad()
    def their_walk() -> Tensor:
        last = h
        for row in x:
            last = theirs(row, last)
        return last

    torch.testing.assert_close(walk(), their_walk())
    race = Race(walk)
    race.add(CELL, their_walk)
    return race

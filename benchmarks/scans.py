"""Linear recurrences, a minimal GRU and a decay for each unit: by `scans`, programs, the loop, and in log-space.

A line is a step of training: gates, states, and the gradients of all weights. Ratios are paired by round; seconds of
the loop are measured once, if that takes less than half a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphrec as gr
from graphrec import clib

from .timing import Timing, interleave


class MinimalGRU(gr.AffineCell):
    """h_t = (1 - z_t) h_{t-1} + z_t g(W x_t), z_t = sigmoid(V x_t), g positive (Feng et al. 2024, appendix B)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.input = nn.Linear(inputs, 2 * hidden)

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)

    def factor(self, x: Tensor) -> Tensor:
        return torch.sigmoid(-x[:, : self.hidden])

    def term(self, x: Tensor) -> Tensor:
        z, h = x.chunk(2, dim=-1)
        return torch.sigmoid(z) * torch.where(h >= 0, torch.relu(h) + 0.5, torch.sigmoid(h))


class Decay(gr.AffineCell):
    """h_t = a h_{t-1} + W x_t: a factor that all nodes have in common."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.input, self.decay = nn.Linear(inputs, hidden), nn.Parameter(torch.rand(1, hidden))

    def project(self, x: Tensor) -> Tensor:
        return self.input(x)

    def factor(self, x: Tensor) -> Tensor:
        return self.decay

    def term(self, x: Tensor) -> Tensor:
        return x


def in_log_space(cell: MinimalGRU, x: Tensor) -> Tensor:
    """The minimal GRU of `[T, B, D]` by cumulated logarithms, as its paper's appendix has it."""
    z, h = cell.input(x).chunk(2, dim=-1)
    log_factor = -F.softplus(z)
    log_term = -F.softplus(-z) + torch.where(h >= 0, (torch.relu(h) + 0.5).log(), -F.softplus(-h))
    total = log_factor.cumsum(0)
    return (total + (log_term - total).logcumsumexp(0)).exp()


def run(rounds: int, quick: bool) -> None:
    """Print the table."""
    print("| cell | structure, H | scans, ms | programs | cumsum in log-space | loop |")
    print("|---|---|---|---|---|---|")
    sizes = [(100, 4, 32), (1000, 1, 16)] if quick else [(1000, 8, 128), (100, 32, 128), (1000, 8, 32)]
    sizes += [] if quick else [(10_000, 1, 64), (1_000_000, 1, 16)]
    for kind in (MinimalGRU, Decay):
        for steps, count, hidden in sizes:
            s = gr.chains([steps] * count)
            _line(kind, f"{count} x {steps:,} steps, {hidden}", s, hidden, rounds, (steps, count))
        trees = 20 if quick else 1000
        s = gr.batch([gr.tree(parents=_parents(40)) for _ in range(trees)])
        _line(kind, f"{trees} trees of 40, 64", s, 64, rounds, None)
    print()


def _parents(count: int) -> list[int]:
    """Each node's parent is one of the five next nodes."""
    return [int(v + 1 + torch.randint(min(5, count - 1 - v), ())) for v in range(count - 1)] + [-1]


def _line(
    kind: Any, name: str, s: gr.Structure, hidden: int, rounds: int, shape: tuple[int, int] | None
) -> None:
    torch.manual_seed(0)
    cell, plan, x = kind(hidden, hidden), gr.schedule(s), torch.randn(s.num_nodes, hidden)
    weights = list(cell.parameters())

    def step(states: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(states().sum(), weights)

    tasks = {"scans": step(lambda: gr.run(cell, plan, x, backend="scans").h)}
    if clib.library() is not None:
        tasks["native"] = step(lambda: gr.run(cell, plan, x, backend="native").h)
    if shape is not None and kind is MinimalGRU and s.num_nodes <= 10**5:
        steps_first = x.unflatten(0, shape)
        tasks["log-space"] = step(lambda: in_log_space(cell, steps_first))
    found: dict[str, Timing] = interleave(tasks, rounds, warm_up=1)
    cells = [kind.__name__, name, f"{1e3 * found['scans'].median:.1f}"]
    ratios = {other: f"{timing.ratio_to(found['scans']):.1f}x" for other, timing in found.items()}
    cells += [ratios.get("native", ""), ratios.get("log-space", ""), ""]
    if s.num_nodes <= 50_000:
        loop = step(lambda: gr.run(cell, plan, x, backend="loop").h)
        loop()
        began = time.perf_counter()
        loop()
        cells[-1] = f"{(time.perf_counter() - began) / found['scans'].median:.0f}x"
    print(f"| {' | '.join(cells)} |", flush=True)

"""A layer ready to run, as one of several that compute the same, and how many of them are timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

import graphrec as gr

from .timing import Timing, interleave, peak_memory

MODES = ("training", "inference")
TOLERANCE = 1e-4  # float32, relative to the largest entry; sums run in another order at each contender


class Row(NamedTuple):
    """The figures of all contenders for one network, shape and mode, by contender; graphrec's own come first.

    Attributes:
        memory: the most MB that a run needs.
    """

    net: str
    shape: str
    mode: str
    timings: dict[str, Timing]
    memory: dict[str, float]


class Contender:
    """A layer ready to run.

    Args:
        module: with the weights.
        x: its inputs, in its own layout.
        forward: from the inputs to the states of all nodes, of any shape.
        rows: from that shape to `[N, H]`, in the same order for all; for the comparison of results.
        inside: whether there would be layers below, so that x wants a gradient.
    """

    def __init__(
        self,
        module: nn.Module,
        x: Tensor,
        forward: Callable[[Tensor], Tensor],
        rows: Callable[[Tensor], Tensor] = lambda rows: rows,
        inside: bool = True,
    ) -> None:
        self.module, self.forward, self.rows, self.inside = module, forward, rows, inside
        self.x = x.detach().clone().requires_grad_(inside)
        self.leaves = [self.x, *module.parameters()]
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            like = forward(self.x)
        # The same upstream gradient for all, in each one's own layout.
        upstream = torch.randn(rows(like).shape, generator=generator)
        given = torch.zeros_like(like).requires_grad_()
        (rows(given) * upstream).sum().backward()
        self.upstream = given.grad

    def train(self) -> Tensor:
        """Forward and backward, to fresh gradients."""
        for tensor in self.leaves:
            tensor.grad = None
        h = self.forward(self.x)
        h.backward(self.upstream)
        return h

    def infer(self) -> None:
        """Forward, with nothing kept."""
        with torch.no_grad():
            self.forward(self.x)

    def results(self) -> dict[str, Tensor]:
        """States, gradients of the inputs, and the size of the weights' gradients."""
        h = self.train()
        # Of matrices, whose layout all share; peepholes, three rows of which are one, are laid out otherwise elsewhere.
        grads = [p.grad for p in self.module.parameters() if p.dim() == 2 and min(p.shape) > 3]
        norms = torch.stack([grad.norm() for grad in grads if grad is not None])
        found = {"h": self.rows(h).detach(), "weights": norms.sort().values}
        if self.x.grad is not None:
            found["x"] = self.rows(self.x.grad)
        return found


def time_all(net: str, shape: str, contenders: dict[str, Contender], rounds: int) -> list[Row]:
    """Time contenders in turns, after a look at whether they compute the same; the first is graphrec's."""
    print(f"{net}, {shape}")
    check_agreement(contenders)
    rows = []
    for mode in MODES:
        tasks = {name: c.train if mode == "training" else c.infer for name, c in contenders.items()}
        memory = {name: peak_memory(task) for name, task in tasks.items()}
        rows.append(Row(net, shape, mode, interleave(tasks, rounds), memory))
    return rows


def check_agreement(contenders: dict[str, Contender]) -> None:
    """All compute the same values and gradients; timings of different things would say nothing."""
    with gr.running_on("loop"):
        right = next(iter(contenders.values())).results()
    for name, contender in contenders.items():
        found = contender.results()
        off = {k: float((found[k] - right[k]).abs().max() / right[k].abs().max()) for k in right}
        differs = ", ".join(f"{k} {value:.0e}" for k, value in off.items())
        if not max(off.values()) <= TOLERANCE:  # so that NaN is refused too
            raise RuntimeError(f"{name} computes something else: {differs} (at most {TOLERANCE}).")


def table(rows: list[Row], shape: str) -> str:
    """The figures, row by row; `shape` is the heading of the column of shapes."""
    lines = [f"| network | {shape} | mode | ms |", "|---|---|---|---|"]
    for row in rows:
        ours = next(iter(row.timings.values()))
        cells = []
        for name, t in row.timings.items():
            span = f"{name} {1e3 * t.median:.2f} ({1e3 * t.lowest:.2f} to {1e3 * t.highest:.2f})"
            ratio = "" if t is ours else f", {t.ratio_to(ours):.2f}×"
            cells.append(f"{span}{ratio}, {row.memory[name]:.1f} MB")
        lines.append(f"| {row.net} | {row.shape} | {row.mode} | {'; '.join(cells)} |")
    return "\n".join(lines)

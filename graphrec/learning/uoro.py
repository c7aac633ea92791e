"""Unbiased online recurrent optimisation: the sensitivities as one random product."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..structure.checks import as_count
from .forward import ForwardRule
from .layout import Layout
from .step_function import LocalStep, StepFunction
from .traced import Trace


class UORO(ForwardRule):
    """Unbiased online recurrent optimisation: for each node two vectors whose outer product is S_v on average.

        s_v = r_0 J s + r_1 nu,   t_v = t / r_0 + (nu' dstate_v/dtheta) / r_1,   E[s_v t_v'] = S_v
        dL/dtheta = sum_v (dL/dstate_v s_v) t_v'

    nu are random signs, r_0 and r_1 make the two factors of each product equally long. Where a node has several
    sources, each has a random sign that multiplies both its vectors, and J s and t are sums.

    Tallec & Ollivier, *Unbiased online recurrent optimization*, ICLR 2018 (arXiv 1702.05043, 2017), algorithm 1.
    Unbiased, but with noise that grows with the length: use small learning rates. K + P numbers for each node; a step
    of n nodes costs as much as n steps backwards.

    Args:
        seed: of the random signs.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = as_count("seed", seed)
        self._generators: dict[torch.device, torch.Generator] = {}

    def trace(self, cell: Cell, with_initial: bool = False) -> Trace:
        """The two vectors; see `ForwardRule.trace`."""
        if with_initial:
            raise ValueError(
                "UORO has no gradient for an initial state: detach it, or learn it with RTRL or BPTT."
            )
        function = StepFunction(cell)
        return _Product(function, Layout(function, 1, False), self.signs)

    def signs(self, *shape: int, like: Tensor) -> Tensor:
        """Random signs."""
        if like.device not in self._generators:
            self._generators[like.device] = torch.Generator(like.device).manual_seed(self.seed)
        drawn = torch.randint(2, shape, generator=self._generators[like.device], device=like.device)
        return 2 * drawn.to(like.dtype) - 1

    def verdict(self, cell: Cell) -> str:
        """Noisy."""
        return "right on average, with noise in each draw"


class _Product(Trace):
    """The direction in the state `[K]` and the one in the weights `[Q]`."""

    names = ("in_state", "in_weights")

    def __init__(self, function: StepFunction, layout: Layout, signs: Any) -> None:
        super().__init__(function, layout)
        self.signs = signs

    def begin(self) -> tuple[Tensor, ...]:
        """Zero."""
        return torch.zeros(self.function.width), torch.zeros(self.layout.size)

    def after(self, step: LocalStep, inbox: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Both directions of the sources, merged, with new noise."""
        of_state, of_weights = inbox.in_state, inbox.in_weights
        scale = _balance(of_weights, of_state)
        sign = self.signs(len(of_state), 1, like=step.x)
        of_state = step.along_sources(sign * scale * of_state)
        of_weights = inbox.sum_unmasked(sign / scale * of_weights)
        noise = self.signs(len(step.x), self.function.width, like=step.x)
        of_noise = step.to_weights(noise)
        r_0, r_1 = _balance(of_weights, of_state), _balance(of_noise, noise)
        return step.value(), (r_0 * of_state + r_1 * noise, of_weights / r_0 + of_noise / r_1)

    def gradient(self, grad: Tensor, sent: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """(grad s) t'."""
        of_state, of_weights = sent
        return (grad * of_state).sum(1, keepdim=True).t() @ of_weights, torch.zeros_like(grad)


def _balance(of_weights: Tensor, of_state: Tensor) -> Tensor:
    """`[n, 1]`: the factor of one vector, and divisor of the other, that makes both equally long."""
    tiny = torch.finfo(of_state.dtype).eps
    lengths = [part.norm(dim=1, keepdim=True) + tiny for part in (of_weights, of_state)]
    return (lengths[0] / lengths[1]).sqrt()

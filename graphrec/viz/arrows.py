"""Arrows for matplotlib that run through given points, up to the rim of a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EDGE = "#8F99A5"


def draw_arrows(ax: Axes, lines: Sequence[Tensor], radii: Sequence[float], dashed: bool = False) -> None:
    """Along each line an arrow, `[points, 2]`, that ends at the rim of a node whose radius is so many points."""
    from matplotlib.patches import FancyArrowPatch

    for line, radius in zip(lines, radii, strict=True):
        arrow = FancyArrowPatch(
            tuple(line[0].tolist()),
            tuple(line[-1].tolist()),
            connectionstyle=_Through(ax, line[1:-1], radius),  # type: ignore[arg-type]  # any callable will do
            arrowstyle="-|>",
            mutation_scale=7.0,
            color=EDGE,
            linewidth=1.1,
            linestyle="--" if dashed else "-",
            capstyle="round",
            joinstyle="round",
            zorder=1,
        )
        ax.add_patch(arrow)


class _Through:
    """How an arrow gets from here to there, for matplotlib: by points between, and up to the rim of its target."""

    def __init__(self, ax: Axes, between: Tensor, radius: float) -> None:
        self.ax, self.between, self.radius = ax, between.numpy(), radius

    def __call__(self, start: Any, end: Any, **_: Any) -> Any:
        import numpy as np
        from matplotlib.path import Path

        between = self.ax.transData.transform(self.between) if len(self.between) else np.zeros((0, 2))
        points = np.concatenate([[start], between, [end]])
        last = points[-1] - points[-2]
        length = np.hypot(*last)
        # (The figure's own numbers are in pixels, and radii in points.)
        figure = self.ax.figure
        assert figure is not None
        short = min((self.radius + 1) * figure.dpi / 72, length / 2)
        points[-1] -= last * (short / length if length else 0)
        return Path(points)


def looped(line: Tensor) -> Tensor:
    """The line of an edge from a node to itself is a ring at its side."""
    if not torch.equal(line[0], line[-1]):
        return line
    turn = torch.linspace(-torch.pi, torch.pi, 24)
    return line[0] + torch.stack([0.12 + 0.12 * turn.cos(), 0.2 * turn.sin()], dim=1)

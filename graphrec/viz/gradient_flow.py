"""Gradients over distance, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch_geometric.data import Data

from ..dynamics import GradientFlow
from ..dynamics import gradient_flow as measure
from ..structure import Structure
from .draw import check_axes, check_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which stay apart for colour-blind eyes.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")


def gradient_flow(
    models: nn.Module | Mapping[str, nn.Module],
    x: Tensor,
    s: Structure | Data,
    ax: Axes | None = None,
    **options: Any,
) -> Any:
    """Measure the gradient flow of a model, or of several by name, over the same inputs, and draw it.

    As `matplotlib.pyplot.hist` is to `numpy.histogram`, so is this to `graphrec.dynamics.gradient_flow`.

    Args:
        models: a cell or a model, or a dictionary of them.
        x, s, options: as in `graphrec.dynamics.gradient_flow`.
        ax: as in `draw_gradient_flow`.

    Returns:
        The `GradientFlow`, or a dictionary of them, under the same names.
    """
    check_matplotlib()
    check_axes(ax)
    if not isinstance(models, Mapping):
        flow = measure(models, x, s, **options)
        draw_gradient_flow(flow, ax)
        return flow
    flows = {name: measure(model, x, s, **options) for name, model in models.items()}
    draw_gradient_flow(flows, ax)
    return flows


def draw_gradient_flow(flows: GradientFlow | Mapping[str, GradientFlow], ax: Axes | None = None) -> Axes:
    """Draw norms over hops on a logarithmic axis: the median over pairs in a band from the 10th to the 90th percentile.

    A norm of 0 cannot be drawn on this axis and leaves a gap.

    Args:
        flows: what was measured; several by name get a legend beside the picture.
        ax: where to draw; by default matplotlib's current axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: no flows.
    """
    check_matplotlib()
    by_name = flows if isinstance(flows, Mapping) else {"": flows}
    if not by_name:
        raise ValueError("expected a GradientFlow, or a dictionary of them by name, got an empty one.")
    for flow in by_name.values():
        if not isinstance(flow, GradientFlow):
            raise TypeError(
                f"flows must be a GradientFlow, which graphrec.dynamics.gradient_flow measures, or a dictionary of "
                f"them by name, got {type(flow).__name__}."
            )
    check_axes(ax)
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.gca()
    ax.set_yscale("log", nonpositive="mask")
    # Every other line is dashed, so that one on top of another lets it be seen.
    for (name, flow), colour, style in zip(by_name.items(), cycle(COLOURS), cycle(("-", "--")), strict=False):
        low, median, high = (flow.quantile(q).numpy(force=True) for q in (0.1, 0.5, 0.9))
        hops = flow.distances.numpy(force=True)
        ax.fill_between(hops, low, high, color=colour, alpha=0.18, lw=0)
        ax.plot(
            hops, median, style, color=colour, lw=1.8, marker="o" if len(hops) < 20 else "", ms=3, label=name
        )
    ax.set_xlabel("hops from the target back to the source")
    ax.set_ylabel(", ".join({flow.measured: None for flow in by_name.values()}))
    ax.grid(color="#E6E9EC")
    ax.spines[["top", "right"]].set_visible(False)
    if isinstance(flows, Mapping):
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return ax

"""Structures and schedules, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from ..io import from_pyg
from ..schedule import Schedule, check_schedule
from ..structure import Structure
from .layout import is_forest, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

EDGE, RING, PLAIN = "#B4BBC4", "#39424C", "#56B4E9"


def draw_tree(
    structure: Structure | Data,
    values: Tensor | Sequence[float] | None = None,
    labels: Sequence[str | None] | None = None,
    ax: Axes | None = None,
    *,
    sizes: Tensor | Sequence[float] | float = 120.0,
    cmap: Any = "cividis_r",
    limits: tuple[float, float] | None = None,
    sideways: bool = False,
    fontsize: float = 8.0,
) -> PathCollection:
    """Draw a tree with its root on top, several trees side by side, or any other DAG by levels, sources lowest.

    Args:
        structure: what to draw, or PyG data.
        values: `[N]`, one number per node, shown as its colour. Give the result to `figure.colorbar` for a scale.
        labels: one text per node, None for no text; by default the structure's tokens, or else its labels.
        ax: where to draw; by default matplotlib's current axes.
        sizes: the area of the nodes in square points, `[N]` or one for all.
        cmap: a matplotlib colour map; the default goes from light to dark and is safe for colour-blind eyes.
        limits: the values at the two ends of the colour map; by default the least and the greatest.
        sideways: with the root on the left and children from top to bottom, which gives long labels room.
        fontsize: of the labels, in points.

    Returns:
        The nodes, a matplotlib `PathCollection`.

    Raises:
        CycleError: the structure has a cycle; draw a schedule of it in sync mode instead.
        ImportError: matplotlib is not installed.
        ValueError: values, labels or sizes that are not one per node.
    """
    check_matplotlib()
    if not isinstance(structure, Structure):
        structure = from_pyg(structure)
    colours = _per_node("values", values, structure)
    area = sizes if isinstance(sizes, int | float) else _per_node("sizes", sizes, structure)
    texts = _texts(labels, structure)
    at = place(structure)
    if sideways:
        at = -at.flip(1)
    ax = _empty_axes(ax, at)
    _draw_lines(
        ax,
        at[structure.source],
        at[structure.target],
        curve=(0 if sideways else 1) if is_forest(structure) else None,
    )
    nodes = _draw_nodes(ax, at, colours, area, cmap, limits)
    is_leaf = torch.bincount(structure.target, minlength=structure.num_nodes) == 0
    radius = (
        torch.as_tensor(area, dtype=torch.double).expand(structure.num_nodes).div(torch.pi).sqrt().tolist()
    )
    for (x, y), text, leaf, r in zip(at.tolist(), texts, is_leaf.tolist(), radius, strict=True):
        if not text:
            continue
        if sideways:
            offset, where = ((r + 3, 0), ("left", "center")) if leaf else ((0, r + 2), ("center", "bottom"))
        else:
            offset, where = ((0, -r - 3), ("center", "top")) if leaf else ((r + 3, 0), ("left", "center"))
        _write(ax, text, (x, y), offset, where, fontsize)
    return nodes


def draw_schedule(
    plan: Schedule,
    values: Tensor | Sequence[float] | None = None,
    labels: Sequence[str | None] | None = None,
    ax: Axes | None = None,
    *,
    cmap: Any = "cividis_r",
    fontsize: float = 8.0,
) -> PathCollection:
    """Draw a schedule from left to right: a column for each step, in it the nodes that the step updates.

    In sync mode every round has all nodes, and each edge leads from one round to the next: the time-expanded
    DAG. Steps that are iterated are marked, and the edges of their cycles stay within them. In a given order edges to
    nodes of a lower rank lead back. Arguments and result as in `draw_tree`; labels are the nodes' numbers by default,
    and in sync mode stand left of the first round only.
    """
    check_matplotlib()
    check_schedule(plan)
    structure = plan.structure
    colours = _per_node("values", values, structure)
    texts = (
        [str(node) for node in range(structure.num_nodes)] if labels is None else _texts(labels, structure)
    )
    rounds = plan.mode == "sync"
    columns = (
        [plan.perm] * (plan.rounds or 0) + [plan.perm]
        if rounds
        else [plan.nodes(step) for step in plan.steps] or [plan.perm]  # no nodes, where there are no steps
    )
    node = torch.cat(columns)
    step = torch.cat([torch.full_like(column, k) for k, column in enumerate(columns)])
    height = torch.cat(
        [(len(column) - 1) / 2 - torch.arange(len(column), dtype=torch.double) for column in columns]
    )
    at = torch.stack([step.double(), height], dim=1)
    ax = _empty_axes(ax, at)
    if rounds:
        start = torch.arange(plan.rounds or 0).repeat_interleave(structure.num_edges) * structure.num_nodes
        source = structure.source.repeat(plan.rounds or 0) + start
        target = structure.target.repeat(plan.rounds or 0) + start + structure.num_nodes
    else:
        source, target = plan.inv_perm[structure.source], plan.inv_perm[structure.target]
    _draw_lines(ax, at[source], at[target])
    nodes = _draw_nodes(ax, at, None if colours is None else colours[node], 120.0, cmap, None)
    written = len(columns[0]) if rounds else len(node)
    for i in range(written):
        text = texts[int(node[i])]
        if text:
            offset, where = ((-10, 0), ("right", "center")) if rounds else ((0, 9), ("center", "bottom"))
            _write(ax, text, at[i].tolist(), offset, where, fontsize)
    ax.set_axis_on()
    iterated = plan.cycles.steps if plan.cycles else (False,) * len(columns)
    names = [f"{k}, iterated" if again else str(k) for k, again in enumerate(iterated)]
    ax.set_xticks(range(len(columns)), names)
    ax.set_yticks([])
    ax.set_xlabel("round" if rounds else "level")
    ax.spines[["left", "top", "right", "bottom"]].set_visible(False)
    ax.tick_params(length=0)
    return nodes


def check_matplotlib() -> None:
    """Raise ImportError unless matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install 'graphrec[viz]'.") from error


def _per_node(name: str, given: Tensor | Sequence[float] | None, structure: Structure) -> Tensor | None:
    if given is None:
        return None
    tensor = torch.as_tensor(given).detach().cpu().double()
    if tensor.numel() != structure.num_nodes:
        raise ValueError(
            f"{name} must be one number per node: expected {structure.num_nodes}, got shape {tuple(tensor.shape)}."
        )
    return tensor.flatten()


def _texts(labels: Sequence[str | None] | None, structure: Structure) -> list[str | None]:
    if labels is None:
        none = (None,) * structure.num_nodes
        pairs = zip(structure.tokens or none, structure.labels or none, strict=True)
        return [label if token is None else token for token, label in pairs]
    if len(labels) != structure.num_nodes:
        raise ValueError(f"labels must be one per node: expected {structure.num_nodes}, got {len(labels)}.")
    return list(labels)


def _empty_axes(ax: Axes | None, at: Tensor) -> Axes:
    """Without a frame, and wide enough for the nodes."""
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.gca()
    ax.set_axis_off()
    ax.update_datalim(at.numpy())
    ax.margins(0.08)
    ax.autoscale_view()
    return ax


def _draw_lines(ax: Axes, start: Tensor, end: Tensor, curve: int | None = None) -> None:
    """A line for each edge, from `start` to `end` `[E, 2]`: straight, or leaving and arriving along an axis."""
    from matplotlib.collections import LineCollection

    way = torch.linspace(0, 1, 2 if curve is None else 24).view(1, -1, 1)
    line = start.unsqueeze(1) * (1 - way) + end.unsqueeze(1) * way
    if curve is not None:
        across = 1 - curve
        bend = (way * way * (3 - 2 * way)).squeeze(-1)
        line[..., across] = start[:, None, across] * (1 - bend) + end[:, None, across] * bend
    lines = LineCollection(list(line.numpy()), colors=EDGE, linewidths=1.2, capstyle="round", zorder=1)
    ax.add_collection(lines, autolim=False)


def _draw_nodes(
    ax: Axes, at: Tensor, values: Tensor | None, area: Tensor | float | None, cmap: Any, limits: Any
) -> PathCollection:
    low, high = (None, None) if values is None or limits is None else limits
    return ax.scatter(
        at[:, 0].numpy(),
        at[:, 1].numpy(),
        s=area.numpy() if isinstance(area, Tensor) else area,
        c=PLAIN if values is None else values.numpy(),
        cmap=None if values is None else cmap,
        vmin=low,
        vmax=high,
        edgecolors=RING,
        linewidths=0.7,
        zorder=2,
    )


def _write(ax: Axes, text: str, at: Any, offset: Any, where: tuple[str, str], fontsize: float) -> None:
    """A label beside a node, with a halo that keeps it legible on top of edges."""
    from matplotlib.patheffects import withStroke

    ax.annotate(
        text,
        at,
        offset,
        textcoords="offset points",
        ha=where[0],
        va=where[1],
        fontsize=fontsize,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        zorder=3,
        annotation_clip=False,
    )

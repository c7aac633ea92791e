"""Structures and schedules, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from ..schedule import CycleError, Schedule, check_schedule, levels
from ..structure import Structure
from ..structure.checks import as_flag, as_list, as_number, check_layout
from ..structure.written import shown
from .arrows import EDGE, draw_arrows, looped
from .layout import as_structure, is_forest, place, tidy
from .recorded import texts_of
from .routes import Routes, route

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

RING, PLAIN = "#39424C", "#56B4E9"
MOST_LABELS = 60  # on a structure that was given none
LARGEST_LETTERS = 1000  # in points; of much larger ones FreeType has none
AREA = 120.0  # of a node in a schedule, in square points


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

    A graph with cycles is drawn by a spring layout. Edges of DAGs and of graphs with cycles are arrows.

    Args:
        structure: what to draw, or PyG data.
        values: `[N]`, one number per node, shown as its colour. Give the result to `figure.colorbar` for a scale.
        labels: one text per node, None for no text; by default the structure's tokens, or else its labels, up to 60
            nodes, and none on larger structures.
        ax: where to draw; by default matplotlib's current axes.
        sizes: the area of the nodes in square points, `[N]` or one for all.
        cmap: a matplotlib colour map; the default goes from light to dark and is safe for colour-blind eyes.
        limits: the values at the two ends of the colour map; by default the least and the greatest.
        sideways: with the root on the left and children from top to bottom, which gives long labels room.
        fontsize: of the labels, in points.

    Returns:
        The nodes, a matplotlib `PathCollection`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: values, labels or sizes that are not one per node.
    """
    check_matplotlib()
    structure = as_structure(structure)
    check_look(ax, cmap, fontsize)
    limits = None if limits is None else _as_limits(limits)
    sideways = as_flag("sideways", sideways)
    colours = _per_node("values", values, structure)
    is_one = not getattr(sizes, "ndim", hasattr(sizes, "__iter__"))
    given: Any = sizes
    area: Any = as_number("sizes", given) if is_one else _per_node("sizes", given, structure)
    if not bool(((torch.as_tensor(area) >= 0) & torch.as_tensor(area).isfinite()).all()):
        raise ValueError(f"sizes must be areas, finite and 0 or more, got {shown(sizes)}.")
    texts = _few(texts_of(structure, labels), labels)
    forest = is_forest(structure) and _levels(structure) is not None
    routes = _routes(structure)
    if sideways:
        routes = Routes(-routes.at.flip(1), -routes.bends.flip(1), routes.edge)
    at = routes.at
    ax = _empty_axes(ax, at)
    if forest:
        _draw_curves(ax, at[structure.source], at[structure.target], along=0 if sideways else 1)
    else:
        radii = _radius(area, structure)
        lines = [looped(line) for line in routes.lines(structure.source, structure.target)]
        draw_arrows(ax, lines, radii[structure.target].tolist())
    nodes = _draw_nodes(ax, at, colours, area, cmap, limits)
    is_leaf = torch.bincount(structure.target, minlength=structure.num_nodes) == 0
    each = zip(at.tolist(), texts, is_leaf.tolist(), _radius(area, structure).tolist(), strict=True)
    for (x, y), text, leaf, r in each:
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

    Edges are arrows, from source to target. One that passes columns has a bend in each of them, so that it runs through
    no node that it does not touch; only beyond 20,000 bends are the longest edges straight. In sync mode every round
    has all nodes, and each edge leads from one round to the next: the time-expanded DAG. Steps that are iterated are
    marked, and the edges of their cycles stay within them. In a given order edges to nodes of a lower rank, which read
    the previous state, lead back and are dashed.

    Arguments as in `draw_tree`; labels are the nodes' numbers by default, up to 60 nodes, and in sync mode stand left
    of the first round only.

    Returns:
        The nodes, a matplotlib `PathCollection`, in the order of their numbers; in sync mode round after round.
    """
    check_matplotlib()
    check_schedule(plan)
    check_look(ax, cmap, fontsize)
    s = plan.structure
    colours = _per_node("values", values, s)
    texts = _few(
        [str(node) for node in range(s.num_nodes)] if labels is None else texts_of(s, labels), labels
    )
    routes, source, target, columns = _columns(plan)
    at = routes.at
    ax = _empty_axes(ax, torch.cat([at, routes.bends]))
    back = at[source, 0] > at[target, 0]
    lines = routes.lines(source, target)
    for dashed in (False, True):
        chosen = [
            _off_itself(line, dashed) for line, b in zip(lines, back.tolist(), strict=True) if b == dashed
        ]
        draw_arrows(ax, chosen, [_radius(AREA, s).max().item() if s.num_nodes else 0.0] * len(chosen), dashed)
    copies = len(at) // s.num_nodes if s.num_nodes else 0
    nodes = _draw_nodes(ax, at, None if colours is None else colours.repeat(copies), AREA, cmap, None)
    rounds = plan.mode == "sync"
    for point, text in zip(at.tolist(), texts, strict=False):
        if text:
            offset, where = ((-10, 0), ("right", "center")) if rounds else ((0, 9), ("center", "bottom"))
            _write(ax, text, point, offset, where, fontsize)
    ax.set_axis_on()
    iterated = plan.cycles.steps if plan.cycles else (False,) * columns
    names = [f"{k}, iterated" if again else str(k) for k, again in enumerate(iterated)]
    # Names of a hundred columns would run into each other.
    every = max(1, len(names) // 20)
    ax.set_xticks(range(0, columns, every), names[::every])
    ax.set_yticks([])
    ax.set_xlabel("round" if rounds else "level")
    ax.spines[["left", "top", "right", "bottom"]].set_visible(False)
    ax.tick_params(length=0)
    return nodes


def _columns(plan: Schedule) -> tuple[Routes, Tensor, Tensor, int]:
    """Where nodes stand, by number (in sync mode once for each round), the ends of the edges, and how many columns."""
    s, count = plan.structure, plan.num_nodes
    source, target = s.edge_index.cpu()
    perm = plan.perm.cpu()
    if plan.rounds is not None:
        columns = plan.rounds + 1
        height = (count - 1) / 2 - plan.inv_perm.cpu().double()
        column = torch.arange(columns).repeat_interleave(count).double()
        at = torch.stack([column, height.repeat(columns)], dim=1)
        start = torch.arange(plan.rounds).repeat_interleave(s.num_edges) * count
        ends = source.repeat(plan.rounds) + start, target.repeat(plan.rounds) + start + count
        return Routes(at, at[:0], start[:0]), *ends, columns
    column = torch.zeros(count, dtype=torch.long)
    column[perm] = torch.repeat_interleave(torch.arange(len(plan.steps)), plan.steps.nodes.diff())
    # Trees begin in the order of their branches, in which no edges cross.
    forest = is_forest(s) and _levels(s) is not None
    found = route(column, source, target, tidy(s)[:, 0] if forest else plan.inv_perm.cpu())
    at, bends = (torch.stack([points[:, 1], -points[:, 0]], dim=1) for points in (found.at, found.bends))
    return Routes(at, bends, found.edge), source, target, max(len(plan.steps), 1)


def _off_itself(line: Tensor, back: bool) -> Tensor:
    """Loops, lines within a column and lines back to the column before bend aside: they would lie on others."""
    (x0, y0), (x1, y1) = line[0].tolist(), line[-1].tolist()
    if x0 == x1 and y0 != y1:
        return torch.tensor([[x0, y0], [x0 + 0.25, (y0 + y1) / 2], [x1, y1]])
    if back and len(line) == 2:
        return torch.tensor([[x0, y0], [(x0 + x1) / 2, (y0 + y1) / 2 + 0.15], [x1, y1]])
    return looped(line)


def check_matplotlib() -> None:
    """Raise ImportError unless matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install 'graphrec[viz]'.") from error


def check_axes(ax: Any) -> None:
    """Raise TypeError unless one can draw there; None: matplotlib's current axes."""
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be axes of matplotlib, such as pyplot.subplots()[1], got {type(ax).__name__}."
        )


def check_look(ax: Any, cmap: Any, fontsize: Any) -> None:
    """Raise unless these are axes, a colour map and a size of letters."""
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    check_axes(ax)
    if not isinstance(cmap, Colormap) and not (isinstance(cmap, str) and cmap in colormaps):
        raise ValueError(
            f"cmap must be a colour map of matplotlib, or the name of one, such as 'viridis', got {shown(cmap)}."
        )
    if not 0 < as_number("fontsize", fontsize) <= LARGEST_LETTERS:
        raise ValueError(
            f"fontsize must be in points, more than 0 and up to {LARGEST_LETTERS}, got {shown(fontsize)}."
        )


def _as_limits(limits: Any) -> tuple[float, float]:
    """The values at the two ends of a colour map."""
    both = as_list("limits", limits.tolist() if isinstance(limits, Tensor | np.ndarray) else limits)
    if len(both) != 2:
        raise ValueError(f"limits must be two numbers, the least and the greatest, got {shown(limits)}.")
    low, high = (as_number("a limit", limit) for limit in both)
    if low > high:
        raise ValueError(f"limits must be the least and the greatest, got {shown(limits)}.")
    return low, high


def _per_node(name: str, given: Tensor | Sequence[float] | None, structure: Structure) -> Tensor | None:
    if given is None:
        return None
    try:
        numbers = torch.as_tensor(given)
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:
        raise TypeError(f"{name} must be one number per node, got {shown(given)}: {error}") from error
    check_layout(name, numbers)
    if numbers.is_complex():
        raise TypeError(f"{name} must be numbers on a line, got {numbers.dtype}: take .abs() or .real.")
    tensor = numbers.detach().cpu().double()
    if tensor.numel() != structure.num_nodes:
        raise ValueError(
            f"{name} must be one number per node: expected {structure.num_nodes}, got shape {tuple(tensor.shape)}."
        )
    return tensor.flatten()


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


def _draw_curves(ax: Axes, start: Tensor, end: Tensor, along: int) -> None:
    """A line for each edge, from `start` to `end` `[E, 2]`, that leaves and arrives along an axis."""
    from matplotlib.collections import LineCollection

    way = torch.linspace(0, 1, 24).view(1, -1, 1)
    line = start.unsqueeze(1) * (1 - way) + end.unsqueeze(1) * way
    across = 1 - along
    bend = (way * way * (3 - 2 * way)).squeeze(-1)
    line[..., across] = start[:, None, across] * (1 - bend) + end[:, None, across] * bend
    lines = LineCollection(list(line.numpy()), colors=EDGE, linewidths=1.2, capstyle="round", zorder=1)
    ax.add_collection(lines, autolim=False)


def _radius(area: Tensor | float | None, structure: Structure) -> Tensor:
    """`[N]`: of circles with this area."""
    return torch.as_tensor(area, dtype=torch.double).expand(structure.num_nodes).div(torch.pi).sqrt()


def _levels(structure: Structure) -> Tensor | None:
    """`[N]`, or None where there is a cycle."""
    try:
        return levels(structure)
    except CycleError:
        return None


def _routes(structure: Structure) -> Routes:
    """Where nodes stand, across and up, and where edges of a DAG bend."""
    level = _levels(structure)
    if level is None or is_forest(structure):
        return Routes(place(structure), torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    return route(level.cpu(), *structure.edge_index.cpu())


def _few(texts: list[str | None], given: Any) -> list[str | None]:
    """No texts on large structures, but where they were asked for."""
    return texts if given is not None or len(texts) <= MOST_LABELS else [None] * len(texts)


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
        parse_math=False,  # (of words with dollars, which are no formulas)
    )

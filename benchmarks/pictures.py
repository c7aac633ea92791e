"""The pictures of the tables, in colours that colour-blind readers can tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from .scaling import Scaling, Series
    from .trees import Row

COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#F0E442", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")


def draw_trees(rows: list[Row], origin: str, file: Path) -> None:
    """Bars on a log scale: a panel per mode, a group per size, a bar per contender."""
    modes = list(dict.fromkeys(row.mode for row in rows))
    figure = Figure(figsize=(9, 3.6 * len(modes)), layout="constrained")
    panels = figure.subplots(len(modes), 1, sharex=True)
    for axes, mode in zip(panels, modes, strict=True):
        chosen = [row for row in rows if row.mode == mode]
        names = list(chosen[0].timings)
        width = 0.85 / len(names)
        for k, name in enumerate(names):
            at = [group + (k - (len(names) - 1) / 2) * width for group in range(len(chosen))]
            ms = [1e3 * row.timings[name].median for row in chosen]
            style = {"color": COLOURS[k], "edgecolor": "black", "linewidth": 0.4}
            bars = axes.bar(at, ms, 0.92 * width, label=name, **style)
            axes.bar_label(bars, labels=[f"{value:.3g}" for value in ms], fontsize=7, padding=1)
        axes.set_yscale("log")
        axes.margins(y=0.12)
        axes.set_ylabel(f"{mode}, ms per batch (log scale)")
        axes.set_xticks(range(len(chosen)), [f"{row.batch} trees, hidden {row.hidden}" for row in chosen])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_title(f"Child-Sum Tree-LSTM on {origin}, CPU, float32: lower is faster")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    _save(figure, file)


def draw_scaling(found: Scaling, hidden: int, file: Path) -> None:
    """Three log-log panels; a dashed line has slope 1."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels = figure.subplots(1, 3)
    _lines(panels[0], found.by_nodes, "nodes", f"Training, Tree-LSTM, hidden {hidden}")
    _lines(panels[1], found.by_levels, "levels", f"Training, {found.level_nodes:,} nodes, hidden {hidden}")
    _lines(panels[2], found.schedules, "nodes", "Building the schedule")
    for axes, series in ((panels[0], found.by_nodes), (panels[2], found.schedules)):
        _slope_one(axes, series[0])
    for axes in panels:
        axes.legend(frameon=False, fontsize=8)
    _save(figure, file)


def _lines(axes: Axes, series: list[Series], size: str, title: str) -> None:
    for k, line in enumerate(series):
        ms = [1e3 * seconds for seconds in line.seconds]
        # Blue, orange, vermilion: further apart than neighbours in the palette.
        axes.loglog(line.sizes, ms, marker=MARKERS[k], color=COLOURS[2 * k], label=line.name)
    axes.set_xlabel(size)
    axes.set_ylabel("ms")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _slope_one(axes: Axes, line: Series) -> None:
    # Through the last point: at small sizes it is the cost of the levels that shows.
    ms = [1e3 * line.seconds[-1] * size / line.sizes[-1] for size in line.sizes]
    axes.loglog(line.sizes, ms, "--", color="grey", label="proportional to nodes")


def _save(figure: Figure, file: Path) -> None:
    FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    print(f"drew {file}")

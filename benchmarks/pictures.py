"""The pictures of the tables, in colours that colour-blind readers can tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from .contending import Row as NetRow
    from .scaling import Scaling, Series
    from .trees import Row

COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#F0E442", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")


def draw_trees(rows: list[Row], origin: str, file: Path) -> None:
    """Bars of the time relative to graphrec's: a panel per mode, a group per size, a bar per contender."""
    modes = list(dict.fromkeys(row.mode for row in rows))
    figure = Figure(figsize=(9, 3.4 * len(modes)), layout="constrained")
    panels = figure.subplots(len(modes), 1, sharex=True)
    for axes, mode in zip(panels, modes, strict=True):
        _bars(axes, [row for row in rows if row.mode == mode])
        axes.set_ylabel(f"{mode}: time, graphrec = 1")
    panels[0].set_title(f"Child-Sum Tree-LSTM on {origin}, CPU, float32. Lower is faster; labels in ms")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    _save(figure, file)


def _bars(axes: Axes, rows: list[Row]) -> None:
    names = list(rows[0].timings)
    ours = names[0]
    width = 0.85 / len(names)
    for k, name in enumerate(names):
        at = [group + (k - (len(names) - 1) / 2) * width for group in range(len(rows))]
        ratios = [row.timings[name].ratio_to(row.timings[ours]) for row in rows]
        style = {"color": COLOURS[k], "edgecolor": "black", "linewidth": 0.4}
        bars = axes.bar(at, ratios, 0.92 * width, label=name, **style)
        ms = [f"{1e3 * row.timings[name].median:.3g}" for row in rows]
        axes.bar_label(bars, labels=ms, fontsize=7, padding=1)
    axes.axhline(1, color=COLOURS[0], linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xticks(range(len(rows)), [f"{row.batch} trees, hidden {row.hidden}" for row in rows])
    axes.spines[["top", "right"]].set_visible(False)


def draw_rows(rows: list[NetRow], file: Path) -> None:
    """The others' time over graphrec's: a panel per network and mode, a group per shape, a bar per contender."""
    nets, modes = (
        list(dict.fromkeys(values)) for values in zip(*((row.net, row.mode) for row in rows), strict=True)
    )
    names = list(dict.fromkeys(name for row in rows for name in row.timings))[1:]
    most = max(Counter((row.net, row.mode) for row in rows).values())
    figure = Figure(figsize=(12, 2.3 * len(nets)), layout="constrained")
    panels = figure.subplots(len(nets), len(modes), squeeze=False, sharey="row")
    for line, net in zip(panels, nets, strict=True):
        for axes, mode in zip(line, modes, strict=True):
            here = [row for row in rows if (row.net, row.mode) == (net, mode)]
            for at, row in enumerate(here):
                ours, *others = row.timings.items()
                width = min(0.27, 0.9 / len(others))
                for j, (name, timing) in enumerate(others):
                    place = at + (j - (len(others) - 1) / 2) * width
                    style = {"color": COLOURS[names.index(name) + 1], "edgecolor": "black", "linewidth": 0.4}
                    ratio = timing.ratio_to(ours[1])
                    bar = axes.bar(place, ratio - 1, width, bottom=1, label=name, **style)
                    axes.bar_label(bar, [f"{ratio:.2f}"], fontsize=6, padding=1)
            axes.axhline(1, color="grey", linewidth=0.8, linestyle="--", zorder=0)
            axes.set_xticks(range(len(here)), [fill(row.shape, 12) for row in here], fontsize=7)
            axes.set_xlim(-0.6, most - 0.4)
            axes.set_title(f"{net}, {mode}", fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_yscale("log", base=2)
            axes.yaxis.set_major_formatter("{x:g}")
            axes.margins(y=0.15)
        line[0].set_ylabel("time, graphrec = 1")
    bars: dict[str, Any] = {}
    for axes in panels.flat:
        handles, labels = axes.get_legend_handles_labels()
        bars |= dict(zip(labels, handles, strict=True))
    figure.legend(
        bars.values(), bars.keys(), loc="outside lower center", frameon=False, fontsize=8, ncols=len(bars)
    )
    _save(figure, file)


def draw_scaling(found: Scaling, hidden: int, file: Path) -> None:
    """Three log-log panels; a dashed line has slope 1."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels = figure.subplots(1, 3)
    _lines(panels[0], found.by_nodes, "nodes", f"Training, Tree-LSTM, hidden {hidden}")
    _lines(panels[1], found.by_levels, "levels", f"Training, {found.level_nodes:,} nodes, hidden {hidden}")
    _lines(panels[2], found.schedules, "nodes", "Building the schedule")
    _save(figure, file)


def _lines(axes: Axes, series: list[Series], size: str, title: str) -> None:
    for k, line in enumerate(series):
        ms = [1e3 * seconds for seconds in line.seconds]
        # Every other colour: blue, orange, vermilion differ more than neighbours in the palette.
        axes.loglog(line.sizes, ms, marker=MARKERS[k], color=COLOURS[2 * k], label=line.name)
    # Through a last point: at small sizes it is a fixed cost that shows.
    last = series[0]
    guide = [1e3 * last.seconds[-1] * at / last.sizes[-1] for at in last.sizes]
    axes.loglog(last.sizes, guide, "--", color="grey", label=f"proportional to {size}", zorder=0)
    low, high = axes.get_ylim()
    axes.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))
    axes.set_xlabel(size)
    axes.set_ylabel("ms")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _save(figure: Figure, file: Path) -> None:
    FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    print(f"drew {file}")

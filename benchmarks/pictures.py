"""The pictures of the tables, in colours that colour-blind readers can tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

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


class Ratio(NamedTuple):
    """How many times graphrec's time another takes."""

    net: str
    shape: str
    contender: str
    mode: str
    value: float


def draw_rows(rows: list[NetRow], file: Path) -> None:
    """The others' time over graphrec's; see `draw_ratios`."""
    ratios = []
    for row in rows:
        ours, *others = row.timings.items()
        ratios += [
            Ratio(row.net, row.shape, name, row.mode, timing.ratio_to(ours[1])) for name, timing in others
        ]
    draw_ratios(ratios, file)


def draw_ratios(ratios: list[Ratio], file: Path) -> None:
    """Dots on a logarithmic axis: a panel per network, a line per shape, a colour per contender; hollow: inference."""
    nets, shapes, names = (list(dict.fromkeys(values)) for values in list(zip(*ratios, strict=True))[:3])
    figure = Figure(figsize=(9, 1.3 + 0.42 * len(shapes)), layout="constrained")
    panels = figure.subplots(1, len(nets), squeeze=False, sharex=True, sharey=True)[0]
    for axes, net in zip(panels, nets, strict=True):
        for ratio in [ratio for ratio in ratios if ratio.net == net]:
            k = names.index(ratio.contender)
            height = shapes.index(ratio.shape) + 0.5 * ((k + 0.5) / len(names) - 0.5)
            trained = ratio.mode == "training"
            face = COLOURS[2 * k % len(COLOURS)] if trained else "white"
            style = {"markeredgecolor": COLOURS[2 * k % len(COLOURS)], "markeredgewidth": 1.3, "zorder": 3}
            axes.plot(ratio.value, height, MARKERS[k % 4], color=face, markersize=6.5, **style)
        axes.axvline(1, color="black", linewidth=0.9)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(net, fontsize=10)
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_yticks(range(len(shapes)), [fill(shape, 26) for shape in shapes], fontsize=9)
    panels[0].set_ylim(len(shapes) - 0.5, -0.5)
    figure.supxlabel("the other's time divided by graphrec's; right of 1 graphrec is faster", fontsize=9)
    handles = []
    for k, name in enumerate(names):
        for mode, face in (("training", COLOURS[2 * k % len(COLOURS)]), ("inference", "white")):
            style = {"color": face, "markeredgecolor": COLOURS[2 * k % len(COLOURS)], "markeredgewidth": 1.3}
            handles.append(
                Line2D([], [], linestyle="", marker=MARKERS[k % 4], label=f"{name}, {mode}", **style)
            )
    figure.legend(
        handles=handles, loc="outside upper center", frameon=False, fontsize=8.5, ncols=min(4, len(handles))
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

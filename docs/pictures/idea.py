"""The picture of the idea: structures, their schedule, and the states of a real run over it.

    python docs/pictures/idea.py

The background is transparent and all text mid-grey or on a colour of its own, so that it reads on white and on black.
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

import graphrec as gr

GREY = "#7A828E"
STEPS = ("#0072B2", "#C07A00", "#00805E", "#A9568C")  # of each step; white numbers are legible on all
RADIUS = 0.33
# Where the nodes of the sequence, the tree and the graph stand on the left.
STRUCTURE = [
    *((0.5 + 1.3 * k, 6.9) for k in range(4)),
    *((0.3, 3.9), (1.5, 3.9), (2.7, 3.9), (2.1, 4.7), (1.2, 5.5)),
    *((0.5, 1.3), (2.3, 2.1), (2.3, 0.5), (4.1, 1.3)),
]
NAMES = {(4.6, 4.7): "a tree", (4.6, 6.2): "a sequence", (4.6, 2.2): "a DAG"}


def main() -> None:
    """Run a Tree-LSTM over the three structures, and draw what happened."""
    torch.manual_seed(3)
    tree = gr.tree("(3 (2 It) (4 (2 's) (4 good)))")
    s = gr.batch([gr.chain(4), tree, gr.dag([[0, 0, 1, 2], [1, 2, 3, 3]], 4)])
    plan = gr.schedule(s)
    cell = gr.ChildSumTreeLSTMCell(8, 10)
    with torch.no_grad():
        states = gr.run(cell, plan, 2 * torch.randn(s.num_nodes, 8)).h

    step = torch.zeros(s.num_nodes, dtype=torch.long)
    for number, each in enumerate(plan.steps):
        step[plan.nodes(each)] = number
    figure = Figure(figsize=(8, 3.55), dpi=200)
    figure.patch.set_alpha(0)
    for k, (title, words, code) in enumerate(
        [
            ("structure", "who depends on whom", "s = gr.batch([sequence, tree, dag])"),
            ("schedule", "in which order", "plan = gr.schedule(s)"),
            ("states", "what the cell computes", "h = gr.run(cell, plan, x).h"),
        ]
    ):
        figure.text(0.015 + 0.345 * k, 0.955, title, color=GREY, fontsize=12, fontweight="bold", va="center")
        figure.text(0.015 + 0.345 * k, 0.895, words, color=GREY, fontsize=9.5, va="center")
        figure.text(0.015 + 0.345 * k, 0.035, code, color=GREY, fontsize=8, family="monospace", va="center")
    for x in (0.325, 0.67):
        figure.text(x, 0.955, "→", color=GREY, fontsize=14, ha="right", va="center")
    panels = [figure.add_axes((0.005 + 0.345 * k, 0.075, 0.315, 0.78)) for k in range(3)]
    for axes in panels:
        axes.set_axis_off()
        axes.set_aspect("equal")
    draw_structure(panels[0], s, step)
    draw_schedule(panels[1], s, step)
    draw_states(panels[2], states, step)
    file = Path(__file__).with_suffix(".png")
    FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    print(f"drew {file}")


def draw_structure(axes: Axes, s: gr.Structure, step: torch.Tensor) -> None:
    """Each structure by itself."""
    draw_graph(axes, STRUCTURE, s, step)
    for (x, y), name in NAMES.items():
        axes.text(x, y, name, color=GREY, fontsize=8.5, ha="right", va="center", style="italic")
    axes.set_xlim(-0.2, 5.2)
    axes.set_ylim(0, 7.4)


def draw_schedule(axes: Axes, s: gr.Structure, step: torch.Tensor) -> None:
    """A column for each step, with the nodes that it updates."""
    at, rows = [(0.0, 0.0)] * s.num_nodes, {}
    heights = {0: [6.9, 5.4, 4.6, 3.8, 1.8], 1: [6.9, 4.2, 2.4, 1.2], 2: [6.9, 4.8, 1.8], 3: [6.9]}
    for node, number in enumerate(step.tolist()):
        rows.setdefault(number, []).append(node)
    for number, nodes in rows.items():
        band = FancyBboxPatch(
            (1.45 * number - 0.5, 0.2), 1.0, 7.1, boxstyle="round,pad=0,rounding_size=0.2", linewidth=0
        )
        band.set_facecolor((*_rgb(STEPS[number]), 0.16))
        axes.add_patch(band)
        axes.text(1.45 * number, 0.45, f"step {number}", color=GREY, fontsize=7, ha="center", va="center")
        for node, height in zip(nodes, heights[number], strict=True):
            at[node] = (1.45 * number, height)
    draw_graph(axes, at, s, step)
    axes.set_xlim(-0.5, 4.9)
    axes.set_ylim(0, 7.4)


def draw_states(axes: Axes, states: torch.Tensor, step: torch.Tensor) -> None:
    """A row of numbers for each node."""
    largest = float(states.abs().max())
    for node, row in enumerate(states.tolist()):
        y = 6.95 - 0.55 * node
        axes.add_patch(Circle((0.1, y), 0.24, color=STEPS[step[node]]))
        axes.text(0.1, y, str(node), color="white", fontsize=6.5, ha="center", va="center_baseline")
        for k, value in enumerate(row):
            shade = FancyBboxPatch(
                (0.62 + 0.44 * k, y - 0.2), 0.38, 0.4, boxstyle="square,pad=0", linewidth=0
            )
            shade.set_facecolor(_blend(value / largest))
            axes.add_patch(shade)
    axes.set_xlim(-0.3, 5.1)
    axes.set_ylim(0, 7.4)


def draw_graph(axes: Axes, at: list[tuple[float, float]], s: gr.Structure, step: torch.Tensor) -> None:
    """Arrows and numbered nodes, coloured by step."""
    for source, target in s.edge_index.T.tolist():
        arrow = FancyArrowPatch(
            at[source],
            at[target],
            arrowstyle="-|>",
            mutation_scale=8,
            color=GREY,
            linewidth=1.1,
            shrinkA=9,
            shrinkB=9,
        )
        axes.add_patch(arrow)
    for node, place in enumerate(at):
        axes.add_patch(Circle(place, RADIUS, color=STEPS[step[node]], zorder=3))
        axes.text(*place, str(node), color="white", fontsize=8, ha="center", va="center_baseline", zorder=4)


def _rgb(colour: str) -> tuple[float, float, float]:
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def _blend(value: float) -> tuple[float, float, float, float]:
    """From blue over transparent to orange."""
    return (*_rgb("#D55E00" if value > 0 else "#0072B2"), abs(value) ** 0.7)


if __name__ == "__main__":
    main()

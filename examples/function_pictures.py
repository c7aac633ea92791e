"""A function and its syntax tree, side by side: where a network looks."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

import common
import torch
from torch import Tensor

import graphrec as gr
from graphrec.io.syntax import children_of

EDGE, RING, LINK = "#B4BBC4", "#39424C", "#D5DAE0"
MOST = 5  # nodes whose words are marked in the code, those that get the most attention


def positions(function: ast.AST) -> list[tuple[int, int, int] | None]:
    """For each node of a function's tree, children first, its line and the columns of what it says; None: nowhere."""
    found: list[ast.AST] = []
    stack: list[ast.AST] = [function]
    while stack:  # parents first and the last child first: the reverse of children first, in order
        found.append(node := stack.pop())
        below = (child for _, child in children_of(node))
        stack += [child for child in below if child and not isinstance(child, ast.expr_context)]
    return [_where(node) for node in reversed(found)]


def _where(node: Any) -> tuple[int, int, int] | None:
    if not hasattr(node, "lineno"):
        return None
    if hasattr(node, "attr"):  # an ast.Attribute
        return node.end_lineno - 1, node.end_col_offset - len(node.attr), node.end_col_offset
    if node.lineno == node.end_lineno:
        return node.lineno - 1, node.col_offset, node.end_col_offset
    return node.lineno - 1, node.col_offset, node.col_offset + 3


def masked(lines: list[str], name: str, mask: str) -> tuple[list[str], Any]:
    """The lines with a name masked, and a function from columns of a line to those of the masked one."""
    word = re.compile(rf"_*(?<![A-Za-z]){re.escape(name.strip('_'))}(?![a-z])")

    def moved(line: int, column: int) -> int:
        before = [found for found in word.finditer(lines[line]) if found.start() < column]
        return column + sum(len(mask) - len(found[0]) for found in before)

    return [word.sub(mask, line) for line in lines], moved


def draw(
    code: Sequence[str],
    spans: Sequence[tuple[int, int, int] | None],
    s: gr.Structure,
    share: Tensor,
    labels: Sequence[str],
    title: str,
) -> Any:
    """The code at the left, its tree at the right: leaves, in the order of the code, and rootwards by level.

    Args:
        code: the lines.
        spans: for each node its line and columns in the code, or None.
        s: the tree.
        share: `[N]`, of the attention.
        labels: a text for each node.
        title: of the picture.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke

    level, at = gr.levels(s), _rows(s)
    leaves = int((level == 0).sum())
    columns = max(map(len, code))
    # In inches: the code with 0.085 for a sign of 10 points, a column of texts, 1.15 for a level.
    wide, gap, texts, step = 0.085 * columns, 0.6, 1.35, 1.15
    height = max(0.26 * leaves, 0.24 * len(code)) + 1.3
    fig = common.figure(wide + gap + texts + step * (float(level.max()) + 1), height)
    fig.set_layout_engine("none")
    ax = fig.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set_axis_off()
    ax.set(xlim=(0, fig.get_figwidth() * 0.98), ylim=(height * 0.98, 0))
    ax.text(0.05, 0.2, title, fontsize=13, weight="bold", va="center")
    colours = colormaps["YlOrBr"]
    strength = (share / share.max()).tolist()

    room = height - 1.0

    def line_at(line: float) -> float:
        return 0.65 + (line + 0.5) * min(0.3, room / len(code))

    x = wide + gap + texts + step * level.double()
    y = 0.65 + (at + 0.5) * min(0.42, room / leaves)
    top = set(share.topk(min(MOST, len(share))).indices.tolist())
    spans_of_top = [(span, node) for node, span in enumerate(spans) if span and node in top]
    for (line, first, last), node in sorted(spans_of_top, key=lambda each: each[0][1] - each[0][2]):
        colour = colours(0.1 + 0.35 * strength[node])  # what is within another comes later, on top of it
        ax.barh(
            line_at(line), 0.085 * (last - first), 0.21, left=0.05 + 0.085 * first, color=colour, zorder=0
        )
    for node, span in enumerate(spans):
        if span is None:
            continue
        line = span[0]
        if level[node] == 0:
            start, end = (
                0.05 + 0.085 * len(code[line]) + 0.06,
                float(x[node]) - 0.22 - 0.072 * len(labels[node]),
            )
            colour = colours(0.35 + 0.45 * strength[node]) if node in top else LINK
            ax.add_collection(_link(start, line_at(line), end, float(y[node]), colour))
    for number, text in enumerate(code):
        for column, sign in enumerate(text):
            if sign != " ":  # sign by sign, so that columns are where they are wanted whatever the font
                ax.text(0.05 + 0.085 * (column + 0.5), line_at(number), sign, family="monospace", fontsize=10,
                        ha="center", va="center")  # fmt: skip
    edges = [[(float(x[u]), float(y[u])), (float(x[v]), float(y[v]))] for u, v in s.edge_index.T.tolist()]
    ax.add_collection(LineCollection(edges, colors=EDGE, linewidths=1.2, zorder=1))
    ax.scatter(x, y, s=25 + 500 * share, c=strength, cmap=colours, edgecolors=RING, linewidths=0.7, zorder=3)
    for node, text in enumerate(labels):
        if level[node] == 0:
            ax.text(
                float(x[node]) - 0.13, float(y[node]), text, fontsize=9, ha="right", va="center", zorder=4
            )
        else:
            r = (25 + 500 * float(share[node])) ** 0.5 / 144
            ax.text(float(x[node]), float(y[node]) - r - 0.03, text, fontsize=8, ha="center", va="bottom", zorder=4,
                    path_effects=[withStroke(linewidth=2, foreground="white")])  # fmt: skip
    ax.text(0.05, height * 0.98 - 0.12, "The darker and larger a node, the more of the attention it gets; the words of "
            f"the {len(top)} that get most are marked in the code.", fontsize=8.5, color="#58616C")  # fmt: skip
    return fig


def _rows(s: gr.Structure) -> Tensor:
    """`[N]`: each leaf has a row of its own, in order; others are in the middle of their children."""
    row = torch.zeros(s.num_nodes, dtype=torch.double)
    level = gr.levels(s)
    leaf = level == 0
    # Children first, and their subtrees in order: so are the leaves.
    row[leaf] = torch.arange(int(leaf.sum()), dtype=torch.double)
    children: list[list[int]] = [[] for _ in range(s.num_nodes)]
    for child, parent in s.edge_index.T.tolist():
        children[parent].append(child)
    for node in torch.argsort(level, stable=True).tolist():
        if children[node]:
            rows = row[children[node]]
            row[node] = (rows.min() + rows.max()) / 2
    return row


def _link(x0: float, y0: float, x1: float, y1: float, colour: Any) -> Any:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    middle = (x0 + x1) / 2
    path = Path([(x0, y0), (middle, y0), (middle, y1), (x1, y1)], [1, 4, 4, 4])
    return PathCollection([path], facecolors="none", edgecolors=[colour], linewidths=1.1, zorder=0.5)

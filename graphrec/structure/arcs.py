"""A few nodes in a row and their edges as arcs, as a small picture for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

MOST = 40  # nodes; more would be too small to see
WIDTH, BASE = 44, 15  # of a node's place; of the room for arcs, at least


def arcs(
    source: Sequence[int], target: Sequence[int], texts: Sequence[str], groups: Sequence[int] | None = None
) -> str:
    """An SVG element: arcs to the right above the nodes, arcs to the left below them, with a dot at their targets.

    Args:
        source, target: of the edges, by the nodes' places in the row.
        texts: one for each node.
        groups: the number of each node's group, rising; written below, and groups stand apart.
    """
    gap = [0] * len(texts) if groups is None else [18 * (g - groups[0]) for g in groups]
    x = [WIDTH * (i + 0.5) + gap[i] for i in range(len(texts))]
    edges = list(zip(source, target, strict=True))
    above = max((x[v] - x[u] for u, v in edges if u < v), default=0) ** 0.5 * 6 + BASE
    below = max((x[u] - x[v] for u, v in edges if u >= v), default=-1)
    under = 0 if below < 0 else below**0.5 * 6 + BASE
    y = above + 8
    drawn = [_arc(x[u], x[v], y, edge_up=u < v) for u, v in edges]
    named = []
    for i, text in enumerate(texts):
        short = text if len(text) <= 7 else text[:6] + "…"
        named.append(f'<circle cx="{x[i]:g}" cy="{y:g}" r="5" fill="#56B4E9" stroke="#39424C"/>')
        named.append(
            f'<text x="{x[i]:g}" y="{y + under + 20:g}"><title>{escape(text)}</title>{escape(short)}</text>'
        )
    height = y + under + 28
    if groups is not None:
        for group in dict.fromkeys(groups):
            members = [x[i] for i, g in enumerate(groups) if g == group]
            middle = (members[0] + members[-1]) / 2
            named.append(f'<text x="{middle:g}" y="{height + 8:g}" opacity="0.7">{group}</text>')
        height += 16
    width = (x[-1] if x else 0) + WIDTH / 2
    return (
        f'<svg width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" font-size="11" '
        f'font-family="sans-serif" text-anchor="middle" fill="currentColor" role="img" '
        f'aria-label="{len(texts)} nodes, {len(edges)} edges">{"".join(drawn)}{"".join(named)}</svg>'
    )


def _arc(start: float, end: float, y: float, edge_up: bool) -> str:
    side = -1 if edge_up else 1
    high = y + side * (abs(end - start) ** 0.5 * 8 + BASE)
    a, b = (start, end) if start != end else (start - 9, end + 9)  # a loop
    line = f'<path d="M{a:g} {y:g}C{a:g} {high:g} {b:g} {high:g} {b:g} {y + 7 * side:g}" '
    dot = f'<circle cx="{b:g}" cy="{y + 7 * side:g}" r="2.6" fill="#8F99A5"/>'
    return f'{line}fill="none" stroke="#8F99A5" stroke-width="1.3"/>{dot}'


def table(rows: Sequence[tuple[object, ...]], header: Sequence[str] = ()) -> str:
    """An HTML table; all texts are escaped."""

    def row(cells: Sequence[object], tag: str) -> str:
        return (
            "<tr>"
            + "".join(f'<{tag} style="text-align:left">{escape(str(c))}</{tag}>' for c in cells)
            + "</tr>"
        )

    head = [row(header, "th")] if header else []
    return "<table>" + "".join([*head, *(row(cells, "td") for cells in rows)]) + "</table>"

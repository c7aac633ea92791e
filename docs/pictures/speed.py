"""The pictures of docs/performance.md, drawn from the tables of that page, so that both say the same.

python -m docs.pictures.speed
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pictures import Ratio, draw_ratios

HERE = Path(__file__).parent
PAGE = HERE.parent / "performance.md"


def main() -> None:
    """Draw the three pictures."""
    draw_ratios(list(sequences()), HERE / "sequences.png")
    draw_ratios(list(graphs()), HERE / "graphs.png")
    draw_ratios(list(dags()), HERE / "dags.png")


def sequences() -> Iterator[Ratio]:
    """A line of the table is a layer, a column a shape."""
    (_, *shapes), *lines = table("## Sequences")
    for net, *cells in lines:
        for shape, cell in zip(shapes, cells, strict=True):
            yield from both(net, shape, "torch.nn", cell)


def graphs() -> Iterator[Ratio]:
    """A line is a layer; columns are graphs, each with PyG's two ways."""
    _, *lines = table("## Graphs in rounds")
    shapes = [
        "Cora's size",
        "Cora's size",
        "100,000 nodes, 1,000,000 edges",
        "100,000 nodes, 1,000,000 edges",
    ]
    for net, *cells in lines:
        for shape, contender, cell in zip(shapes, ["PyG", "PyG, sparse matrix"] * 2, cells, strict=True):
            yield from both(net, shape, contender, cell)


def dags() -> Iterator[Ratio]:
    """A line is a contender, the first of a network behind its name; a column is a set of DAGs."""
    (_, *shapes), *lines = table("## DAGs in dependency order")
    net = ""
    for contender, *cells in lines:
        if ": " in contender:
            net, contender = contender.split(": ")
        for shape, cell in zip(shapes, cells, strict=True):
            yield from both(net, shape, contender.removeprefix("– "), cell)


def both(net: str, shape: str, contender: str, cell: str) -> Iterator[Ratio]:
    """Of a cell `training / inference`, which may be empty."""
    for mode, value in zip(("training", "inference"), cell.split(" / ") if cell else (), strict=False):
        yield Ratio(net, shape, contender, mode, float(value))


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, line by line, the head first."""
    found = re.search(r"(?:^\|.*\n)+", PAGE.read_text().split(f"{heading}\n")[1], re.MULTILINE)
    assert found, f"no table below {heading}"
    lines = [
        [cell.strip().replace("`", "") for cell in line[1:-1].split("|")] for line in found[0].splitlines()
    ]
    return [lines[0], *lines[2:]]


if __name__ == "__main__":
    main()

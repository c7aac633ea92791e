"""Is the cost linear? Training time against nodes and against levels, and the time to build a schedule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

import graphrec as gr

from . import pictures
from .forests import caterpillars, chains, narrow_dag, random_tree, sentiment_like_forest
from .timing import measure

HIDDEN = 32  # small, so that the cost per node and per level shows, not that of the matrix products


class Series(NamedTuple):
    """One line of a picture: seconds against a size."""

    name: str
    sizes: list[int]
    seconds: list[float]


class Scaling(NamedTuple):
    """The three panels."""

    by_nodes: list[Series]
    by_levels: list[Series]
    schedules: list[Series]
    level_nodes: int  # how many nodes the forests of `by_levels` have


def run(quick: bool, out: Path) -> Scaling:
    """Print the tables, draw `scaling.png` into `out`."""
    nodes = [10**3, 10**4] if quick else [10**3, 10**4, 10**5, 10**6]
    level_nodes = 10**4 if quick else 10**5
    levels = [10, 100, 1000] if quick else [10, 100, 1000, 10**4]
    found = Scaling(
        by_nodes=[
            _series("SST-like forest", nodes, sentiment_like_forest, _training),
            _series("one random tree", nodes, random_tree, _training),
        ],
        by_levels=[
            _series("chains", levels, lambda n: chains(level_nodes, n), _training),
            _series("caterpillar trees", levels, lambda n: caterpillars(level_nodes, n), _training),
        ],
        schedules=[
            _series("random tree", nodes, random_tree, _scheduling),
            _series("chain", nodes, lambda n: chains(n, n), _scheduling),
            _series("narrow DAG, a level per 23 nodes", nodes, narrow_dag, _scheduling),
        ],
        level_nodes=level_nodes,
    )
    print(f"Child-Sum Tree-LSTM, hidden size {HIDDEN}, float32\n")
    print(_table("training, ms by nodes", found.by_nodes), end="\n\n")
    print(_table(f"training, ms by levels, {level_nodes:,} nodes", found.by_levels), end="\n\n")
    print(_table("schedule, ms by nodes", found.schedules), end="\n\n")
    pictures.draw_scaling(found, HIDDEN, out / "scaling.png")
    return found


def _series(
    name: str, sizes: list[int], build: Callable[[int], gr.Structure], cost: Callable[[gr.Structure], float]
) -> Series:
    return Series(name, sizes, [cost(build(size)) for size in sizes])


def _training(structure: gr.Structure) -> float:
    """Seconds for forward and backward, the schedule being there."""
    gr.schedule(structure)
    model = gr.TreeLSTM(HIDDEN, HIDDEN)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(structure.num_nodes, HIDDEN, generator=generator).requires_grad_()
    upstream = torch.randn(structure.num_nodes, HIDDEN, generator=generator)

    def train(_: None) -> None:
        x.grad = None
        model.zero_grad(set_to_none=True)
        model(x, structure).backward(upstream)

    return measure(train, make=lambda: None).median


def _scheduling(structure: gr.Structure) -> float:
    """Seconds to find the levels and to compile them, from nothing but edges."""
    # A schedule is kept on its structure: every run needs a structure that has none yet.
    return measure(gr.schedule, make=lambda: gr.dag(structure.edge_index, structure.num_nodes)).median


def _table(title: str, series: list[Series]) -> str:
    sizes = series[0].sizes
    rows = [[title, *(f"{size:,}" for size in sizes)], ["---"] * (len(sizes) + 1)]
    rows += [[line.name, *(f"{1e3 * seconds:,.1f}" for seconds in line.seconds)] for line in series]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

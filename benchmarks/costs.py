"""What a training step costs as a function of nodes, edges, levels and width: fitted on some sizes, checked on others.

seconds = a + b L + c N H + d N H² + e E H
bytes   = a + b N + c N H + d E

`python -m benchmarks.costs [--quick]`
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Sequence
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls

import graphrec as gr

from .peak import forget_peak, peak_so_far, return_what_is_freed
from .timing import machine_facts


class Size(NamedTuple):
    """N nodes, E edges for each node, L levels, H units."""

    nodes: int
    edges_per_node: int
    levels: int
    hidden: int


class Cost(NamedTuple):
    """Of one training step: seconds of the processor, and bytes above what was held before."""

    seconds: float
    bytes: float


FITTED = [
    *(Size(2_000, 1, 20, 16), Size(2_000, 3, 200, 16), Size(20_000, 1, 2_000, 16), Size(20_000, 3, 20, 32)),
    *(Size(20_000, 2, 200, 64), Size(50_000, 1, 50, 16), Size(50_000, 2, 500, 64), Size(100_000, 2, 100, 32)),
    *(Size(200_000, 1, 1_000, 32), Size(200_000, 3, 50, 16)),
]
CHECKED = [
    Size(10_000, 2, 1_000, 32), Size(40_000, 2, 100, 48), Size(100_000, 3, 2_000, 16), Size(400_000, 2, 200, 32),
]  # fmt: skip


def layered(size: Size) -> gr.Structure:
    """A DAG in which each node reads some nodes of the level before its own."""
    draw = torch.Generator().manual_seed(0)
    width = size.nodes // size.levels
    nodes = torch.arange(width, width * size.levels).repeat_interleave(size.edges_per_node)
    source = (nodes // width - 1) * width + torch.randint(width, nodes.shape, generator=draw)
    return gr.dag(torch.stack([source, nodes]), width * size.levels)


def cost(size: Size, rounds: int) -> Cost:
    """The least of some rounds, the schedule being there, in a new batch of inputs."""
    s, model = layered(size), gr.TreeLSTM(size.hidden, size.hidden)
    gr.schedule(s)
    x = torch.randn(s.num_nodes, size.hidden)
    seconds, held = [], []
    for _ in range(rounds + 1):  # the first lays out its memory, which later ones use again
        model.zero_grad(set_to_none=True)
        gc.collect()
        before, begin = forget_peak(), time.process_time()
        model(x, s).sum().backward()
        seconds.append(time.process_time() - begin)
        held.append(peak_so_far() - before)
    return Cost(min(seconds[1:]), max(held))


def measured(sizes: Sequence[Size], rounds: int) -> list[Cost]:
    """Each in a process of its own, which holds no memory of others."""
    with get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return [pool.apply(cost, (size, rounds)) for size in sizes]


def features(size: Size, of: str) -> list[float]:
    """What the cost is a sum of."""
    nodes, hidden, edges = size.nodes, size.hidden, size.nodes * size.edges_per_node
    if of == "seconds":
        return [1, size.levels, nodes * hidden, nodes * hidden**2, edges * hidden]
    return [1, nodes, nodes * hidden, edges]


def fit(sizes: Sequence[Size], costs: Sequence[Cost], of: str) -> np.ndarray:
    """The factors, none below zero, with the least relative errors."""
    were = np.array([getattr(found, of) for found in costs])
    table = np.array([features(size, of) for size in sizes]) / were[:, None]
    scale = table.max(0)
    return nnls(table / scale, np.ones(len(sizes)))[0] / scale


def run(quick: bool, rounds: int = 3) -> None:
    """Print the factors, and what they predict beside what was measured."""
    return_what_is_freed()
    shrink = 4 if quick else 1
    fitted, checked = (
        [size._replace(nodes=size.nodes // shrink, levels=max(2, size.levels // shrink)) for size in sizes]
        for sizes in (FITTED, CHECKED)
    )
    costs = measured(fitted, rounds)
    found = {of: fit(fitted, costs, of) for of in Cost._fields}
    a, by_level, by_row, by_product, by_edge = found["seconds"]
    print(
        f"seconds = {a:.2g} + {by_level:.2g} L + {by_row:.2g} N H + {by_product:.2g} N H² + {by_edge:.2g} E H\n"
        + "bytes = {:.2g} + {:.3g} N + {:.3g} N H + {:.3g} E\n".format(*found["bytes"])
    )
    print("| | N | E | L | H | ms | predicted | MB | predicted |\n|---|---|---|---|---|---|---|---|---|")
    found_all = [*costs, *measured(checked, rounds)]
    for number, (size, was) in enumerate(zip([*fitted, *checked], found_all, strict=True)):
        said = Cost(*(float(np.dot(features(size, of), found[of])) for of in Cost._fields))
        print(
            f"| {'fitted' if number < len(fitted) else '**checked**'} | {size.nodes:,} | "
            f"{size.nodes * size.edges_per_node:,} | {size.levels:,} | {size.hidden} | {1e3 * was.seconds:,.1f} | "
            f"{1e3 * said.seconds:,.1f} | {was.bytes / 1e6:,.1f} | {said.bytes / 1e6:,.1f} |"
        )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="a quarter of the sizes")
    given = options.parse_args()
    torch.set_num_threads(1)
    print(machine_facts(), end="\n\n")
    run(given.quick)

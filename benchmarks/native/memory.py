"""The most memory that training needs, beside what the equations must keep for their derivatives."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch

from ..forests import sentiment_forest
from ..peak import CLEAR, forget_peak, peak_so_far, return_what_is_freed
from ..trees import GraphRec, make_layer
from .figures import Figure, Target
from .race import LOOP, NEW, on

TARGET = Target(1.3, None, small=True)


def run(rounds: int, quick: bool) -> list[Figure]:
    """A Tree-LSTM in training; the loop is told for comparison.

    Figures are of the whole process, so that memory counts whoever allocates it: a new process for each, and the
    first run on this structure.
    """
    batch, hidden = (8, 16) if quick else (256, 300)
    forest = sentiment_forest(batch)
    nodes, edges = forest.structure.num_nodes, forest.structure.num_edges
    must = must_keep(nodes, edges, hidden, hidden)
    case = f"{batch} {forest.origin}, H={hidden}"
    found = []
    for backend in (NEW, LOOP):
        job = f"Tree-LSTM, training, {backend}: **peak memory**"
        quotient = "peak of the process / what the equations keep"
        target = TARGET if backend == NEW else None
        if not CLEAR.exists():
            found.append(Figure(job, case, quotient, [], target, "this system does not tell"))
            continue
        peaks = [_alone(batch, hidden, backend) for _ in range(rounds)]
        detail = f"{sorted(peaks)[len(peaks) // 2] / 1e6:.1f} MB; must keep {must / 1e6:.1f} MB"
        found.append(Figure(job, case, quotient, [peak / must for peak in peaks], target, detail))
    return found


def must_keep(nodes: int, edges: int, inputs: int, hidden: int) -> int:
    """Bytes, in float32, beside what the caller holds: x, weights, and the upstream gradient.

    For the backward pass h, c and the gates i, o, u of each node, and f of each edge; and what it returns, the
    gradients of x and of all weights. Sums, tanh(c) and products are made again from these, and gradients of the
    gates can take their place. (That of x could take the place of c: the least to be held at one
    time is N D numbers less.)
    """
    kept = (5 * nodes + edges) * hidden
    returned = nodes * inputs + 4 * hidden * (inputs + 1) + 4 * hidden * hidden
    return 4 * (kept + returned)


def _alone(batch: int, hidden: int, backend: str) -> int:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak, batch, hidden, backend, torch.get_num_threads()).result()


def _peak(batch: int, hidden: int, backend: str, threads: int) -> int:
    """Bytes that one run adds at most to the process."""
    torch.set_num_threads(threads)
    return_what_is_freed()
    for count in (1, batch):  # a first run on one tree loads what is loaded once
        structure = sentiment_forest(count).structure
        ours = GraphRec(make_layer(structure, hidden), structure)
        task = ours.train if backend == NEW else on(backend, ours.train)
        before = forget_peak()
        task()
    return peak_so_far() - before

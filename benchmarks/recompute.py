"""Structures so deep or large that gates of all nodes are too much: BPTT that keeps everything, and `recompute=`.

Each line has a process of its own. Seconds are of the processor, so that others who use the machine count little.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch

import graphrec as gr
from graphrec.learning import BPTT

from .peak import CLEAR, forget_peak, peak_so_far, return_what_is_freed


class Case(NamedTuple):
    """A model on a structure; with `width` nodes a level it is a DAG, with 1 a chain."""

    model: str
    hidden: int
    nodes: int
    width: int


class Found(NamedTuple):
    """Seconds and bytes: of making the structure and its schedule, of the first step of training, and of a later one.

    The bytes of training are those beyond what was held before: structure, schedule, x and weights.
    """

    making: float
    made: int
    first: float
    later: float
    most: int


def run(quick: bool) -> None:
    """Print the table."""
    if not CLEAR.exists():
        print("recompute: this system does not tell a process's peak memory")
        return
    root, dag = (100, 10**5) if quick else (1000, 10**7)
    chain = root**2
    cases = [
        (Case("GRU", 32, chain, 1), (None, root, 4 * root)),
        (Case("LSTM", 32, chain, 1), (None, root)),
        (Case("TreeGRU", 8, dag, dag // 2000), (None, 20)),
        (Case("TreeLSTM", 8, dag, dag // 2000), (None, 20)),
    ]
    print(
        "| model, H | structure | rule | structure and schedule | first step | later steps | peak of training |"
    )
    print("|---|---|---|---|---|---|---|")
    for case, blocks in cases:
        what = "a chain" if case.width == 1 else f"a DAG of {case.nodes // case.width:,} levels"
        for size in blocks:
            found = _alone(case, size)
            cells = (
                f"{case.model}, {case.hidden}",
                f"{what}, {case.nodes:,} nodes",
                repr(BPTT(size)),
                f"{found.making:.1f} s, {found.made / 1e6:,.0f} MB",
                f"{found.first:.2f} s",
                f"{found.later:.2f} s",
                f"{found.most / 1e6:,.0f} MB",
            )
            print(f"| {' | '.join(cells)} |", flush=True)
    print()


def _alone(case: Case, size: int | None) -> Found:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, case, size, torch.get_num_threads()).result()


def _measured(case: Case, size: int | None, threads: int) -> Found:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    return_what_is_freed()
    _training(case._replace(nodes=20 * case.width), 4, 1)  # loads what is loaded once
    before, began = forget_peak(), time.process_time()
    s = structure(case.nodes, case.width)
    gr.schedule(s)
    making, made = time.process_time() - began, peak_so_far() - before
    seconds, most = _training(case, size, 3, s)
    return Found(making, made, seconds[0], min(seconds[1:]), most)


def _training(
    case: Case, size: int | None, steps: int, s: gr.Structure | None = None
) -> tuple[list[float], int]:
    """Seconds of each step, and how many bytes they add to what is held."""
    s = structure(case.nodes, case.width) if s is None else s
    gr.schedule(s)
    model, x = getattr(gr, case.model)(case.hidden, case.hidden), torch.randn(case.nodes, case.hidden)
    before, seconds = forget_peak(), []
    for _ in range(steps):
        began = time.process_time()
        model(x, s, rule=BPTT(recompute=size)).pow(2).mean().backward()
        seconds.append(time.process_time() - began)
        model.zero_grad()
    return seconds, peak_so_far() - before


def structure(nodes: int, width: int) -> gr.Structure:
    """Each node has a source in the level below and one in any level below, both drawn at random; or it is a chain."""
    if width == 1:
        return gr.chain(nodes)
    node = torch.arange(width, nodes)
    level = node // width
    near = (level - 1) * width + torch.randint(0, width, node.shape)
    far = (torch.rand(node.shape, dtype=torch.float64) * (level * width)).long()
    return gr.dag(torch.stack([torch.cat([near, far]), torch.cat([node, node])]), nodes)

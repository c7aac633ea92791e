"""The same job while another process keeps one core busy, beside its own time on one quiet thread."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..forests import sentiment_forest
from ..timing import Timing, interleave
from ..trees import GraphRec, make_layer
from .figures import Figure, Target, Timed
from .race import LOOP, NEW, backends_of, on

QUIET, BUSY = "one quiet thread", "beside a busy process"
TARGET = Target(1.5, 1.1, small=True)


def run(rounds: int, quick: bool) -> list[Figure]:
    """Training of a Tree-LSTM; the loop is told for comparison."""
    batch, hidden = (8, 16) if quick else (128, 150)
    # Long enough for the system's scheduler, which moves threads only every few milliseconds.
    at_least = 0.1 if quick else 1.0
    forest = sentiment_forest(batch)
    ours = GraphRec(make_layer(forest.structure, hidden), forest.structure)
    threads = torch.get_num_threads()
    case = f"{batch} {forest.origin}, H={hidden}, threads: {threads}"
    found = []
    for name, task in ((NEW, ours.train), (LOOP, on(LOOP, ours.train))):
        told = {BUSY: ", ".join(backends_of(task))}
        timed = Timed(_in_turns(task, rounds, at_least), {}, told)
        target = TARGET if name == NEW else None
        found.append(timed.figure(f"Tree-LSTM, training, {name}", case, BUSY, QUIET, target))
    return found


def _in_turns(task: Callable[[], object], rounds: int, at_least: float) -> dict[str, Timing]:
    threads = torch.get_num_threads()
    seconds: dict[str, list[float]] = {QUIET: [], BUSY: []}
    try:
        for _ in range(rounds):
            torch.set_num_threads(1)
            seconds[QUIET].append(_time(task, at_least))
            torch.set_num_threads(threads)
            with busy_core():
                seconds[BUSY].append(_time(task, at_least))
    finally:
        torch.set_num_threads(threads)
    return {name: Timing(figures) for name, figures in seconds.items()}


def _time(task: Callable[[], object], at_least: float) -> float:
    return interleave({"": task}, 1, at_least=at_least)[""].median


@contextmanager
def busy_core() -> Iterator[subprocess.Popen[bytes]]:
    """In this context a process computes without end; on the last core, where processes can be pinned."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        time.sleep(0.1)  # until it has begun
        yield process
    finally:
        process.kill()
        process.wait()

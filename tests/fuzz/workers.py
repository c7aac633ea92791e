"""Random runs side by side, in processes of their own, so that a crash is one of a seed's."""

from __future__ import annotations

import faulthandler
import multiprocessing
import time
import traceback
from collections import Counter
from typing import Any

KINDS = ("cells", "structures", "programs", "sweeps", "sorted", "schedules")
MOST_SHOWN = 5  # failures of a worker in full
MOST_CRASHES = 20  # of a kind, after which no other worker follows


def check_of(kind: str) -> Any:
    """From a seed to how many cases it was."""
    from tests.fuzz import native_programs, runs, schedules

    return {
        "cells": runs.check_cells,
        "structures": runs.check_structures,
        "programs": native_programs.check_programs,
        "sweeps": native_programs.check_sweeps,
        "sorted": schedules.check_sorted,
        "schedules": schedules.check_schedules,
    }[kind]


def work(kind: str, seed: int, step: int, count: int, end: float, now: Any, results: Any) -> None:
    """One worker: every `step`-th seed, until there are so many cases, or until the end."""
    import torch

    faulthandler.enable()
    torch.set_num_threads(1)
    check, tally = check_of(kind), Counter[str]()
    while tally["cases"] < count and time.time() < end:
        now.value = seed
        try:
            tally += check(seed)
        except Exception as error:
            tally["WRONG"] += 1
            print(
                f"seed {seed} is wrong; again: python -m tests.fuzz {kind} --seed {seed} --count 1",
                flush=True,
            )
            if tally["WRONG"] <= MOST_SHOWN:
                print(error if type(error).__name__ == "Wrong" else traceback.format_exc(), flush=True)
        seed += step
    results.put(tally)


def run(kind: str, seed: int, count: int, seconds: float, workers: int) -> Counter[str]:
    """A kind by several workers; one that crashes is followed by another, behind its seed."""
    context = multiprocessing.get_context("spawn")
    end, total, results = time.time() + seconds, Counter[str](), context.Queue()
    waiting = [(seed + number, -(-count // workers)) for number in range(workers)]
    running: list[tuple[Any, Any, int]] = []
    while waiting or running:
        for first, share in waiting:
            now = context.Value("q", first)
            process = context.Process(target=work, args=(kind, first, workers, share, end, now, results))
            process.start()
            running.append((process, now, share))
        waiting = []
        while not results.empty():
            total += results.get()
        for one in list(running):
            process, now, share = one
            if process.is_alive():
                continue
            process.join()
            running.remove(one)
            if process.exitcode:
                total["CRASHED"] += 1
                print(
                    f"seed {now.value} of {kind} crashed ({process.exitcode}): --seed {now.value} --count 1"
                )
                if total["CRASHED"] < MOST_CRASHES:
                    waiting.append((now.value + workers, share))
        time.sleep(0.05)
    while not results.empty():
        total += results.get()
    return total

"""Timing that survives a noisy machine: interleaved rounds, medians, ratios paired by round."""

from __future__ import annotations

import gc
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

Made = TypeVar("Made")


@dataclass(frozen=True)
class Timing:
    """Seconds per call, one figure per round."""

    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def lowest(self) -> float:
        return min(self.rounds)

    @property
    def highest(self) -> float:
        return max(self.rounds)

    def ratio_to(self, other: Timing) -> float:
        """How many times the other's time this takes.

        The median of the rounds' own ratios: what slows a whole round down slows both sides of it.
        """
        return statistics.median(self.ratios_to(other))

    def ratios_to(self, other: Timing) -> list[float]:
        """The ratio of each round."""
        return [mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True)]


def interleave(
    tasks: dict[str, Callable[[], object]], rounds: int, warm_up: int = 2, at_least: float = 0.05
) -> dict[str, Timing]:
    """Time all tasks in every round, each for `at_least` seconds and at least once.

    Every round begins with another task, so that none always follows the same neighbour.
    """
    repeats = {name: _repeats(task, warm_up, at_least) for name, task in tasks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    names = list(tasks)
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()  # nobody pays for what another task left behind
            seconds[name].append(_time(tasks[name], repeats[name]))
    return {name: Timing(figures) for name, figures in seconds.items()}


def measure(run: Callable[[Made], object], make: Callable[[], Made]) -> Timing:
    """Time `run(make())` for half a second and three times at least, without the time that `make` takes."""
    run(make())
    gc.collect()
    figures: list[float] = []
    while len(figures) < 3 or sum(figures) < 0.5:
        made = make()
        figures.append(_time(lambda made=made: run(made), 1))
    return Timing(figures)


def peak_memory(task: Callable[[], object]) -> float:
    """How many MB torch holds at most during a run, beyond what it held before."""
    task()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        task()
    now = most = 0
    assert found.profiler is not None
    assert found.profiler.kineto_results is not None
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most / 1e6


def _repeats(task: Callable[[], object], warm_up: int, at_least: float) -> int:
    fastest = min(_time(task, 1) for _ in range(max(warm_up, 1)))
    return max(1, math.ceil(at_least / fastest))


def _time(task: Callable[[], object], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        task()
    return (time.perf_counter() - began) / repeats


def machine_facts() -> str:
    """Where the figures come from, in a line; a load well above 0 says that others used the machine too."""
    facts = [
        _cpu_model(),
        f"{os.cpu_count()} CPUs, {torch.get_num_threads()} threads",
        torch.backends.cpu.get_cpu_capability(),
        f"torch {torch.__version__}",
        f"Python {platform.python_version()}",
    ]
    if hasattr(os, "getloadavg"):
        facts.append(f"load before the run {os.getloadavg()[0]:.1f}")
    return "; ".join(facts)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

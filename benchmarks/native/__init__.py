"""`python -m benchmarks native`: how fast cells run, whoever wrote them, and what each figure should come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import batches, busy, chains, forests, graph_nets, memory, rounding, steps, user_cells
from .figures import Figure, summary, table

ROWS: dict[str, Callable[[int, bool], list[Figure]]] = {
    "trees": forests.trees,
    "one-tree": forests.one_tree,
    "cells": user_cells.run,
    "chains": chains.run,
    "graphs": graph_nets.rounds_on_graphs,
    "levelwise": graph_nets.levelwise,
    "batches": batches.run,
    "steps": steps.run,
    "busy": busy.run,
    "memory": memory.run,
    "bfloat16": rounding.products_in_bfloat16,
}


def run(rounds: int, quick: bool, rows: Sequence[str]) -> list[Figure]:
    """Measure these rows, and print a table."""
    found: list[Figure] = []
    for name in rows:
        print(f"{name} …", flush=True)
        found += ROWS[name](rounds, quick)
    if quick:  # no target is for sizes as small as these
        found = [figure._replace(target=None) for figure in found]
    print(f"\nfloat32; ratios of times in the same round, median of {rounds} rounds\n")
    print(table(found), end="\n\n")
    print("--quick: sizes are too small for targets" if quick else summary(found))
    return found

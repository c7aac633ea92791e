"""`python -m benchmarks native`: how fast cells run, whoever wrote them, and what each figure should come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .batches import batches
from .busy import busy
from .chains import chains
from .figures import Figure, summary, table
from .forests import one_tree, trees
from .graph_nets import levelwise, rounds_on_graphs
from .memory import memory
from .steps import steps
from .user_cells import cells

ROWS: dict[str, Callable[[int, bool], list[Figure]]] = {
    "trees": trees,
    "one-tree": one_tree,
    "cells": cells,
    "chains": chains,
    "graphs": rounds_on_graphs,
    "levelwise": levelwise,
    "batches": batches,
    "steps": steps,
    "busy": busy,
    "memory": memory,
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
    print(summary(found))
    return found

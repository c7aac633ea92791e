"""One cycle, found and named for errors."""

from __future__ import annotations

from collections.abc import Callable


def walk_to_cycle(start: int, onward: Callable[[int], int]) -> list[int]:
    """The cycle that a walk from `start` reaches; every node on the way must lead onward."""
    index: dict[int, int] = {}
    node = start
    while node not in index:
        index[node] = len(index)
        node = onward(node)
    return list(index)[index[node] :]


def name_cycle(cycle: list[int], most: int = 8) -> str:
    """`0 → 4 → 2 → 0`, with the middle of a long one left out."""
    names = [str(node) for node in [*cycle, cycle[0]]]
    if len(names) > most:
        names = [*names[: most - 2], f"… ({len(cycle)} nodes) …", names[-1]]
    return " → ".join(names)

"""Finding and naming one cycle, for errors."""

from __future__ import annotations

from collections.abc import Callable


def walk_to_cycle(start: int, onward: Callable[[int], int]) -> list[int]:
    """The cycle that one ends up on when walking from `start`; every node on the way must lead onward."""
    place: dict[int, int] = {}
    node = start
    while node not in place:
        place[node] = len(place)
        node = onward(node)
    return list(place)[place[node] :]


def name_cycle(cycle: list[int], most: int = 8) -> str:
    """`0 → 4 → 2 → 0`, with the middle of a long one left out."""
    shown = [str(node) for node in [*cycle, cycle[0]]]
    if len(shown) > most:
        shown = [*shown[: most - 2], f"… ({len(cycle)} nodes) …", shown[-1]]
    return " → ".join(shown)

"""What of a reverse can wait until all rows have been done: the gradient of x, in one product over all of them.

By then memory that the sweep has used is free for it, and its rows are as many as a tile has, however few there are in
a level.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...cprogram import CHAIN, GLOBAL, NODES, PRODUCT
from .placement import Buffers

Code = tuple[np.ndarray, np.ndarray]  # instructions and micro-operations


def postpone(
    reverse: list[Code], lasting: list[set[tuple[int, int]]], buffers: Buffers, widths: list[int]
) -> list[Code]:
    """The products that give d.x, taken out of the reverse programs; none where any of them must be done at once.

    Args:
        reverse: the programs of nodes.
        lasting: for each, the columns that are there until the gradients of weights are summed up: of which buffer,
            and which.
        buffers: of all programs.
        widths: of each block of weights, how many columns of A it takes.
    """
    of_x = buffers.find("d.x")
    if of_x is None:
        return []
    made: list[tuple[Code, Code]] = []
    for (instructions, operations), there in zip(reverse, lasting, strict=True):
        is_of_x = np.array([of_x in _buffers(one, operations) for one in instructions], bool)
        for one in instructions[is_of_x]:
            a, first = int(one["a"]), int(one["a_column"])
            can_wait = (
                one["kind"] == PRODUCT
                and one["rows"] == NODES
                and one["c"] == of_x
                and one["i"] < 0
                and buffers.specs[a].place == GLOBAL
                and all((a, column) in there for column in range(first, first + widths[one["weight"]]))
            )
            if not can_wait:
                return []
        made.append(((instructions[~is_of_x], operations), (instructions[is_of_x], operations)))
    reverse[:] = [now for now, _ in made]
    return [later for _, later in made]


def _buffers(instruction: np.void, operations: np.ndarray) -> Iterator[int]:
    if instruction["kind"] == CHAIN:
        chain = operations[instruction["first"] : instruction["last"]]
        for name in "abcd":
            yield from chain[name]["buffer"].tolist()
    else:
        yield from (int(instruction[name]) for name in "aci")

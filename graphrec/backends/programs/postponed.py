"""What of a reverse can wait until all else is done: the gradient of x, in products over all rows.

By then memory that others have needed is free for it, and tiles are full, however few rows there are in a level.
"""

from __future__ import annotations

import numpy as np

from ...cprogram import CHAIN, GLOBAL, NODES, PRODUCT, TILE_NODES
from .buffers import Buffers

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
    if of_x is None or not buffers.specs[of_x].width:
        return []
    now, late = [], []
    for (instructions, operations), there in zip(reverse, lasting, strict=True):
        touched = [_buffers(one, operations) for one in instructions]
        waits, ours = _all_for(of_x, instructions, touched, buffers)
        for one in instructions[waits]:
            if (
                one["kind"] != PRODUCT
                or one["rows"] != NODES
                or not {int(one["c"]), int(one["i"])} <= ours | {-1}
            ):
                return []
            a, first = int(one["a"]), int(one["a_column"])
            columns = range(first, first + widths[one["weight"]])
            if buffers.specs[a].place != GLOBAL or not all((a, column) in there for column in columns):
                return []
        now.append((instructions[~waits], operations))
        late.append((instructions[waits], operations))
    reverse[:] = now
    return late


def _all_for(
    buffer: int, instructions: np.ndarray, touched: list[set[int]], buffers: Buffers
) -> tuple[np.ndarray, set[int]]:
    """Which instructions touch a buffer, or what in a tile is added to it; and all these buffers."""
    found, ours = np.zeros(len(instructions), bool), {buffer}
    while True:
        before = found.copy()
        found |= np.array([bool(of_one & ours) for of_one in touched], bool)
        ours |= {int(one["i"]) for one in instructions[found] if _is_of_tile(buffers, one)}
        if (found == before).all():
            return found, ours


def _is_of_tile(buffers: Buffers, instruction: np.void) -> bool:
    """Whether a product begins with what lies in a tile."""
    i = int(instruction["i"])
    return instruction["kind"] == PRODUCT and i >= 0 and buffers.specs[i].place == TILE_NODES


def _buffers(instruction: np.void, operations: np.ndarray) -> set[int]:
    if instruction["kind"] != CHAIN:
        return {int(instruction[name]) for name in "aci"}
    chain = operations[instruction["first"] : instruction["last"]]
    return {buffer for name in "abcd" for buffer in chain[name]["buffer"].tolist()}

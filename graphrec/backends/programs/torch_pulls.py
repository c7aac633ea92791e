"""How gradients come back along edges: a row for each, or, where all edges of a target bring back the same, its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...program.codes import Codes, Ref
from ...program.compile import CellProgram, Part
from ...program.symbols import EDGE


class Pull(NamedTuple):
    """How some columns come back along edges.

    Attributes:
        start: the first of the columns.
        memory: where they are: a row for each edge, or one for each target, which all of its edges bring back.
        is_of_targets: which.
        weight: the memory of the factor of each edge, or None.
        codes, factor: what is stored there.
    """

    start: int
    memory: str
    is_of_targets: bool
    weight: str | None
    codes: Codes
    factor: Codes | None


def find_pulls(program: CellProgram) -> dict[str, list[Pull]]:
    """What all edges of a target bring back alike is read straight from it."""
    with_edges = [part for sort, part in program.parts.items() if sort[1]]
    names = [name for name in program.widths if name.startswith("edge.")]
    if len(with_edges) != 1:
        return {name: [Pull(0, name, False, None, np.zeros(program.widths[name]), None)] for name in names}
    (part,) = with_edges
    return {
        name: [
            _pull(part, f"{name}:{start}", codes[start:stop], start, ref)
            for start, stop, (ref,) in part.b.runs(codes)
        ]
        for name, codes in part.reverse_stores.items()
        if name in names
    }


def _pull(part: Part, memory: str, codes: Codes, start: int, ref: Ref | None) -> Pull:
    weight = None
    if ref is not None and ref.value.op == "mul" and ref.is_whole:
        for one, other in (ref.value.args, ref.value.args[::-1]):
            is_factor = other.step == 0 and other.value.rows == EDGE and other.value.number < part.split
            if one.value.op == "to_edges" and is_factor:
                ref, weight = one, other.codes[:1]
                break
    if ref is None or ref.value.op != "to_edges" or ref.step != 1 or ref.value.args[0].step != 1:
        return Pull(start, memory, False, None, codes, None)
    (of,) = ref.value.args
    of = Ref(of.value, of.column + ref.column, 1, ref.width)
    return Pull(start, memory, True, None if weight is None else f"factor.{memory}", of.codes, weight)

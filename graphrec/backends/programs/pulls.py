"""How gradients come back along edges: as rows of edges, or straight from what the targets of the edges have kept."""

from __future__ import annotations

from typing import NamedTuple

from ...program.codes import Codes, Ref, Value
from ...program.compile import CellProgram, Part
from ...program.symbols import EDGE, NODE


class Piece(NamedTuple):
    """Some columns of what comes back along each edge.

    Attributes:
        start, stop: the columns.
        memory: what the targets leave, a row for each of them, or (kind `"edge"`) for each of their edges.
        kind: `"edge"`: that row; `"target"`: the row of the edge's target; `"slot"`: of `parts` parts of the target's
            row the one for the edge's slot or relation, as `numbered` says.
        at_target: the codes of that memory.
        factor, repeat: what each edge multiplies it by, or None; and for how many columns each of its numbers is, if
            for several.
        parts, numbered: see above.
    """

    start: int
    stop: int
    memory: str
    kind: str
    at_target: Codes
    factor: Ref | None = None
    repeat: int = 0
    parts: int = 0
    numbered: str = ""


def pull_forms(program: CellProgram) -> dict[str, list[Piece]]:
    """For each memory `edge.*` its pieces; only what all targets do alike is read straight from them."""
    with_edges = [part for sort, part in program.parts.items() if sort[1]]
    if len(with_edges) != 1:
        return {}
    (part,) = with_edges
    forms = {}
    for name, codes in part.reverse_stores.items():
        if name.startswith("edge."):
            forms[name] = [
                _piece(part, name, codes, start, stop, ref) for start, stop, (ref,) in part.b.runs(codes)
            ]
    return forms


def _piece(part: Part, name: str, codes: Codes, start: int, stop: int, ref: Ref | None) -> Piece:
    found = None if ref is None else _straight(part, name, start, stop, ref)
    return found or Piece(start, stop, f"{name}:{start}", "edge", codes[start:stop])


def _straight(part: Part, name: str, start: int, stop: int, ref: Ref) -> Piece | None:
    value, factor, repeat = ref.value, None, 0
    if value.op == "mul" and ref.is_whole:
        for one, other in (value.args, value.args[::-1]):
            if one.value.op == "to_edges" and one.is_whole and (of_edge := _factor(part, other)) is not None:
                value, ref, (factor, repeat) = one.value, one, of_edge
                break
    memory = f"{name}:{start}"
    if value.op == "to_edges" and ref.step == 1:
        (of,) = value.args
        if of.step != 1 or of.value.rows != NODE or of.value.number < part.split:
            return None
        codes = Ref(of.value, of.column + ref.column, 1, ref.width).codes
        return Piece(start, stop, memory, "target", codes, factor, repeat)
    if value.op == "from_index" and ref.is_whole:
        (of,) = value.args
        return Piece(start, stop, memory, "slot", of.value.a, parts=value.count, numbered=value.field)
    return None


def _factor(part: Part, ref: Ref) -> tuple[Ref, int] | None:
    """What each edge multiplies by, if it is there in the reverse, and for how many columns each number is."""
    if ref.value.op == "repeat_each" and ref.step == 1:
        (of,), count = ref.value.args, ref.value.count
        first, inside = divmod(ref.column, count)
        if not _is_kept(part, of.value):
            return None
        if not inside and ref.width % count == 0:
            return Ref(of.value, of.column + first * of.step, of.step, ref.width // count), count
        return (
            (Ref(of.value, of.column + first * of.step, 1, 1), ref.width)
            if inside + ref.width <= count
            else None
        )
    if not _is_kept(part, ref.value):
        return None
    if ref.step == 0 and ref.width > 1:
        return Ref(ref.value, ref.column, 1, 1), ref.width
    return (ref, 0) if ref.step == 1 else None


def _is_kept(part: Part, value: Value) -> bool:
    return (
        value.rows == EDGE
        and value.number < part.split
        and value.op not in ("gather", "to_edges", "from_index", "repeat_each", "repeat_all")
    )

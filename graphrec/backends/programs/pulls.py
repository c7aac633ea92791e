"""How gradients come back along edges: as rows of edges, or straight from what the targets of the edges have kept."""

from __future__ import annotations

from typing import NamedTuple

from ...program.compile import CellProgram, Part
from ...program.symbols import EDGE, NODE
from ...program.values import Codes, Ref, Value


class Piece(NamedTuple):
    """Some columns of what comes back along each edge.

    Attributes:
        start, stop: the columns.
        memory: what the targets leave, a row for each of them, or (kind `"edge"`) for each of their edges.
        kind: `"edge"`: that row; `"target"`: the row of the edge's target; `"slot"`: of `count` parts of the target's
            row the one for the edge's slot or relation, `index`.
        at_target: the codes of that memory.
        factor: what each edge multiplies it by, or None.
        count, index: see above.
    """

    start: int
    stop: int
    memory: str
    kind: str
    at_target: Codes
    factor: Ref | None = None
    count: int = 0
    index: str = ""


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
    value, factor = ref.value, None
    if value.op == "mul" and ref.is_whole:
        for one, other in (value.args, value.args[::-1]):
            if (
                one.value.op == "to_edges"
                and one.is_whole
                and other.step == 1
                and _is_kept(part, other.value)
            ):
                value, ref, factor = one.value, one, other
                break
    memory = f"{name}:{start}"
    if value.op == "to_edges" and ref.step == 1:
        (of,) = value.args
        if of.step != 1 or of.value.rows != NODE or of.value.number < part.split:
            return None
        codes = Ref(of.value, of.column + ref.column, 1, ref.width).codes
        return Piece(start, stop, memory, "target", codes, factor)
    if value.op == "from_index" and ref.is_whole:
        (of,) = value.args
        return Piece(start, stop, memory, "slot", of.value.a, None, value.count, value.field)
    return None


def _is_kept(part: Part, value: Value) -> bool:
    return (
        value.rows == EDGE
        and value.number < part.split
        and value.op not in ("gather", "to_edges", "from_index")
    )

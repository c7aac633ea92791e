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
            row the one for the edge's slot or relation, as `numbered` says; `"again"`: it is computed again where it is
            pulled, of the target's row and what `formula` reads beside it.
        at_target: the codes of that memory.
        factor, repeat: what each edge multiplies it by, or None; and for how many columns each of its numbers is, if
            for several.
        parts, numbered: see above.
        formula: see above; its leaves are rows of edges of the target, of the source itself, and kept values of edges.
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
    formula: Value | None = None


# Of rows of edges, what is computed again rather than left in memory: so many operations, and which.
_MOST_AGAIN = 3
_AGAIN = frozenset(
    ("add", "sub", "mul", "neg", "mul_imm", "add_imm", "rsub_imm", "sigmoid_grad", "tanh_grad", "relu_grad")
)


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
                _piece(program, part, name, codes, start, stop, ref)
                for start, stop, (ref,) in part.b.runs(codes)
            ]
    return _of_one_memory(forms)


def _of_one_memory(forms: dict[str, list[Piece]]) -> dict[str, list[Piece]]:
    """The same, where rows of targets that are alike are left once."""
    known: dict[bytes, str] = {}
    for pieces in forms.values():
        for number, piece in enumerate(pieces):
            if piece.kind in ("target", "again"):
                memory = known.setdefault(piece.at_target.tobytes(), piece.memory)
                pieces[number] = piece._replace(memory=memory)
    return forms


def _piece(
    program: CellProgram, part: Part, name: str, codes: Codes, start: int, stop: int, ref: Ref | None
) -> Piece:
    found = None if ref is None else _straight(part, name, start, stop, ref)
    if found is None and ref is not None and ref.is_whole and not program.is_sync:
        found = _again(part, name, start, stop, ref.value)
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


def _again(part: Part, name: str, start: int, stop: int, value: Value) -> Piece | None:
    """Of a few operations on one row of the target, rows of the source itself, and kept values of the edge."""
    operations, leaves = formula_of(value, part.split)
    of_target = {tuple(ref.codes.tolist()): ref for ref in leaves if ref.value.op == "to_edges"}
    if not 0 < len(operations) <= _MOST_AGAIN or len(of_target) != 1 or _is_summed(part, operations):
        return None
    for ref in leaves:
        is_there = ref.value.op in ("gather", "const", "to_edges") or _is_kept(part, ref.value)
        if not is_there or (ref.value.op != "const" and not ref.is_whole):
            return None
    (at_edges,) = of_target.values()
    (of,) = at_edges.value.args
    if of.step != 1 or of.value.rows != NODE or of.value.number < part.split:
        return None
    return Piece(start, stop, f"{name}:{start}", "again", of.codes, formula=value)


def formula_of(value: Value, split: int) -> tuple[list[Value], list[Ref]]:
    """The operations of the reverse on rows of edges by which a value can be computed again, and what they read."""
    if value.rows != EDGE or value.op not in _AGAIN or value.number < split:
        return [], []
    operations, leaves = [value], []
    for ref in value.args:
        inner = formula_of(ref.value, split) if ref.is_whole and not ref.detached else ([], [])
        if inner[0]:
            operations += inner[0]
            leaves += inner[1]
        else:
            leaves.append(ref)
    return operations, leaves


def _is_summed(part: Part, operations: list[Value]) -> bool:
    """Whether gradients of weights are sums over such rows, which then have memory anyway."""
    numbers = {value.number for value in operations}
    sides = [codes for weight in part.weights for codes in (weight.a, weight.g)]
    return any(value.number in numbers for codes in sides for value in part.values_in(codes))


def _factor(part: Part, ref: Ref) -> tuple[Ref, int] | None:
    """What each edge multiplies by, if it is there in the reverse, and for how many columns each number is."""
    if ref.value.op == "repeat_each" and ref.step == 1:
        (of,), count = ref.value.args, ref.value.count
        if not _is_kept(part, of.value):
            return None
        first, inside = divmod(ref.column, count)
        if of.step == 0 or inside + ref.width <= count:  # one number for all columns
            return Ref(of.value, of.column + first * of.step, 1, 1), ref.width
        if of.step == 1 and not inside and ref.width % count == 0:
            return Ref(of.value, of.column + first, 1, ref.width // count), count
        return None
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

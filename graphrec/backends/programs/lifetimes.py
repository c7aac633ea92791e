"""When the rows of a program's memory are in use, and so which memory can take the place of another.

What happens to the row of one node (or of an edge that enters it), in order: its own tile runs forwards, then the tiles
of its targets; the state is handed out; in reverse the tiles of its targets run, then its own, then those of its
sources; then the gradients of weights are summed; at last what was postponed is done for all rows. Every use of a
buffer in the code falls into one of these phases, and from its first write to its last use it needs its place. So the
gradients of gates take the place of the gates, and that of x the place of what nobody needs any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...cprogram import GLOBAL, IN_EDGES, NO_OPERAND, NODES, PRODUCT, Op
from ...program.symbols import EDGE, NODE
from .buffers import Spec
from .lower import NativeProgram

OWN_FORWARD, OTHERS_FORWARD, HANDED_OUT, OTHERS_BEFORE, OWN_REVERSE, OTHERS_AFTER, SUMMED_UP, LATE = range(8)
_REPEATS = (Op.REPEAT_EACH, Op.REPEAT_ALL, Op.ACCUMULATE_SCALED)
_REDUCES = (Op.SUM_EACH, Op.SUM_ALL, Op.EVERY)
_ACCUMULATES = (Op.ACCUMULATE, Op.ACCUMULATE_PRODUCT, Op.ACCUMULATE_MAX, Op.ACCUMULATE_SCALED)
# Memory is put into rows that are at most so many times as wide: narrow memory is read row by row, densely.
_WIDER = 4

Moment = tuple[
    int, int, int
]  # the phase, the instruction, the operation: reads at even numbers, writes at odd ones
_FIRST, _LAST = (-1, 0, 0), (LATE + 1, 0, 0)
_WHOLE = 1 << 30  # an operation after all others of an instruction


class Use(NamedTuple):
    """Of some columns of a buffer.

    Attributes:
        buffer, low, high: which.
        sort: of the nodes whose rows these are; None: of any.
        begins, ends: when.
        writes: whether it does nothing but write.
    """

    buffer: int
    low: int
    high: int
    sort: int | None
    begins: Moment
    ends: Moment
    writes: bool


class Life(NamedTuple):
    """Of some columns of a buffer, in the rows of one sort.

    Attributes:
        low, high: the columns.
        begins, ends: when they are in use, both included.
        first, last: the column at which the first and the last operation's operand begins, where it is one that may
            be done in place.
    """

    low: int
    high: int
    begins: Moment
    ends: Moment
    first: int | None
    last: int | None


class Plane(NamedTuple):
    """Memory that several buffers share: rows of a kind.

    Attributes:
        rows, width: its size.
        is_forward: whether any of it is in use before the reverse.
    """

    rows: str | None
    width: int
    is_forward: bool


class Places(NamedTuple):
    """Where buffers lie.

    Attributes:
        planes: the memory.
        of: by the number of each buffer that shares memory, its plane and its first column there.
        result: the plane that is the gradient of x in the end; None: it has memory of its own.
    """

    planes: list[Plane]
    of: dict[int, tuple[int, int]]
    result: int | None


def places(native: NativeProgram, has_boundary: bool, of_caller: frozenset[str]) -> Places:
    """Where the memory of nodes and edges lies.

    Args:
        native: programs of an async run.
        has_boundary: whether there are rows whose state is given; where their rows stand in one memory with those of
            nodes, it shares its place with no other.
        of_caller: the names of what lies in memory that the caller is given.
    """
    specs = native.buffers.specs
    shares = {
        number
        for number, spec in enumerate(specs)
        if _may_share(spec, has_boundary) and spec.name not in of_caller
    }
    lives = _lives(list(_uses(native, has_boundary)), shares, len(native.nodes.forward))
    members: list[list[int]] = []
    of: dict[int, tuple[int, int]] = {}
    # The widest first: they make room. Then what is in use for longest.
    ends = {
        n: max((life.ends for each in of_n.values() for life in each), default=_FIRST)
        for n, of_n in lives.items()
    }
    for number in sorted(shares, key=lambda n: (specs[n].width, ends.get(n, _FIRST)), reverse=True):
        spec, mine = specs[number], lives.get(number, {})
        for plane, others in enumerate(members):
            head = specs[others[0]]
            if spec.rows != head.rows or not spec.width <= head.width <= _WIDER * spec.width:
                continue
            taken = [(of[other][1], lives.get(other, {})) for other in others]
            column = _free_column(mine, taken, spec.width, head.width)
            if column is not None:
                others.append(number)
                of[number] = (plane, column)
                break
        else:
            of[number] = (len(members), 0)
            members.append([number])
    result = _place_of_result(native, lives, members, of)
    planes = [
        Plane(
            specs[numbers[0]].rows,
            specs[numbers[0]].width,
            any(_is_forward(lives.get(n, {})) for n in numbers),
        )
        for numbers in members
    ]
    return Places(planes, of, result)


def _place_of_result(
    native: NativeProgram,
    lives: dict[int, dict[int, list[Life]]],
    members: list[list[int]],
    of: dict[int, tuple[int, int]],
) -> int | None:
    """A plane that all of d.x fits into when it is made; that which most sorts of nodes have used until then."""
    number, specs = native.buffers.find("d.x"), native.buffers.specs
    if number is None or not native.late:
        return None
    used = {
        plane: {sort for other in others for sort in lives.get(other, {})}
        for plane, others in enumerate(members)
        if specs[others[0]].rows == NODE
        and specs[others[0]].width == specs[number].width
        and all(
            life.ends < (LATE, 0, 0) for n in others for of_n in lives.get(n, {}).values() for life in of_n
        )
    }
    if not used:
        return None
    plane = max(used, key=lambda plane: len(used[plane]))
    members[plane].append(number)
    of[number] = (plane, 0)
    return plane


def _may_share(spec: Spec, has_boundary: bool) -> bool:
    name = spec.name
    if spec.place != GLOBAL or spec.rows is None or not spec.width:
        return False
    if isinstance(name, tuple):
        return name[0] in ("keep", "beside") and name[1] not in ("boundary", "project")
    return name.startswith("edge.") or (not has_boundary and name.startswith(("state.", "sent.", "pushed.")))


def _is_forward(lives: dict[int, list[Life]]) -> bool:
    return any(life.begins[0] < OTHERS_BEFORE for of_sort in lives.values() for life in of_sort)


def _free_column(
    mine: dict[int, list[Life]], taken: list[tuple[int, dict[int, list[Life]]]], width: int, room: int
) -> int | None:
    """The first column of a plane at which there is room; one where a result replaces its operand comes first."""
    ends = {0, *(column + edge for column, lives in taken for edge in _edges(lives))}
    found = None
    for column in sorted(end for end in ends if end + width <= room):
        meetings = [
            _meet(one, column, other, at)
            for at, lives in taken
            for sort in mine.keys() & lives.keys()
            for one in mine[sort]
            for other in lives[sort]
        ]
        if all(meeting is not False for meeting in meetings):
            if any(meetings):
                return column
            found = column if found is None else found
    return found


def _edges(lives: dict[int, list[Life]]) -> Iterator[int]:
    for of_sort in lives.values():
        for life in of_sort:
            yield from (life.low, life.high)


def _meet(one: Life, at: int, other: Life, other_at: int) -> bool | None:
    """False: both need the same memory at one time; True: one replaces the other, by the same operation."""
    if at + one.high <= other_at + other.low or other_at + other.high <= at + one.low:
        return None
    if one.begins > other.begins:
        one, at, other, other_at = other, other_at, one, at
    if one.ends >= other.begins:
        return False
    if (*one.ends[:2], one.ends[2] // 2) != (*other.begins[:2], other.begins[2] // 2):
        return None
    return one.last is not None and other.first is not None and at + one.last == other_at + other.first


def _lives(uses: list[Use], shares: set[int], sort_count: int) -> dict[int, dict[int, list[Life]]]:
    """Of each buffer, by sort."""
    by_buffer: dict[int, list[Use]] = defaultdict(list)
    for use in uses:
        if use.buffer in shares and use.low < use.high:
            by_buffer[use.buffer].append(use)
    found: dict[int, dict[int, list[Life]]] = {}
    for buffer, mine in by_buffer.items():
        edges = sorted({edge for use in mine for edge in (use.low, use.high)})
        sorts = {use.sort for use in mine if use.sort is not None} or set(range(sort_count))
        found[buffer] = {
            sort: [
                _life(low, high, covering)
                for low, high in pairwise(edges)
                if (
                    covering := [
                        use
                        for use in mine
                        if use.sort in (sort, None) and use.low <= low and high <= use.high
                    ]
                )
            ]
            for sort in sorts
        }
    return found


def _life(low: int, high: int, uses: list[Use]) -> Life:
    begins, ends = min(use.begins for use in uses), max(use.ends for use in uses)
    firsts = [use for use in uses if use.begins == begins]
    if not all(use.writes for use in firsts):
        begins = _FIRST  # (what is read before it is written was there)
    lasts = {use.low for use in uses if use.ends == ends}
    return Life(
        low,
        high,
        begins,
        ends,
        firsts[0].low if len(firsts) == 1 else None,
        lasts.pop() if len(lasts) == 1 else None,
    )


# ---------------------------------------------------------------------------------------------------- uses in the code


def _uses(native: NativeProgram, has_boundary: bool) -> Iterator[Use]:
    specs = native.buffers.specs
    for number, spec in enumerate(specs):
        if isinstance(spec.name, str) and spec.name.startswith("state."):
            at = (HANDED_OUT, 0, 0)
            yield Use(number, 0, spec.width, None, at, at, False)
    for lowered in (native.nodes, native.boundary)[: 1 + has_boundary]:
        is_of_nodes = lowered is native.nodes
        for is_reverse in (False, True):
            codes = lowered.reverse if is_reverse else lowered.forward
            for sort, (instructions, operations) in enumerate(codes):
                reader = _Reader(native, sort if is_of_nodes else None, is_reverse)
                for number, instruction in enumerate(instructions):
                    yield from reader.of(number, instruction, operations)
        for job in lowered.weight_jobs:
            at = (SUMMED_UP, 0, 0)
            for buffer, column, width in ((job.a, job.a_column, job.k), (job.g, job.g_column, job.n)):
                sort = job.program if is_of_nodes else None
                yield Use(buffer, column, column + width, sort, at, at, False)
    for sort, (instructions, _) in enumerate(native.late):
        at = (LATE, 0, 0)
        for one in instructions:
            column = int(one["a_column"])
            width = native.weights.blocks[one["weight"]][4]
            yield Use(int(one["a"]), column, column + width, sort, at, at, False)


class _Reader:
    """What one program does to buffers; `sort` None: it is for other rows than those of nodes."""

    def __init__(self, native: NativeProgram, sort: int | None, is_reverse: bool) -> None:
        self.specs, self.indices, self.blocks = (
            native.buffers.specs,
            native.indices.names,
            native.weights.blocks,
        )
        self.sort, self.is_reverse = sort, is_reverse
        self.own = OWN_REVERSE if is_reverse else OWN_FORWARD

    def of(self, number: int, instruction: np.void, operations: np.ndarray) -> Iterator[Use]:
        rows = int(instruction["rows"])
        if instruction["kind"] == PRODUCT:
            *_, k, n = self.blocks[instruction["weight"]]
            for name, columns, writes in (("a", k, False), ("i", n, False), ("c", n, True)):
                buffer, column = int(instruction[name]), int(instruction[f"{name}_column"])
                if buffer >= 0:
                    yield from self._use(buffer, column, column + columns, rows, 0, number, None, writes)
            return
        for place in range(int(instruction["first"]), int(instruction["last"])):
            yield from self._operation(number, rows, int(instruction["width"]), place, operations[place])

    def _operation(self, number: int, rows: int, width: int, place: int, operation: np.void) -> Iterator[Use]:
        op, k = Op(operation["op"]), int(operation["k"])
        is_even = op not in _REPEATS and op not in _REDUCES
        for name in "abcd":
            buffer, column, index, split = operation[name].tolist()
            if buffer == NO_OPERAND or buffer < 0:
                continue
            is_narrow = (name == "a" and op in _REPEATS) or (name == "d" and op in _REDUCES)
            columns = (width // k if is_narrow else width) * (split if index and split else 1)
            at = 2 * place + (name == "d") if is_even else None
            writes = name == "d" and op not in _ACCUMULATES
            yield from self._use(buffer, column, column + columns, rows, index, number, at, writes)

    def _use(
        self,
        buffer: int,
        low: int,
        high: int,
        rows: int,
        index: int,
        number: int,
        at: int | None,
        writes: bool,
    ) -> Iterator[Use]:
        spec = self.specs[buffer]
        if spec.place != GLOBAL or spec.rows is None:
            return
        name = self.indices[index]
        is_of_target = name.startswith("out") and name != "out node"
        if self.sort is not None and not index and rows == (IN_EDGES if spec.rows == EDGE else NODES):
            begins = (self.own, number, -1 if at is None else at)
            ends = (self.own, number, _WHOLE if at is None else at)
            yield Use(buffer, low, high, self.sort, begins, ends, writes)
        elif self.sort is not None and (name == "out node" or name.startswith("target")):
            yield Use(buffer, low, high, self.sort, (self.own, number, -1), (self.own, number, _WHOLE), False)
        elif not writes and (name == "source" or (is_of_target and self.is_reverse)):
            before = OTHERS_BEFORE if self.is_reverse else OTHERS_FORWARD
            phase = (OTHERS_AFTER if is_of_target else before, 0, 0)
            yield Use(buffer, low, high, None, phase, phase, False)
        else:  # rows of its own that are not a node's
            yield Use(buffer, low, high, None, _FIRST, _LAST, False)

"""A run as plain numpy arrays, and how it is handed to the library."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import numpy as np

from graphrec import cprogram as cp
from graphrec.cprogram import GLOBAL, IN_EDGES, NODES, NONE, SUM, Op


@dataclass
class Buffer:
    """`numbers`: `[rounds, rows, stride]`, rounds or rows being 1 where all share one; `[width]` of a sum.

    A tile's buffer has none. A buffer may be another one (`later`) as it is a round later.
    """

    place: int
    width: int
    numbers: np.ndarray | None = None
    later: int | None = None


@dataclass
class Structure:
    """Rows, edges and stretches. `edges`: `[2, E]` of source and target, sorted by target."""

    rows: int
    edges: np.ndarray
    first: list[int]
    last: list[int]
    program: list[int]
    level: list[int]
    part: list[int]
    rounds: int = 1
    stage: list[int] | None = None  # of each part; None: all are of one

    def __post_init__(self):
        count = self.edges.shape[1]
        self.stage = [0] * (len(self.part) - 1) if self.stage is None else self.stage
        self.by_source = np.argsort(self.edges[0], kind="stable")
        self.in_first = np.searchsorted(self.edges[1], np.arange(self.rows + 1)).astype(np.int64)
        self.out_first = np.searchsorted(self.edges[0][self.by_source], np.arange(self.rows + 1)).astype(
            np.int64
        )
        self.num_edges = count

    def first_of(self, kind: int) -> np.ndarray:
        return {NODES: np.arange(self.rows + 1), IN_EDGES: self.in_first}.get(kind, self.out_first)


@dataclass
class Case:
    """All that a call is given. Operands are tuples `(buffer, column, index, split)`."""

    dtype: type
    structure: Structure
    indices: list[np.ndarray | None] = field(default_factory=lambda: [None])
    buffers: list[Buffer] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    programs: list[tuple[list[tuple], list[tuple]]] = field(default_factory=list)  # instructions, operations
    gradients: list[tuple] = field(default_factory=list)  # rows, program, a, a_column, m, b, b_column, n, C

    def add(self, place: int, width: int, numbers: np.ndarray | None = None) -> int:
        if numbers is not None:
            numbers = np.ascontiguousarray(numbers, self.dtype)
        self.buffers.append(Buffer(place, width, numbers))
        return len(self.buffers) - 1

    def a_round_later(self, buffer: int) -> int:
        of = self.buffers[buffer]
        self.buffers.append(Buffer(GLOBAL, of.width, of.numbers, buffer))
        return len(self.buffers) - 1

    def index(self, numbers: np.ndarray) -> int:
        self.indices.append(np.ascontiguousarray(numbers, np.int32))
        return len(self.indices) - 1


def copies(buffers: list[Buffer]) -> list[np.ndarray | None]:
    """Of the numbers of all buffers, buffers of the same numbers being views of one copy."""
    found: list[np.ndarray | None] = []
    for b in buffers:
        found.append(
            None if b.numbers is None else b.numbers.copy() if b.later is None else found[b.later][1:]
        )
    return found


def micro(op: Op, d=NONE, a=NONE, b=NONE, c=NONE, k: int = 0, imm: float = 0.0) -> tuple:
    return (int(op), k, imm, tuple(d), tuple(a), tuple(b), tuple(c))


def chain(rows: int, width: int, first: int, last: int) -> tuple:
    return (cp.CHAIN, rows, width, first, last, 0, 0, 0, 0, 0, 0, 0)


def product(
    rows: int, a: int, a_column: int, weight: int, c: int, c_column: int, i: int = -1, i_column: int = 0
) -> tuple:
    return (cp.PRODUCT, rows, 0, 0, 0, a, a_column, weight, c, c_column, i, i_column)


def outer(rows: int, a: int, a_column: int, i: int, i_column: int, width: int, total: int) -> tuple:
    return (cp.OUTER, rows, width, 0, 0, a, a_column, 0, total, 0, i, i_column)


def register(number: int) -> tuple:
    return (-1 - number, 0, 0, 0)


def row_by_row(case: Case) -> list[int]:
    """The buffers with a row for each node, which only the node itself reads and writes."""
    found = {
        number
        for number, b in enumerate(case.buffers)
        if b.place == GLOBAL and b.later is None and b.numbers.shape[1] == case.structure.rows > 1
    }
    found -= {b.later for b in case.buffers}
    for instructions, operations in case.programs:
        for kind, rows, _, first, last, a, _, _, c, _, i, *_ in instructions:
            if kind != cp.CHAIN and rows != NODES:
                found -= {a, c, i}
            for _, _, _, *operands in operations[first:last] if kind == cp.CHAIN else ():
                found -= {buffer for buffer, _, index, _ in operands if index or rows != NODES}
    for rows, _, a, _, _, b, *_ in case.gradients:
        if rows != NODES:
            found -= {a, b}
    return sorted(found)


class Call:
    """A case as the library takes it: structs, on copies of the numbers, which stay alive with this object.

    Args:
        case: what is called.
        shuffled: lay out the rows of what is read row by row in an order of its own, as if it were the caller's.
    """

    def __init__(self, case: Case, shuffled: bool = False):
        self.case = case
        self.numbers_are = cp.DOUBLES if case.dtype == np.float64 else cp.FLOATS
        self.numbers = copies(case.buffers)
        self.totals = [g[-1].copy() for g in case.gradients]
        self.kept = []
        self.structure = self._structure(case.structure, case.indices)
        self.buffers = np.zeros(len(case.buffers), cp.BUFFER)
        for row, b, numbers in zip(self.buffers, case.buffers, self.numbers, strict=True):
            row["place"], row["width"] = b.place, b.width
            if numbers is not None:
                row["base"] = numbers.ctypes.data
            if b.place == GLOBAL:
                rounds, rows, stride = numbers.shape
                row["stride"] = stride if rows > 1 else 0
                row["round"] = rows * stride if rounds > 1 or b.later is not None else 0
        self.order = np.random.default_rng(0).permutation(case.structure.rows).astype(np.int32)
        self.shuffled = row_by_row(case) if shuffled else []
        for number in self.shuffled:
            self.numbers[number][:, self.order] = self.numbers[number].copy()
            self.buffers[number]["order"] = self.order.ctypes.data
        self.rows = np.array([b.numbers.shape[1] if b.place == GLOBAL else 0 for b in case.buffers], np.int64)
        self.weights = np.zeros(len(case.weights), cp.WEIGHT)
        for row, w in zip(self.weights, case.weights, strict=True):
            assert w.dtype == case.dtype
            row["w"], row["k"], row["n"] = w.ctypes.data, w.shape[0], w.shape[1]
            row["row"], row["column"] = (s // w.itemsize for s in w.strides)
        self.programs = np.zeros(len(case.programs), cp.PROGRAM)
        for row, (instructions, operations) in zip(self.programs, case.programs, strict=True):
            row["instructions"] = self._keep(np.array(instructions, cp.INSTRUCTION))
            row["operations"] = self._keep(np.array(operations, cp.MICRO_OP))
            row["count"] = len(instructions)
        self.gradients = np.zeros(len(case.gradients), cp.WEIGHT_GRADIENT)
        for row, g, total in zip(self.gradients, case.gradients, self.totals, strict=True):
            for name, value in zip(
                ("rows", "program", "a", "a_column", "m", "b", "b_column", "n"), g[:-1], strict=True
            ):
                row[name] = value
            row["c"], row["c_stride"] = total.ctypes.data, total.shape[1]

    def _keep(self, array: np.ndarray) -> int:
        self.kept.append(array)
        return array.ctypes.data

    def _structure(self, s: Structure, indices: list) -> cp.Structure:
        pointers = (ctypes.c_void_p * len(indices))(*[None if i is None else i.ctypes.data for i in indices])
        self.kept.append(pointers)
        int64 = {
            n: self._keep(np.array(getattr(s, n), np.int64))
            for n in ("part", "first", "last", "in_first", "out_first")
        }
        int32 = {n: self._keep(np.array(getattr(s, n), np.int32)) for n in ("stage", "level", "program")}
        return cp.Structure(
            rows=s.rows, in_edges=s.num_edges, out_edges=s.num_edges, rounds=s.rounds,
            parts=len(s.part) - 1, stretches=len(s.first), indices=ctypes.addressof(pointers), num_indices=len(indices),
            **int64, **int32,
        )  # fmt: skip

    def _arrays(self, *names: str) -> list:
        return [x for name in names for x in (getattr(self, name).ctypes.data, len(getattr(self, name)))]

    def check(self, library: ctypes.CDLL) -> str:
        """What is wrong, or nothing."""
        message = ctypes.create_string_buffer(400)
        status = library.graphrec_check(
            self.structure, *self._arrays("buffers", "weights", "programs"), self.rows.ctypes.data,
            *self._arrays("gradients"), message, len(message),
        )  # fmt: skip
        assert (status == 0) == (message.value == b"")
        return message.value.decode()

    def sweep(self, library: ctypes.CDLL, reverse: bool = False, threads: int = 1) -> int:
        return library.graphrec_sweep(
            self.numbers_are,
            self.structure,
            *self._arrays("buffers", "weights", "programs"),
            int(reverse),
            threads,
        )

    def weight_gradients(self, library: ctypes.CDLL, threads: int = 1) -> int:
        return library.graphrec_weight_gradients(
            self.numbers_are, self.structure, *self._arrays("buffers", "gradients"), threads
        )

    def results(self) -> list[np.ndarray]:
        """What the call may have changed, `width` columns of it."""
        found = [
            (n[:, self.order] if number in self.shuffled else n)[..., : b.width]
            for number, (b, n) in enumerate(zip(self.case.buffers, self.numbers, strict=True))
            if b.place in (GLOBAL, SUM)
        ]
        return found + self.totals

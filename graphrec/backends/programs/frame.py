"""The memory of a native run: what each buffer is, for a program on a layout; found out once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...cprogram import BUFFER, GLOBAL, PRODUCT, PROGRAM, SUM, WEIGHT, WEIGHT_GRADIENT
from ...program.compile import CellProgram
from ...program.symbols import EDGE, NODE
from .buffers import Spec
from .lifetimes import places
from .lower import Lowered, NativeProgram
from .native_layout import OF_CALLER, Layout, StructOf
from .order import Order

# What the structure says, as numbers in a column.
OF_STRUCTURE = ("degree", "slot", "relation", "is_loop")
# Memory that exists once for each round, and once before the first.
_SLOTTED = ("state.", "sent.", "pushed.", "back.", "edge.")


class Area(NamedTuple):
    """A part of a workspace: rows of a width, for each round.

    Attributes:
        offset: in numbers.
        rows, width: of one round.
        slots: how many rounds.
        stride: from row to row; more than the width where others have the columns beside it.
    """

    offset: int
    rows: int
    width: int
    slots: int
    stride: int


class Workspace:
    """Areas one behind the other, of numbers of one type."""

    def __init__(self) -> None:
        self.areas: dict[Any, Area] = {}
        self.size: int = 0
        self.zero: list[tuple[int, int]] = []  # what must be zero in the beginning: from and to

    def area(self, name: Any, rows: int, width: int, slots: int = 1) -> Area:
        """The area of this name."""
        if name not in self.areas:
            self.areas[name] = Area(self.size, rows, width, slots, width)
            self.size += -(-rows * width * slots // 16) * 16
        return self.areas[name]

    def part(self, name: Any, of: Area, column: int, width: int) -> Area:
        """Some columns of an area, under a name of their own."""
        self.areas[name] = Area(of.offset + column, of.rows, width, of.slots, of.stride)
        return self.areas[name]

    def clear(self, area: Area, slot: int) -> None:
        """Let the rows of one round be zero in the beginning."""
        first = area.offset + slot * area.rows * area.width
        self.zero.append((first, first + area.rows * area.width))


class Code:
    """The programs of some rows as the executor takes them."""

    address: int
    count: int

    def __init__(self, codes: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self.codes = codes
        self.table: Any = np.zeros(len(codes), PROGRAM)
        for number, (instructions, operations) in enumerate(codes):
            self.table[number] = (instructions.ctypes.data, operations.ctypes.data, len(instructions))
        self.address, self.count = self.table.ctypes.data, len(codes)


class Table(NamedTuple):
    """The buffers of one sweep.

    Attributes:
        rows: as the executor takes them; addresses are offsets in a memory, or nothing.
        memory: in which of them each lies: `ELSEWHERE`, in the workspace of `FORWARD` or `REVERSE` or that of the
            `RESULT`, among the `SUMS`.
        given: those whose address a run fills in: their number and name.
    """

    rows: np.ndarray
    memory: np.ndarray
    given: list[tuple[int, Any]]


ELSEWHERE, FORWARD, REVERSE, SUMS, RESULT = range(5)


class Frame:
    """A program on a layout.

    Attributes:
        order: of the layout.
        forward, reverse: the workspaces of the two directions; the first one lives until the second one is done.
        result: a workspace of the first one's life, which is the gradient of x in the end.
        of_caller: the names of the states that are written where the caller is given them, in the caller's order.
        constants: numbers of the structure.
        sums: where the sum of each gradient begins, and how many numbers it is.
        is_one_round: whether there is one round: what it begins with, and the gradient of what it gives, are then read
            where the caller has them (`begin.*` and `back.state.*`); rounds read both as they read each other's.
        sizes: how many numbers the sums of each sweep are.
        outer: of each sweep, where the gradients of weights that it has summed up are among the sums, their shape, and
            where they belong among all gradients: the stride and the first number.
        weights: of each sweep, from the beginnings of the captured tensors; those that it does not read are empty.
        ordered: the names of what programs read and write in the caller's order.
    """

    native: NativeProgram
    layout: Layout
    constants: dict[str, Tensor]
    item: int
    forward: Workspace
    reverse: Workspace
    result: Workspace

    def __init__(
        self,
        native: NativeProgram,
        layout: Layout,
        numbers: dict[str, Tensor],
        item: int,
        handed_out: tuple[str, ...],
    ) -> None:
        self.native, self.layout, self.constants, self.item = native, layout, numbers, item
        self.order: Order = layout.order
        self.program: CellProgram = native.program
        self.forward, self.reverse, self.result = Workspace(), Workspace(), Workspace()
        self.rounds: int = layout.rounds if self.program.is_sync else 1
        self.is_one_round: bool = self.program.is_sync and self.rounds == 1
        self.sums: dict[Any, tuple[int, int]] = {}
        self.lowered: dict[str, Lowered] = {"nodes": native.nodes, "boundary": native.boundary}
        if native.project is not None:
            self.lowered["project"] = native.project
        self._order = None if self.order.nodes is None else self.order.nodes.to(torch.int32).contiguous()
        self.of_caller: frozenset[str] = self._find_of_caller(handed_out)
        self.shared: dict[Any, tuple[Workspace, Area]] = {}
        if not self.program.is_sync:
            self._share()
        self.ordered: set[Any] = set()
        if self._order is not None:
            specs = native.buffers.specs
            self.ordered = {specs[n].name for n in native.row_by_row if _is_of_caller(specs[n])}
            self.ordered |= self.of_caller
        self.sizes: dict[str, int] = {key: self._place_sums(lowered) for key, lowered in self.lowered.items()}
        self.tables: dict[str, Table] = {key: self._table(key) for key in self.lowered}
        self._names = list(native.indices.names)  # of indices
        self.codes: dict[tuple[str, bool], Code] = {
            (key, reverse): self._code(lowered.reverse if reverse else lowered.forward)
            for key, lowered in self.lowered.items()
            for reverse in (False, True)
        }
        self.structs: dict[str, StructOf] = {
            key: layout.structure(key, lowered.sorts, self._names) for key, lowered in self.lowered.items()
        }
        if native.late:
            self.codes["late", True], self.tables["late"] = self._code(native.late), self.tables["nodes"]
            self.structs["late"] = layout.structure("late", native.nodes.sorts, self._names)
        self._place_gradients()
        blocks = native.weights.blocks
        self.captured_of_weight: Any = np.array([block[0] for block in blocks], np.int64)
        weights = np.zeros(len(blocks), WEIGHT)
        for number, (_, offset, down, across, k, n) in enumerate(blocks):
            weights[number] = (offset * item, down, across, k, n)
        self.weights: dict[tuple[str, bool], np.ndarray] = {}
        for key, code in self.codes.items():
            self.weights[key] = weights.copy()
            for count in ("k", "n"):  # (so that it is not packed)
                self.weights[key][count][_not_read(code, len(blocks))] = 0

    def _find_of_caller(self, handed_out: tuple[str, ...]) -> frozenset[str]:
        """(Rows whose state is given, and those of other rounds, would come along.)"""
        native = self.native
        numbers = {name: native.buffers.find(name) for name in (f"state.{field}" for field in handed_out)}
        return frozenset(
            name
            for name, number in numbers.items()
            if not (self.program.is_sync or self.layout.num_boundary)
            and (self._order is None or number in native.node_by_node)
        )

    def _code(self, codes: list[tuple[np.ndarray, np.ndarray]]) -> Code:
        """With the indices by which memory is read that is in the caller's order."""
        specs = self.native.buffers.specs
        if self._order is None or not self.of_caller:
            return Code(codes)
        numbers = [number for number, spec in enumerate(specs) if spec.name in self.of_caller]
        made = []
        for instructions, operations in codes:
            operations = operations.copy()
            for name in "abcd":
                operands = operations[name]
                for at in (np.isin(operands["buffer"], numbers) & (operands["index"] != 0)).nonzero()[0]:
                    of_caller = self.native.indices.names[operands["index"][at]] + OF_CALLER
                    if of_caller not in self._names:
                        self._names.append(of_caller)
                    operands["index"][at] = self._names.index(of_caller)
            made.append((instructions, operations))
        return Code(made)

    def _share(self) -> None:
        """Give memory that is not in use at the same time one place."""
        native, layout = self.native, self.layout
        key = layout.num_boundary > 0, self.of_caller
        if key not in native.places:
            native.places[key] = places(native, *key)
        found, spaces = native.places[key], []
        for number, plane in enumerate(found.planes):
            space = self.forward if plane.is_forward else self.reverse
            space = self.result if number == found.result else space
            spaces.append((space, space.area(("plane", number), self.rows(plane.rows), plane.width)))
        for number, (plane, column) in found.of.items():
            spec, (space, area) = native.buffers.specs[number], spaces[plane]
            self.shared[spec.name] = space, space.part(spec.name, area, column, spec.width)

    def _place_sums(self, lowered: Lowered) -> int:
        size = 0
        for job in lowered.sum_jobs:
            self.sums[job.name] = (size, len(job.columns))
            size += len(job.columns)
        for outer in lowered.outer_jobs:
            self.sums[outer.name] = (size, outer.rows * outer.columns)
            size += outer.rows * outer.columns
        return size

    def _place_gradients(self) -> None:
        """The gradients of all captured tensors lie one behind the other."""
        captured, wanted = self.program.boundary.b.captured, self.program.wanted.captured
        self.gradient_size: int = 0
        self.gradients: dict[int, tuple[int, int]] = {}
        for number, value in enumerate(captured):
            if wanted[number]:
                self.gradients[number] = (self.gradient_size, value.width)
                self.gradient_size += value.width
        self.weight_jobs: dict[str, np.ndarray] = {}
        self.sum_index: dict[str, Tensor] = {}
        self.outer: dict[str, list[tuple[int, tuple[int, int], int, int]]] = {}
        for key, lowered in self.lowered.items():
            jobs = np.zeros(len(lowered.weight_jobs), WEIGHT_GRADIENT)
            for number, job in enumerate(lowered.weight_jobs):
                base = (self.gradients[job.captured][0] + job.offset) * self.item
                a, g = (job.a, job.a_column, job.k), (job.g, job.g_column, job.n)
                if job.down == 1:  # torch keeps weights as [N, K]
                    jobs[number] = (job.rows, job.program, *g, *a, base, job.across)
                else:
                    jobs[number] = (job.rows, job.program, *a, *g, base, job.down)
            self.weight_jobs[key] = jobs
            self.outer[key] = [
                (
                    self.sums[job.name][0],
                    (job.rows, job.columns),
                    job.stride,
                    self.gradients[job.captured][0] + job.offset,
                )
                for job in lowered.outer_jobs
            ]
            index = [self.gradients[job.captured][0] + job.columns for job in lowered.sum_jobs]
            self.sum_index[key] = torch.from_numpy(np.concatenate(index) if index else np.zeros(0, np.int64))

    def rows(self, kind: str | None) -> int:
        """How many rows of a kind there are."""
        return self.layout.num_edges if kind == EDGE else self.layout.num_nodes

    def _table(self, key: str) -> Table:
        specs, item = self.native.buffers.specs, self.item
        rows = np.zeros(len(specs), BUFFER)
        memory = np.full(len(specs), ELSEWHERE)
        given: list[tuple[int, Any]] = []
        mine = {job.name for job in (*self.lowered[key].sum_jobs, *self.lowered[key].outer_jobs)}
        for number, spec in enumerate(specs):
            row = rows[number]
            row["stride"] = spec.width if spec.rows is not None else 0
            row["place"], row["width"] = spec.place, spec.width
            if spec.place == SUM:
                if spec.name not in mine:  # (nobody adds to it)
                    row["width"] = 0
                    continue
                memory[number] = SUMS
                row["base"] = self.sums[spec.name][0] * item
            elif spec.place == GLOBAL:
                found = self._lies(key, spec)
                if spec.name in self.ordered and self._order is not None:
                    row["order"] = self._order.data_ptr()
                if found is None:
                    given.append((number, self._begin(key, spec.name) or spec.name))
                    continue
                space, area, shift, is_per_round = found
                row["stride"] = area.stride
                row["base"] = (area.offset + shift * area.stride) * item
                row["round"] = area.rows * area.width if is_per_round and key == "nodes" else 0
                memory[number] = {id(self.reverse): REVERSE, id(self.result): RESULT}.get(id(space), FORWARD)
        return Table(rows, memory, given)

    def _lies(self, key: str, spec: Spec) -> tuple[Workspace, Area, int, bool] | None:
        """In which area a buffer lies, behind how many rows, and whether each round has its own; None: elsewhere."""
        name, is_sync, layout = spec.name, self.program.is_sync, self.layout
        if (isinstance(name, tuple) and name[0] == "captured") or name in self.of_caller:
            return None
        if name in self.shared:
            return *self.shared[name], 0, False
        if isinstance(name, tuple) and name[0] in ("keep", "beside", "next"):
            own = name[1:] if name[0] == "next" else name
            of_round = is_sync and own[1] not in ("project", "boundary")
            area = self._kept(own, spec, of_round)
            shift = area.rows if name[0] == "next" and key != "boundary" else 0
            return self.forward, area, shift, of_round
        is_before = isinstance(name, tuple)
        plain = name[1] if is_before else name
        if plain in OF_STRUCTURE or plain.startswith(
            ("x", "own.", "first.", "edge_attr", "edge_weight", "grad.", "d.")
        ):
            return None
        is_end = self.is_one_round and key == "nodes" and plain is name and plain.startswith("back.state.")
        if self._begin(key, name) or is_end:
            return None
        if plain == "projected":
            return self.forward, self.forward.area(plain, layout.num_nodes, spec.width), 0, False
        space = self.reverse if plain.startswith(("back.", "edge.")) else self.forward
        assert plain.startswith(_SLOTTED)
        if is_sync:
            is_new = plain not in space.areas
            area = space.area(plain, self.rows(spec.rows), spec.width, self.rounds + (not self.is_one_round))
            is_from_caller = plain.startswith("back.state.")
            if is_new and space is self.reverse and not self.is_one_round and not is_from_caller:
                space.clear(area, self.rounds)  # nothing comes back from beyond the last round
            is_first = is_before or key == "boundary" or self.is_one_round
            return space, area, 0 if is_first else area.rows, True
        if plain.startswith("edge."):
            return space, space.area(plain, self.rows(spec.rows), spec.width), 0, False
        area = space.area(plain, layout.num_boundary + layout.num_nodes, spec.width)
        return space, area, 0 if key == "boundary" else layout.num_boundary, False

    def _begin(self, key: str, name: Any) -> str | None:
        """What the only round begins with, by the name under which a run provides it, if that is what a buffer is."""
        is_before = isinstance(name, tuple) and name[0] == "before"
        plain: Any = name[1] if is_before else name
        is_begin = self.is_one_round and (is_before or key == "boundary") and isinstance(plain, str)
        return f"begin.{plain}" if is_begin and plain.startswith(("state.", "first.")) else None

    def _kept(self, name: Any, spec: Spec, of_round: bool) -> Area:
        space = self.forward
        is_new = name not in space.areas
        is_read_next = self.native.buffers.find(("next", *name)) is not None
        rows = self.layout.num_boundary if name[1] == "boundary" else self.rows(spec.rows)
        slots = (self.rounds if of_round else 1) + is_read_next
        area = space.area(name, rows, spec.width, slots)
        if is_new and is_read_next:
            space.clear(area, slots - 1)
        return area

    def view(self, numbers: Tensor, space: Workspace, name: str) -> Tensor:
        """`[slots * rows, width]`: the rows of an area of a workspace, all of whose numbers are given."""
        area = space.areas[name]
        return numbers.as_strided((area.slots * area.rows, area.width), (area.stride, 1), area.offset)


def _not_read(code: Code, count: int) -> np.ndarray:
    read = np.zeros(count, bool)
    for instructions, _ in code.codes:
        read[instructions["weight"][instructions["kind"] == PRODUCT]] = True
    return ~read


def _is_of_caller(spec: Spec) -> bool:
    name = spec.name
    return spec.rows == NODE and isinstance(name, str) and (name in ("x", "d.x") or name.startswith("grad."))

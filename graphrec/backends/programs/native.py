"""The native executor: programs in C++ over a schedule, called twice a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...clib import library
from ...cprogram import BUFFER, GLOBAL, PROGRAM, SUM, WEIGHT, WEIGHT_GRADIENT, declare
from ...program.symbols import EDGE
from ...schedule import Schedule, is_loop
from .lower import Lowered, NativeProgram
from .native_layout import Layout, StructOf

# Memory of a reverse sweep alone.
_OF_REVERSE = ("d.", "grad.", "back.", "edge.")
_ERRORS = {1: "out of memory", 2: "a program that is not right", 3: "threads could not be started"}


class Library:
    """The library's functions, with their types declared."""

    _loaded: Any = None

    @classmethod
    def get(cls) -> Any:
        """The library; it is there, where this is called."""
        if cls._loaded is None:
            cls._loaded = declare(library())
        return cls._loaded


class NativeExecution:
    """One run of a program; its memory lives as long as it does.

    Args:
        native: the programs.
        plan, layout: the schedule, and its layout.
        inputs: x, the initial state, edges' features by name, two-dimensional, by the schedule's positions and edges.
        captured: the captured tensors, flat.
        threads: how many at most.
    """

    def __init__(
        self,
        native: NativeProgram,
        plan: Schedule,
        layout: Layout,
        inputs: dict[str, Tensor],
        captured: list[Tensor],
        threads: int,
    ) -> None:
        self.native, self.plan, self.layout, self.captured, self.threads = (
            native,
            plan,
            layout,
            captured,
            threads,
        )
        self.program = native.program
        self.like = inputs["x"]
        self.memory: dict[Any, Tensor] = {}
        for name, rows in inputs.items():
            if not name.startswith("boundary."):
                self.memory[name] = self._ordered(rows, name in self.program.edge_rows).contiguous()
        self._allocate_buffers()

    def _ordered(self, rows: Tensor, of_edges: bool) -> Tensor:
        layout = self.layout
        order = layout.edge if of_edges else layout.perm
        return rows if order is None else rows.index_select(0, order)

    # -------------------------------------------------------------------------------------------- memory

    def _allocate_buffers(self) -> None:
        specs = self.native.buffers.specs
        self.table = np.zeros(len(specs), BUFFER)
        # Where the sums of programs go that are not run.
        self._unread = self.like.new_empty(
            max((spec.width for spec in specs if spec.place == SUM), default=0)
        )
        for number, spec in enumerate(specs):
            self.table[number]["stride"] = spec.width if spec.rows is not None else 0
            self.table[number]["place"], self.table[number]["width"] = spec.place, spec.width
            if self.program.is_sync and spec.place == GLOBAL and self._is_per_round(spec.name):
                self.table[number]["round"] = spec.width * self._rows(spec.rows)

    def _is_per_round(self, name: Any) -> bool:
        if isinstance(name, tuple):
            return name[0] in ("keep", "beside", "before", "next") and name[1] not in ("project", "boundary")
        return name.startswith(("state.", "sent.", "pushed.", "back.", "edge."))

    def _rows(self, rows: str | None) -> int:
        return self.layout.num_edges if rows == EDGE else self.layout.num_nodes

    def _slots(self, name: str) -> int:
        """How many rows precede the first node's in memory that others read, and how many times it is there."""
        return self.layout.rounds + 1 if self.program.is_sync else 1

    def _memory_of(self, name: str, zero: bool = False) -> Tensor:
        """Memory by name: in rounds one for each, and one before; else with the boundary rows before the nodes."""
        if name not in self.memory:
            spec = self.native.buffers.specs[self._number(name)]
            new = self.like.new_zeros if zero else self.like.new_empty
            if self.program.is_sync:
                self.memory[name] = new(self._slots(name) * self._rows(spec.rows), spec.width)
            elif spec.rows == EDGE or name.startswith(("grad.", "d.", "edge.")):
                self.memory[name] = new(self._rows(spec.rows), spec.width)
            else:
                self.memory[name] = new(self.layout.num_boundary + self.layout.num_nodes, spec.width)
        return self.memory[name]

    def _number(self, name: str) -> int:
        buffers = self.native.buffers
        number = buffers.find(name)
        return buffers.find(("before", name)) if number is None else number

    def _fill_in(self, for_boundary: bool, results: dict[Any, Tensor], is_reverse: bool) -> np.ndarray:
        """The buffers, with addresses: those of the nodes, or of the boundary rows (of the round before the first)."""
        table, layout, is_sync = self.table.copy(), self.layout, self.program.is_sync
        size = self.like.element_size()
        for number, spec in enumerate(self.native.buffers.specs):
            name = spec.name
            if spec.place == SUM:
                table[number]["base"] = results.get(name, self._unread).data_ptr()
                continue
            if spec.place != GLOBAL:
                continue
            if isinstance(name, tuple) and name[0] == "captured":
                table[number]["base"] = self.captured[name[1]].data_ptr()
                continue
            if isinstance(name, tuple) and name[0] in ("keep", "beside"):
                table[number]["base"] = self._kept(name, spec).data_ptr()
                continue
            if isinstance(name, tuple) and name[0] == "next":
                offset = 0 if for_boundary else self._rows(spec.rows) * spec.width * size
                table[number]["base"] = self._kept(name[1:], spec).data_ptr() + offset
                continue
            before = isinstance(name, tuple)
            plain = name[1] if before else name
            if plain in ("degree", "slot", "relation", "is_loop"):
                table[number]["base"] = self._of_structure(plain).data_ptr()
                continue
            if not is_reverse and plain.startswith(("grad.", "back.", "edge.", "d.")):
                continue
            if plain.startswith("d.initial.") != for_boundary and plain.startswith("d.initial."):
                continue
            base = self._base_memory(plain)
            offset = 0
            if plain.startswith(
                ("state.", "first.", "sent.", "pushed.", "back.", "edge.")
            ) or plain.startswith("edge."):
                rows = self._rows(spec.rows)
                if is_sync and not before and not for_boundary and not plain.startswith("first."):
                    offset = rows
                elif not is_sync and not for_boundary and not plain.startswith("edge."):
                    offset = layout.num_boundary
            table[number]["base"] = base.data_ptr() + offset * spec.width * size
        return table

    def _base_memory(self, name: str) -> Tensor:
        if name in self.memory:
            return self.memory[name]
        zero = name.startswith(("back.", "edge.", "d.edge_attr", "d.edge_weight", "d.projected"))
        if name == "projected" or name.startswith(("d.", "grad.")):
            spec = self.native.buffers.specs[self._number(name)]
            rows = layout_rows = self._rows(spec.rows)
            if name.startswith("d.initial."):
                rows = self.layout.num_boundary
            new = self.like.new_zeros if zero or rows != layout_rows else self.like.new_empty
            self.memory[name] = new(rows, spec.width)
            return self.memory[name]
        return self._memory_of(name, zero)

    def _kept(self, name: Any, spec: Any) -> Tensor:
        if name not in self.memory:
            slots = self.layout.rounds if self.program.is_sync and self._is_per_round(name) else 1
            rows = self.layout.num_boundary if name[1] == "boundary" else self._rows(spec.rows)
            is_read_next = self.native.buffers.find(("next", *name)) is not None
            self.memory[name] = self.like.new_empty((slots + is_read_next) * rows, spec.width)
            if is_read_next:  # from beyond the last round nothing comes back
                self.memory[name][slots * rows :] = 0
        return self.memory[name]

    def _of_structure(self, name: str) -> Tensor:
        if name not in self.memory:
            layout, plan = self.layout, self.plan
            if name == "degree":
                numbers = layout.in_first.diff()
            else:
                numbers = is_loop(plan) if name == "is_loop" else getattr(plan, name)
                numbers = numbers if layout.edge is None else numbers[layout.edge]
            self.memory[name] = numbers.to(self.like.dtype)
        return self.memory[name]

    # -------------------------------------------------------------------------------------------- runs

    def forward(self, initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory `state.*` of all nodes, by the schedule's positions."""
        program, layout = self.program, self.layout
        for name, rows in initial.items():
            if self.native.buffers.find(name) is None and self.native.buffers.find(("before", name)) is None:
                continue
            memory = self._memory_of(name)
            if program.is_sync and name.startswith("first."):
                self.memory[name] = memory = rows.contiguous()
            else:
                memory[: len(rows)] = rows
        for name in program.widths:
            if name.startswith("state."):
                self._memory_of(name)
        if self.native.project is not None:
            self._sweep(self.native.project, "project", False)
        self._sweep(self.native.boundary, "boundary", False)
        self._sweep(self.native.nodes, "nodes", False)
        found = {}
        for name in program.widths:
            if name.startswith("state."):
                rows = self.memory[name][-layout.num_nodes :] if layout.num_nodes else self.memory[name][:0]
                found[name] = rows if layout.inv_perm is None else rows.index_select(0, layout.inv_perm)
        return found

    def backward(self, grads: dict[str, Tensor], initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory `d.*`, and the gradients of captured tensors, `captured.0`, …, from those of the state."""
        program, layout = self.program, self.layout
        for name in [name for name in self.memory if isinstance(name, str) and name.startswith(_OF_REVERSE)]:
            del self.memory[name]  # of another backward pass
        for name, rows in grads.items():
            rows = self._ordered(rows, False)
            if program.is_sync:
                if self.native.buffers.find(f"back.{name}") is not None:
                    self._memory_of(f"back.{name}", zero=True)[-layout.num_nodes :] = rows
            else:
                self.memory[f"grad.{name}"] = rows.contiguous()
        gradients: dict[int, Tensor] = {}
        self._undo(self.native.nodes, "nodes", gradients)
        self._undo(self.native.boundary, "boundary", gradients)
        if self.native.project is not None:
            self._undo(self.native.project, "project", gradients)
        found = {}
        for name, rows in self.memory.items():
            if isinstance(name, str) and name.startswith("d."):
                of_edges = name in program.edge_rows
                back = None if name.startswith("d.initial.") else self._order_back(of_edges)
                found[name] = rows if back is None else rows.index_select(0, back)
        for number, flat in gradients.items():
            found[f"captured.{number}"] = flat
        return found

    def _order_back(self, of_edges: bool) -> Tensor | None:
        layout = self.layout
        if not of_edges or layout.edge is None:
            return None if of_edges else layout.inv_perm
        back = torch.empty_like(layout.edge)
        back[layout.edge] = torch.arange(len(back))
        return back

    def _sweep(
        self, of: Lowered, key: str, is_reverse: bool, results: dict[Any, Tensor] | None = None
    ) -> Any:
        struct: StructOf = self.layout.structure(key, of.sorts, self.native.indices.names)
        if not struct.rows:
            return None
        table = self._fill_in(key == "boundary", results or {}, is_reverse)
        codes = of.reverse if is_reverse else of.forward
        programs = np.zeros(len(codes), PROGRAM)
        for number, (instructions, operations) in enumerate(codes):
            programs[number] = (instructions.ctypes.data, operations.ctypes.data, len(instructions))
        weights = self._weights()
        status = Library.get().graphrec_sweep(
            int(self.like.dtype == torch.float64),
            struct.pointer,
            table.ctypes.data,
            len(table),
            weights.ctypes.data,
            len(weights),
            programs.ctypes.data,
            len(programs),
            int(is_reverse),
            self.threads,
        )
        _check(status)
        return struct, table

    def _weights(self) -> np.ndarray:
        blocks, size = self.native.weights.blocks, self.like.element_size()
        table = np.zeros(len(blocks), WEIGHT)
        for number, (captured, offset, down, across, k, n) in enumerate(blocks):
            table[number] = (self.captured[captured].data_ptr() + offset * size, down, across, k, n)
        return table

    def _undo(self, of: Lowered, key: str, gradients: dict[int, Tensor]) -> None:
        sums = {job.name: self.like.new_zeros(len(job.columns)) for job in of.sum_jobs}
        made = self._sweep(of, key, True, sums)
        if made is None:
            return
        struct, table = made

        def gradient(number: int) -> Tensor:
            if number not in gradients:
                gradients[number] = torch.zeros_like(self.captured[number])
            return gradients[number]

        size = self.like.element_size()
        jobs = np.zeros(len(of.weight_jobs), WEIGHT_GRADIENT)
        for number, job in enumerate(of.weight_jobs):
            base = gradient(job.captured).data_ptr() + job.offset * size
            a, g = (job.a, job.a_column, job.k), (job.g, job.g_column, job.n)
            if job.down == 1:  # torch keeps weights as [N, K]
                jobs[number] = (job.rows, job.program, *g, *a, base, job.across)
            else:
                jobs[number] = (job.rows, job.program, *a, *g, base, job.down)
        if len(jobs):
            status = Library.get().graphrec_weight_gradients(
                int(self.like.dtype == torch.float64),
                struct.pointer,
                table.ctypes.data,
                len(table),
                jobs.ctypes.data,
                len(jobs),
                self.threads,
            )
            _check(status)
        for job in of.sum_jobs:
            gradient(job.captured).index_add_(0, torch.from_numpy(job.columns), sums[job.name])


def _check(status: int) -> None:
    if status == 1:
        raise MemoryError("the native executor: out of memory.")
    if status:
        raise RuntimeError(f"the native executor: {_ERRORS.get(status, status)}.")

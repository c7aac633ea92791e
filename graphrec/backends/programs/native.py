"""The native executor: programs in C++ over a schedule, called a few times a run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...clib import library
from ...cprogram import declare
from ...structure.outside import is_stand_in
from .frame import FORWARD, OF_STRUCTURE, RESULT, REVERSE, SUMS, Frame, Workspace
from .pool import give, take
from .precision import numbers_of

_ERRORS = {2: "a program that is not right", 3: "threads could not be started"}


class Library:
    """The library's functions, with their types declared."""

    _loaded: Any = None

    @classmethod
    def get(cls) -> Any:
        """The library; it is there, where this is called."""
        if cls._loaded is None:
            found = library()
            assert found is not None
            cls._loaded = declare(found)
        return cls._loaded


class Memory(NamedTuple):
    """What the buffers of one sweep lie in, but for those that are given. Without sums nothing is added to them."""

    forward: Tensor
    reverse: Tensor | None
    result: Tensor | None
    sums: Tensor | None

    def begins(self) -> np.ndarray:
        """The addresses, by `ELSEWHERE`, `FORWARD`, and so on."""
        made = {FORWARD: self.forward, REVERSE: self.reverse, RESULT: self.result, SUMS: self.sums}
        addresses = [0, 0, 0, 0, 0]
        for number, block in made.items():
            addresses[number] = 0 if block is None else block.data_ptr()
        return np.array(addresses, np.uint64)


class NativeExecution:
    """One run of a program; the memory of the forward sweep lives as long as it does.

    Args:
        frame: the program on a layout.
        inputs: x in the caller's order; the initial state, what edges carry: by the layout's rows and edges. By name,
            two-dimensional.
        captured: the captured tensors, flat.
        threads: how many at most.
    """

    frame: Frame
    threads: int
    captured: list[Tensor]

    def __init__(self, frame: Frame, inputs: dict[str, Tensor], captured: list[Tensor], threads: int) -> None:
        self.frame, self.threads, self.captured = frame, threads, captured
        self.like: Tensor = inputs["x"]
        self._inputs = {
            name: rows.contiguous() for name, rows in inputs.items() if not name.startswith("boundary.")
        }
        self._inputs["x"] = self._entered("x", self._inputs["x"])
        self._forward: Tensor | None = self._take(frame.forward)
        self._result: Tensor | None = None
        if "d.x" in frame.result.areas:
            area = frame.result.areas["d.x"]
            self._result = self.like.new_empty(area.rows, area.width)
        self._states: dict[str, tuple[Tensor, int]] = {}  # that the caller has, too; and their versions
        if any(map(is_stand_in, captured)):
            raise RuntimeError(
                "a weight or tensor of the cell has no numbers: it stands for another in a program that has been "
                "traced, and was left in the model. Load or make the model anew."
            )
        addresses = np.array([tensor.data_ptr() for tensor in captured], np.uint64)
        self._begins_of_weights = addresses[frame.captured_of_weight]

    def __del__(self) -> None:
        block = getattr(self, "_forward", None)
        if block is not None:
            give(block)

    @property
    def is_spent(self) -> bool:
        """Whether its memory has served a reverse after which none was to come."""
        return self._forward is None

    def _take(self, space: Workspace) -> Tensor:
        block, item = take(space.size * self.frame.item), self.frame.item
        for start, stop in space.zero:
            block[start * item : stop * item] = 0
        return block

    @property
    def is_written_into(self) -> bool:
        """Whether the caller has changed the states, which were handed out, since."""
        return any(rows._version != version for rows, version in self._states.values())

    def _for_reverse(self) -> tuple[Tensor, Tensor | None]:
        """The memory of the forward sweep; a copy, where the reverse writes into it and there may be another.

        After the last reverse it is not this execution's any more: a caller that holds the result until the next run
        has begun, as loops over batches do, would let that one have fresh memory.
        """
        found, result = self._forward, self._result
        if found is None:
            raise RuntimeError(
                "a run is differentiated again, but its graph was not kept: say retain_graph=True."
            )
        if not is_graph_kept():
            self._forward = self._result = None
            return found, result
        if not self.frame.shared:
            return found, result
        copy = take(found.numel())
        copy[: found.numel()] = found
        return copy, None if result is None else result.clone()

    def _entered(self, name: str, rows: Tensor) -> Tensor:
        """The caller's rows, in the order in which programs read them."""
        if _is_one_row(rows):
            return rows
        return (rows if name in self.frame.ordered else self.frame.order.enter(rows)).contiguous()

    # -------------------------------------------------------------------------------------------- runs

    def forward(self, initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory `state.*` of all nodes, from that of the boundary rows.

        That of the frame's `of_caller` is for the caller, in the caller's order, and is read by a reverse, too; the
        rest is this execution's own.
        """
        frame, block = self.frame, self._forward
        assert block is not None
        self._numbers_are = numbers_of(self.like.dtype)
        numbers, count = block.view(self.like.dtype), frame.layout.num_nodes
        found = {name: self.like.new_empty(count, frame.program.widths[name]) for name in frame.of_caller}
        for name, rows in initial.items():
            if frame.is_one_round:
                self._inputs[f"begin.{name}"] = rows if _is_one_row(rows) else rows.contiguous()
            elif name in frame.forward.areas and len(rows):
                frame.view(numbers, frame.forward, name)[: len(rows)] = rows
        memory = Memory(block, None, self._result, None)
        for key in ("project", "boundary", "nodes"):
            if key in frame.lowered:
                self._sweep(key, False, found, memory)
        # (An alias: what the caller is given knows of this run. In inference mode autograd knows of none.)
        if frame.program.wanted.anything and not torch.is_inference_mode_enabled():
            self._states = {name: (rows.detach(), rows._version) for name, rows in found.items()}
        for name in frame.forward.areas:
            if isinstance(name, str) and name.startswith("state."):
                rows = frame.view(numbers, frame.forward, name)
                found[name] = rows[len(rows) - count :]
        return found

    def backward(self, grads: dict[str, Tensor], initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory `d.*`, and the gradients of captured tensors, `captured.0`, …, from those of the state.

        The caller's order is that of what comes of the state, and of `d.x`.

        Raises:
            RuntimeError: after a reverse of a graph that was not kept.
        """
        frame = self.frame
        self._numbers_are = numbers_of(self.like.dtype)
        forward, result = self._for_reverse()
        block = self._take(frame.reverse)
        given: dict[Any, Tensor] = {name: rows for name, (rows, _) in self._states.items()}
        for name, rows in grads.items():
            if not frame.program.is_sync:
                given[f"grad.{name}"] = self._entered(f"grad.{name}", rows)
            elif frame.is_one_round:
                given[f"back.{name}"] = self._entered(f"back.{name}", rows)
            elif f"back.{name}" in frame.reverse.areas:
                back = frame.view(block.view(self.like.dtype), frame.reverse, f"back.{name}")
                back[-len(rows) :] = frame.order.enter(rows)
        found = self._results(result)
        gradients = self.like.new_zeros(frame.gradient_size)
        given.update(found)
        memory = Memory(forward, block, result, None)
        for key in ("nodes", "boundary", "project"):
            if key in frame.lowered:
                self._undo(key, given, gradients, memory)
        if frame.native.late:
            self._sweep("late", True, given, memory)
        give(block)
        if forward is not self._forward:
            give(forward)
        if self.is_spent:  # (the graph may be there for as long as a loss is)
            self._states, self._inputs = {}, {}
        if "d.x" in found and "d.x" not in frame.ordered:
            found["d.x"] = frame.order.leave(found["d.x"])
        for number, (first, width) in frame.gradients.items():
            found[f"captured.{number}"] = gradients[first : first + width]
        return found

    def _results(self, of_x: Tensor | None) -> dict[str, Tensor]:
        """Where the gradients of the inputs are put; that of x has used its place before, if there is one."""
        found = {} if of_x is None else {"d.x": of_x}
        frame = self.frame
        for spec in frame.native.buffers.specs:
            name = spec.name
            if isinstance(name, str) and name.startswith("d.") and name not in found:
                is_added_to = name == "d.projected" or (frame.program.is_sync and name.startswith("d.edge"))
                rows = frame.layout.num_boundary if name.startswith("d.initial.") else frame.rows(spec.rows)
                new = self.like.new_zeros if is_added_to else self.like.new_empty
                found[name] = new(rows, spec.width)
        return found

    def _sweep(
        self, key: str, is_reverse: bool, given: dict[Any, Tensor], memory: Memory
    ) -> np.ndarray | None:
        frame = self.frame
        struct, code = frame.structs[key], frame.codes[key, is_reverse]
        if not struct.rows:
            return None
        template = frame.tables[key]
        table = template.rows.copy()
        base = table["base"]
        base += memory.begins()[template.memory]
        if memory.sums is None:
            table["width"][template.memory == SUMS] = 0
        for number, name in template.given:
            tensor = self._given(name, given)
            if tensor is not None:
                base[number] = tensor.data_ptr()
                if _is_one_row(tensor):
                    table["stride"][number] = 0
        weights = frame.weights[key, is_reverse].copy()
        weights["w"] += self._begins_of_weights
        _check(
            Library.get().graphrec_sweep(
                self._numbers_are,
                struct.pointer,
                table.ctypes.data,
                len(table),
                weights.ctypes.data,
                len(weights),
                code.address,
                code.count,
                is_reverse,
                self.threads,
            )
        )
        return table

    def _given(self, name: Any, given: dict[Any, Tensor]) -> Tensor | None:
        """What a run provides under a name; None: it is not read here."""
        if isinstance(name, tuple):
            return self.captured[name[1]]
        if name in OF_STRUCTURE:
            return self.frame.constants[name]
        return self._inputs[name] if name in self._inputs else given.get(name)

    def _undo(self, key: str, given: dict[Any, Tensor], gradients: Tensor, memory: Memory) -> None:
        frame = self.frame
        sums = self.like.new_empty(frame.sizes[key])
        table = self._sweep(key, True, given, memory._replace(sums=sums))
        if table is None:
            return
        jobs = frame.weight_jobs[key]
        if len(jobs):
            jobs = jobs.copy()
            jobs["c"] += np.uint64(gradients.data_ptr())
            _check(
                Library.get().graphrec_weight_gradients(
                    self._numbers_are,
                    frame.structs[key].pointer,
                    table.ctypes.data,
                    len(table),
                    jobs.ctypes.data,
                    len(jobs),
                    self.threads,
                )
            )
        index = frame.sum_index[key]
        if len(index):
            gradients.index_add_(0, index, sums[: len(index)])
        for at, shape, stride, first in frame.outer[key]:
            total = sums[at : at + shape[0] * shape[1]].view(shape)
            gradients.as_strided(shape, (stride, 1), first).add_(total)


def _is_one_row(rows: Tensor) -> bool:
    """Whether all rows are one, as of the gradient of a sum."""
    return rows.ndim == 2 and rows.stride(0) == 0 and rows.shape[0] > 1 and rows[0].is_contiguous()


def is_graph_kept() -> bool:
    """Whether another backward pass may follow the one that runs, if any does, over the same graph."""
    autograd = getattr(torch._C, "_autograd", None)
    ask = getattr(autograd, "_get_current_graph_task_keep_graph", None)
    return ask is None or ask()


def _check(status: int) -> None:
    if status == 1:
        raise MemoryError("the native executor: out of memory.")
    if status:
        raise RuntimeError(f"the native executor: {_ERRORS.get(status, status)}.")

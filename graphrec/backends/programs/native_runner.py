"""Runs by the native executor."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from ... import clib
from ...program.compile import CellProgram
from ...program.recording import Recording
from ...schedule import Schedule, is_loop
from ...structure.outside import outside
from ..request import Request
from .frame import OF_STRUCTURE, Frame
from .lower import NativeProgram, lower
from .native import NativeExecution
from .native_layout import Layout
from .order import Order
from .precision import is_bf16_used
from .runner import Programs

# The numbers of a state that are worth the preparations for a single round.
_MANY = 2**18
# Of programs on a layout so many are kept at most, the latest.
_MOST_FRAMES = 64


class NativePrograms(Programs):
    """Programs in C++."""

    name: ClassVar[str] = "native"
    about = "recorded cells in C++, float32 and float64 on a CPU"
    missing = staticmethod(clib.why_not)

    @classmethod
    def gains_nothing(cls, request: Request) -> str | None:
        """One round is a few operations on all nodes in the loop, too, but for many nodes with gates."""
        run, plan = request.run, request.run.plan
        if plan.mode != "sync":
            return super().gains_nothing(request)
        if plan.rounds != 1:
            return None
        if plan.num_nodes * sum(map(math.prod, run.shapes)) < _MANY:
            return "one round is no faster there"
        recording = request.recording
        has_no_gates = isinstance(recording, Recording) and not recording.has_gates
        return "one round without gates is no faster there" if has_no_gates else None

    @classmethod
    def describe(cls) -> str:
        """What it runs, and with what."""
        threads = torch.get_num_threads()
        parts = [f"version {clib.VERSION}", clib.instruction_set()]
        parts += ["products of float32 in bfloat16"] if is_bf16_used() else []
        owned = "" if threads == 1 or clib.shares_threads() else " beside torch's"
        parts += [f"{threads} thread{'s' * (threads != 1)}{owned}"]
        return f"{cls.about} ({', '.join(filter(None, parts))})"

    @staticmethod
    def refuses(x: Tensor) -> str | None:
        """Why not, of such rows."""
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
            return f"it is for float32 and float64 on a CPU, x is {x.dtype} on {x.device}"
        return None

    @staticmethod
    def grain(fields: dict[str, tuple[int, ...]]) -> int | None:
        """As wide as the state: operations follow each other row by row, in registers."""
        widths = {shape[0] for shape in fields.values() if len(shape) == 1}
        return min(widths) if widths else None

    @staticmethod
    def prepare(program: CellProgram) -> NativeProgram:
        """Its code."""
        return lower(program)

    @property
    def program(self) -> CellProgram:
        """The cell's."""
        return self.prepared.program

    @cached_property
    def frame(self) -> Frame:
        """The program on the schedule."""
        threads = torch.get_num_threads()
        name = f"native layout in {threads} parts" + (", by kind" if self.program.has_kinds else "")
        cache, plan = self.plan.cache, self.plan
        layout = cache.look_up(name, lambda plan: Layout(plan, threads, self.program.has_kinds), plan)
        key = (id(self.prepared), self.x.dtype, self.handed_out)
        frame = layout.frames.get(key)
        if frame is None:
            with outside():
                names = [name for name in OF_STRUCTURE if self.prepared.buffers.find(name) is not None]
                numbers = {name: _numbers(plan, layout, name).to(self.x.dtype) for name in names}
                frame = Frame(self.prepared, layout, numbers, self.x.element_size(), self.handed_out)
            layout.frames[key] = frame
            while (
                len(layout.frames) > _MOST_FRAMES
            ):  # (a cell whose numbers change has a new program in each run)
                layout.frames.pop(next(iter(layout.frames)), None)
        return frame

    def enter(self, rows: Tensor) -> Tensor:
        """As they are: the execution knows which rows its programs read in the caller's order."""
        return rows

    def leave(self, rows: Tensor) -> Tensor:
        """As they are; see `enter`."""
        return rows

    def hand_out(self, name: str, rows: Tensor) -> Tensor:
        """As they are, where they were written for the caller; `is_written_into` says whether they change."""
        return rows if name in self.frame.of_caller else super().hand_out(name, rows)

    @property
    def order(self) -> Order:
        """Of the layout."""
        return self.frame.order

    def execution(self, tensors: dict[str, Tensor], captured: list[Tensor]) -> Any:
        """What runs it once."""
        return NativeExecution(self.frame, tensors, captured, torch.get_num_threads())


def _numbers(plan: Schedule, layout: Layout, name: str) -> Tensor:
    if name == "degree":
        return layout.in_first.diff()
    numbers: Any = is_loop(plan) if name == "is_loop" else getattr(plan, name)
    return numbers if layout.edge is None else numbers[layout.edge]

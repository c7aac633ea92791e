"""Runs by the native executor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...clib import library, why_not
from ...engine.validate import Context
from ...program.compile import CellProgram
from .lower import NativeProgram, lower
from .native import NativeExecution
from .native_layout import Layout
from .runner import Programs


class NativePrograms(Programs):
    """A run of a recorded cell, in C++."""

    name = "native"

    @staticmethod
    def refuses(run: Context, x: Tensor, initial: list[Tensor]) -> str | None:
        """Why not, before anything is recorded."""
        if library() is None:
            return why_not()
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
            return f"it is for float32 and float64 on a CPU, x is {x.dtype} on {x.device}"
        return Programs.refuses(run, x, initial)

    @staticmethod
    def prepare(program: CellProgram) -> NativeProgram:
        """Its code."""
        return lower(program)

    @property
    def program(self) -> CellProgram:
        """The cell's."""
        return self.prepared.program

    def execution(self, tensors: list[Tensor], captured: list[Tensor]) -> Any:
        """What runs it once."""
        inputs = dict(zip(self.tensors, tensors, strict=True))
        threads = torch.get_num_threads()
        key = f"native layout in {threads} parts" + (", by kind" if self.program.has_kinds else "")
        layout = self.plan.cache.get(key)
        if layout is None:
            layout = self.plan.cache[key] = Layout(self.plan, threads, self.program.has_kinds)
        return NativeExecution(self.prepared, layout, inputs, captured, threads)

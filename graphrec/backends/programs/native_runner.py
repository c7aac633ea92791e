"""Runs by the native executor."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ... import clib
from ...program.compile import CellProgram
from .lower import NativeProgram, lower
from .native import NativeExecution
from .native_layout import Layout
from .runner import Programs


class NativePrograms(Programs):
    """Programs in C++."""

    name: ClassVar[str] = "native"
    about = "recorded cells in C++, float32 and float64 on a CPU"
    missing = staticmethod(clib.why_not)

    @classmethod
    def describe(cls) -> str:
        """What it runs, and with what."""
        threads = torch.get_num_threads()
        parts = [f"version {clib.VERSION}", clib.instruction_set(), f"{threads} thread{'s' * (threads != 1)}"]
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

    def execution(self, tensors: dict[str, Tensor], captured: list[Tensor]) -> Any:
        """What runs it once."""
        threads = torch.get_num_threads()
        key = f"native layout in {threads} parts" + (", by kind" if self.program.has_kinds else "")
        layout = self.plan.cache.get(key)
        if layout is None:
            layout = self.plan.cache[key] = Layout(self.plan, threads, self.program.has_kinds)
        return NativeExecution(self.prepared, self.plan, layout, tensors, captured, threads)

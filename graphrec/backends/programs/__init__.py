"""Cells as recorded programs, run by executors: in PyTorch, or natively.

Belongs here: levels and memory as executors need them, execution, its derivative. Does not: what a program says.
"""

from .native_runner import NativePrograms
from .operator import OperatorRun
from .runner import Programs, TorchPrograms

__all__ = ["NativePrograms", "OperatorRun", "Programs", "TorchPrograms"]

"""Cells as recorded programs, run by executors: in PyTorch, or natively.

Belongs here: levels and memory as executors need them, execution, its derivative. Does not: what a program says (program).
"""

from .runner import Programs

__all__ = ["Programs"]

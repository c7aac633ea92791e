"""Tests for what users write: `check_cell` puts a cell through the suite that the library's own cells pass.

Belongs here: claims that hold of every cell, and the structures, runs and oracles to test them with; nothing needs
pytest or hypothesis. Does not: tests of one part of the library, which are in tests/.
"""

from .check import CLAIMS, check_cell
from .claims import Claim
from .recursion import Equations, evaluate, evaluate_rounds
from .report import CellError, Report, Result
from .structures import structures_for

__all__ = [
    "CLAIMS",
    "CellError",
    "Claim",
    "Equations",
    "Report",
    "Result",
    "check_cell",
    "evaluate",
    "evaluate_rounds",
    "structures_for",
]

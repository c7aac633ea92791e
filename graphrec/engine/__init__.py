"""How a cell is run over a schedule, forwards and backwards.

Belongs here: loops and what they need. Does not: equations of cells (cells), orders of nodes (schedule).
"""

from .inbox import Inbox
from .run import reference_loop, rounds, run, run_first, run_sequence, steps

__all__ = ["Inbox", "reference_loop", "rounds", "run", "run_first", "run_sequence", "steps"]

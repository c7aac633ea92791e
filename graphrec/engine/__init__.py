"""How a cell is run over a schedule, forwards and backwards.

Belongs here: loops and what they need. Does not: equations of cells (cells), orders of nodes (schedule).
"""

from .inbox import Inbox
from .initial import per_graph, per_node
from .run import reference_loop, rounds, run, run_between, run_first, run_sequence, steps

__all__ = [
    "Inbox",
    "per_graph",
    "per_node",
    "reference_loop",
    "rounds",
    "run",
    "run_between",
    "run_first",
    "run_sequence",
    "steps",
]

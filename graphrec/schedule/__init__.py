"""In which order: topological levels, sync rounds, and the compiled schedule.

Belongs here: anything computed from a structure alone. Does not: states, cells, gradients.
"""

from .compile import schedule
from .levels import CycleError, levels
from .plan import Schedule, Step

__all__ = ["CycleError", "Schedule", "Step", "levels", "schedule"]

"""In which order: topological levels, sync rounds, and the compiled schedule.

Belongs here: anything computed from a structure alone. Does not: states, cells, gradients.
"""

from .chains import Chains
from .compile import check_mode, schedule
from .levels import CycleError, levels
from .plan import Schedule, Step, check_schedule
from .views import Part, Paths

__all__ = [
    "Chains",
    "CycleError",
    "Part",
    "Paths",
    "Schedule",
    "Step",
    "check_mode",
    "check_schedule",
    "levels",
    "schedule",
]

"""In which order: topological levels, sync rounds, and the compiled schedule.

Belongs here: anything computed from a structure alone. Does not: states, cells, gradients.
"""

from .chains import Chains
from .compile import check_mode, schedule
from .components import Components, components
from .levels import CycleError, levels
from .orders import Order, breadth_first, colouring
from .plan import Schedule, Step, check_schedule
from .rounds import FixedPoint, NoFixedPointError, NoFixedPointWarning
from .valueless import schedule_seen_by
from .views import Part, Paths

__all__ = [
    "Components",
    "components",
    "Order",
    "breadth_first",
    "colouring",
    "FixedPoint",
    "NoFixedPointError",
    "NoFixedPointWarning",
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
    "schedule_seen_by",
]

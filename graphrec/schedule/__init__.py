"""When each node is updated: topological levels, sync rounds, and the compiled schedule.

Belongs here: anything computed from a structure alone. Does not: states, cells, gradients.
"""

from ..operators import FixedPoint, NoFixedPointError, NoFixedPointWarning
from .blocks import Block, Blocks, blocks_of
from .chains import Chains, chains
from .compile import check_mode, masked, schedule, with_initial
from .components import Components, components
from .deferred import DeferredSchedule
from .derived import derived
from .inboxes import Part, as_one_step, degree, is_loop, pair_csr, parts, round_csr, slot_fault
from .levels import CycleError, levels
from .orders import Order, breadth_first, by_time, colouring
from .out_edges import OutEdges, out_edges
from .plan import Schedule, Step, check_schedule
from .recurrence import recurrence_edges, without_edges
from .segments import Segments, segments
from .sinks import Sinks, sinks
from .valueless import schedule_seen_by

__all__ = [
    "Block",
    "Blocks",
    "Chains",
    "Components",
    "CycleError",
    "DeferredSchedule",
    "FixedPoint",
    "NoFixedPointError",
    "NoFixedPointWarning",
    "Order",
    "OutEdges",
    "Part",
    "Schedule",
    "Segments",
    "Sinks",
    "Step",
    "as_one_step",
    "blocks_of",
    "breadth_first",
    "by_time",
    "chains",
    "check_mode",
    "check_schedule",
    "colouring",
    "components",
    "degree",
    "derived",
    "is_loop",
    "levels",
    "masked",
    "out_edges",
    "pair_csr",
    "parts",
    "recurrence_edges",
    "round_csr",
    "schedule",
    "schedule_seen_by",
    "segments",
    "sinks",
    "slot_fault",
    "with_initial",
    "without_edges",
]

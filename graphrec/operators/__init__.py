"""What torch lacks: rows gathered, sent along edges and summed, fixed points, with derivatives; leaves of a graph.

Belongs here: operators on tensors. Does not: schedules, cells, anything that knows of them.
"""

from .autograd_graph import graph_from, leaves_behind
from .csr import CSR, send, send_and_sum
from .fixed_point import FixedPoint, NoFixedPointError, NoFixedPointWarning
from .grad_mode import in_grad_mode
from .implicit import Cut
from .plain import is_plain_only, must_be_plain
from .pooled import Groups, Pooled, PooledByGroups, lowest
from .recurrence_edges import RecurrenceEdges
from .recurrence_passes import multiplied
from .recurrences import recurrence
from .segments import gather_sum, move, rows_or_zero, segment_sum, spread
from .settle import settle
from .softmax import inbox_softmax

__all__ = [
    "CSR",
    "Cut",
    "FixedPoint",
    "Groups",
    "NoFixedPointError",
    "NoFixedPointWarning",
    "Pooled",
    "PooledByGroups",
    "RecurrenceEdges",
    "gather_sum",
    "graph_from",
    "in_grad_mode",
    "inbox_softmax",
    "is_plain_only",
    "leaves_behind",
    "lowest",
    "move",
    "multiplied",
    "must_be_plain",
    "recurrence",
    "rows_or_zero",
    "segment_sum",
    "send",
    "send_and_sum",
    "settle",
    "spread",
]

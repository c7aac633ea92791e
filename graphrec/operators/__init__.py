"""What torch lacks: rows gathered, sent along edges and summed, fixed points; each with its derivatives.

Belongs here: operators on tensors. Does not: schedules, cells, anything that knows of them.
"""

from .csr import CSR, send, send_and_sum
from .fixed_point import FixedPoint, NoFixedPointError, NoFixedPointWarning
from .plain import is_plain_only, must_be_plain
from .segments import gather_sum, move, rows_or_zero, segment_sum, spread
from .settle import settle

__all__ = [
    "CSR",
    "FixedPoint",
    "NoFixedPointError",
    "NoFixedPointWarning",
    "gather_sum",
    "is_plain_only",
    "move",
    "must_be_plain",
    "rows_or_zero",
    "segment_sum",
    "send",
    "send_and_sum",
    "settle",
    "spread",
]

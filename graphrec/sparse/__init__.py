"""What torch lacks for graphs: rows gathered, sent along edges and summed, with gathers on the way back, too.

Belongs here: operators on tensors and their derivatives. Does not: schedules, cells, anything that knows of them.
"""

from .csr import CSR, send, send_and_sum
from .plain import is_plain_only, must_be_plain
from .segments import gather_sum, move, rows_or_zero, segment_sum, spread

__all__ = [
    "CSR",
    "gather_sum",
    "is_plain_only",
    "move",
    "must_be_plain",
    "rows_or_zero",
    "segment_sum",
    "send",
    "send_and_sum",
    "spread",
]

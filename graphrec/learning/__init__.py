"""Learning rules: how a run is differentiated is an argument, not a property of a model.

Belongs here: rules, and what they say of a model. Does not: the loop (engine), equations of cells (cells).
"""

from .bptt import BPTT
from .local import LocalGradients, LocalRun, local_gradients
from .rule import Rule
from .stream import Stream, StreamState
from .truncated import TruncatedBPTT

__all__ = [
    "BPTT",
    "LocalGradients",
    "LocalRun",
    "Rule",
    "Stream",
    "StreamState",
    "TruncatedBPTT",
    "local_gradients",
]

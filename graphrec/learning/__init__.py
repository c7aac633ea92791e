"""Learning rules: how a run is differentiated is an argument, not a property of a model.

Belongs here: rules, and what they report of a model. Does not: the loop (engine), equations of cells (cells).
"""

from .bptt import BPTT
from .eprop import EProp
from .forward import ForwardRule
from .local import LocalGradients, LocalRun, local_gradients
from .online import Online
from .reach import Reach
from .rflo import RFLO, FeedbackLinear
from .rtrl import RTRL
from .rule import Rule
from .snap import SnAp1
from .stream import Stream
from .truncated import TruncatedBPTT
from .uoro import UORO

__all__ = [
    "BPTT",
    "EProp",
    "FeedbackLinear",
    "ForwardRule",
    "LocalGradients",
    "LocalRun",
    "Online",
    "RFLO",
    "RTRL",
    "Reach",
    "Rule",
    "SnAp1",
    "Stream",
    "TruncatedBPTT",
    "UORO",
    "local_gradients",
]

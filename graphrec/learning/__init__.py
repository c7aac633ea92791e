"""Learning rules: how a run is differentiated is an argument, not a property of a model.

Belongs here: rules, and what they say of a model. Does not: the loop (engine), equations of cells (cells).
"""

from .eprop import EProp
from .forward import ForwardRule
from .online import Online
from .reach import Reach
from .rflo import RFLO, FeedbackLinear
from .rtrl import RTRL
from .rule import Rule
from .snap import SnAp1
from .uoro import UORO

__all__ = [
    "RFLO",
    "RTRL",
    "UORO",
    "EProp",
    "FeedbackLinear",
    "ForwardRule",
    "Online",
    "Reach",
    "Rule",
    "SnAp1",
]

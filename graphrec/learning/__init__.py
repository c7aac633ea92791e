"""Learning rules: how a run is differentiated is an argument, not a property of a model.

Belongs here: rules, and what they say of a model. Does not: the loop (engine), equations of cells (cells).
"""

from .rtrl import RTRL
from .rule import Rule

__all__ = ["RTRL", "Rule"]

"""What runs a cell over a schedule faster than the loop: each backend has a name, and says itself what it accepts.

Belongs here: other ways to the loop's numbers, and who takes which. Does not: the loop (engine), equations (cells).
"""

from .choice import Choice, Explanation, SlowPathWarning, check_loop_may_run, choose, explain, running_on
from .lowered import Lowered

__all__ = [
    "Choice",
    "Explanation",
    "Lowered",
    "SlowPathWarning",
    "check_loop_may_run",
    "choose",
    "explain",
    "running_on",
]

"""What runs a cell over a schedule faster than the loop: each backend has a name, and says itself what it accepts.

Belongs here: other ways to the loop's numbers, and who takes which. Does not: the loop (engine), equations (cells).
"""

from .choice import SlowPathWarning, check_loop_may_run, choose, running_on
from .explain import Choice, Explanation, explain
from .runner import Runner

__all__ = [
    "Choice",
    "Explanation",
    "Runner",
    "SlowPathWarning",
    "check_loop_may_run",
    "choose",
    "explain",
    "running_on",
]

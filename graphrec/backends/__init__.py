"""Faster ways than the loop to run a cell over a schedule: each backend has a name, and says what it accepts.

Belongs here: other ways to the loop's numbers, and their choice. Does not: the loop (engine), equations (cells).
"""

from .available import Backend, Backends, backends
from .choice import SlowPathWarning, check_loop_may_run, choose, running_on, telling
from .explain import Choice, Explanation, explain, untouched
from .growth import GrowthWarning
from .programs import OperatorRun, Programs
from .request import Request
from .runner import Runner

__all__ = [
    "Backend",
    "Backends",
    "Choice",
    "Explanation",
    "GrowthWarning",
    "OperatorRun",
    "Programs",
    "Request",
    "Runner",
    "SlowPathWarning",
    "backends",
    "check_loop_may_run",
    "choose",
    "explain",
    "running_on",
    "telling",
    "untouched",
]

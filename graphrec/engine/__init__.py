"""The one loop in which a cell runs over a schedule, and what it needs.

Belongs here: the loop, inboxes, checks of what a run is given. Does not: equations of cells (cells), orders of nodes
(schedule), faster ways to the same numbers (backends).
"""

from .inbox import Inbox
from .initial import per_graph, per_node

__all__ = ["Inbox", "per_graph", "per_node"]

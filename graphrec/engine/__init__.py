"""The one loop that runs a cell over a schedule, and what it needs.

Belongs here: the loop, how states reach their readers, checks of a run's arguments. Does not: what a cell sees
(cell), when nodes are updated (schedule), faster ways to the same numbers (backends).
"""

from .initial import per_graph, per_node

__all__ = ["per_graph", "per_node"]

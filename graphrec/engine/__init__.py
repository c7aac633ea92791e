"""The one loop in which a cell runs over a schedule, and what it needs.

Belongs here: the loop, how states reach their readers, checks of what a run is given. Does not: what a cell sees
(cell), orders of nodes (schedule), faster ways to the same numbers (backends).
"""

from .initial import per_graph, per_node

__all__ = ["per_graph", "per_node"]

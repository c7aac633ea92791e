"""Who depends on whom: structures, built from numbers, batched and reversed.

Belongs here: anything that says which nodes and edges there are. Does not: other libraries' graphs and trees (io),
when nodes are updated (schedule).
"""

from .balanced import balanced, prefix_scan
from .batch import batch
from .build import chain, chains, dag, grid, lagged
from .episodes import Episodes, episodes
from .features import EdgeFeatures
from .line_graph import line_graph
from .over_time import Stages, in_stages, over_time, own_past
from .structure import Structure, check_structure, default_slots
from .tree_rows import TreeRows, tree_from_edges, tree_from_parents, tree_from_rows

__all__ = [
    "EdgeFeatures",
    "Episodes",
    "Stages",
    "Structure",
    "TreeRows",
    "balanced",
    "batch",
    "chain",
    "check_structure",
    "chains",
    "dag",
    "default_slots",
    "episodes",
    "grid",
    "in_stages",
    "lagged",
    "line_graph",
    "over_time",
    "own_past",
    "prefix_scan",
    "tree_from_edges",
    "tree_from_parents",
    "tree_from_rows",
]

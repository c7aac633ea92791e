"""Who depends on whom: structures, built from numbers, batched and reversed.

Belongs here: anything that says which nodes and edges there are. Does not: other libraries' graphs and trees (io),
when nodes are updated (schedule).
"""

from .batch import batch
from .build import chain, chains, dag, grid, lagged
from .episodes import Episodes, episodes
from .features import EdgeFeatures
from .line_graph import line_graph
from .structure import Structure, default_slots
from .tree_rows import TreeRows, tree_from_edges, tree_from_parents, tree_from_rows

__all__ = [
    "EdgeFeatures",
    "Episodes",
    "Structure",
    "TreeRows",
    "batch",
    "chain",
    "chains",
    "dag",
    "default_slots",
    "episodes",
    "grid",
    "lagged",
    "line_graph",
    "tree_from_edges",
    "tree_from_parents",
    "tree_from_rows",
]

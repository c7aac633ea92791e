"""What depends on whom: building, converting, batching and reversing structures.

Belongs here: anything that says which nodes and edges there are. Does not: in which order they are visited.
"""

from .accepted import Over, as_pair, as_structure
from .batch import batch
from .brackets import parse_brackets
from .build import chain, chains, dag, grid, lagged
from .convert import from_pyg, to_pyg
from .features import EdgeFeatures
from .hetero import rows_by_type
from .networkx import from_networkx, to_networkx
from .structure import Structure, default_slots
from .syntax import SYNTAX_FIELDS
from .tree import tree

__all__ = [
    "SYNTAX_FIELDS",
    "EdgeFeatures",
    "Over",
    "Structure",
    "as_pair",
    "as_structure",
    "batch",
    "chain",
    "chains",
    "dag",
    "default_slots",
    "from_networkx",
    "from_pyg",
    "grid",
    "lagged",
    "parse_brackets",
    "rows_by_type",
    "to_networkx",
    "to_pyg",
    "tree",
]

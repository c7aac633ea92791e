"""Structures from other formats, and back: PyG, networkx, nltk, syntax trees, brackets, sparse matrices.

Belongs here: adapters, and what models accept instead of a structure. Does not: structures themselves (structure),
sequences with their rows (sequences), batches (loader), files of data sets (datasets).
"""

from .brackets import parse_brackets
from .coerce import StructureLike, as_pair, as_structure
from .hetero import rows_by_type
from .networkx import from_networkx, to_networkx
from .powers import chebyshev, diffusion
from .pyg import from_pyg, to_pyg
from .syntax import SYNTAX_FIELDS
from .tree import tree

__all__ = [
    "chebyshev",
    "diffusion",
    "SYNTAX_FIELDS",
    "StructureLike",
    "as_pair",
    "as_structure",
    "from_networkx",
    "from_pyg",
    "parse_brackets",
    "rows_by_type",
    "to_networkx",
    "to_pyg",
    "tree",
]

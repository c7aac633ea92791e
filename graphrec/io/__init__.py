"""Structures from other formats, and back: PyG, networkx, nltk, CoNLL-U, syntax trees, brackets, matrices, circuits.

Belongs here: adapters, and what models accept instead of a structure. Does not: structures themselves (structure),
sequences with their rows (sequences), batches (loader), files of data sets (datasets).
"""

from typing import TYPE_CHECKING

import lazy_loader

from .brackets import parse_brackets
from .conllu import from_conllu
from .networkx import from_networkx, to_networkx
from .syntax import SYNTAX_FIELDS
from .tree import tree

if TYPE_CHECKING:
    from . import circuits
    from .coerce import StructureLike, as_pair, as_structure
    from .hetero import rows_by_type
    from .powers import chebyshev, diffusion
    from .pyg import from_pyg, to_pyg

__all__ = [
    "chebyshev",
    "diffusion",
    "SYNTAX_FIELDS",
    "StructureLike",
    "as_pair",
    "as_structure",
    "circuits",
    "from_conllu",
    "from_networkx",
    "from_pyg",
    "parse_brackets",
    "rows_by_type",
    "to_networkx",
    "to_pyg",
    "tree",
]

# Imported when asked for: few read circuits, and a tree of brackets needs no PyG, which takes a second.
__getattr__, _, _ = lazy_loader.attach(
    __name__,
    ["circuits"],
    {
        "coerce": ["StructureLike", "as_pair", "as_structure"],
        "hetero": ["rows_by_type"],
        "powers": ["chebyshev", "diffusion"],
        "pyg": ["from_pyg", "to_pyg"],
    },
)


def __dir__() -> list[str]:
    return __all__

"""Structures from other formats, and back: PyG, networkx, nltk, CoNLL-U, syntax trees, brackets, matrices, circuits.

Belongs here: adapters, and what models accept instead of a structure. Does not: structures themselves (structure),
sequences with their rows (sequences), batches (loader), files of data sets (datasets).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .brackets import parse_brackets
from .coerce import StructureLike, as_pair, as_structure
from .conllu import from_conllu
from .hetero import rows_by_type
from .networkx import from_networkx, to_networkx
from .powers import chebyshev, diffusion
from .pyg import from_pyg, to_pyg
from .syntax import SYNTAX_FIELDS
from .tree import tree

if TYPE_CHECKING:
    from . import circuits

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


def __getattr__(name: str) -> Any:
    if name == "circuits":  # imported when asked for: few read circuits
        return import_module(".circuits", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

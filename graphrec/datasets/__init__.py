"""Trees with labels, each loader an `InMemoryDataset` of PyG whose samples already know their levels.

Belongs here: finding, checking, drawing and caching samples. Does not: data files; they lie in `/datasets`.
"""

from ._automaton import Automaton
from ._listops_grammar import ListOpsGenerator
from .dates import Dates
from .docstrings import Docstrings
from .listops import ListOps
from .logic import Logic
from .python_functions import PythonFunctions
from .sst import SST
from .token_roles import TokenRoles
from .tomita import Tomita

__all__ = [
    "SST",
    "Automaton",
    "Dates",
    "Docstrings",
    "ListOps",
    "ListOpsGenerator",
    "Logic",
    "PythonFunctions",
    "TokenRoles",
    "Tomita",
]

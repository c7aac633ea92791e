"""Trees with labels, each loader an `InMemoryDataset` of PyG whose samples already know their levels.

Belongs here: finding, checking, drawing and caching samples. Does not: data files; they lie in `/datasets`.
"""

from ._listops_grammar import ListOpsGenerator
from .listops import ListOps
from .logic import Logic
from .python_functions import PythonFunctions
from .sst import SST

__all__ = ["SST", "ListOps", "ListOpsGenerator", "Logic", "PythonFunctions"]

"""Sequences, trees and graphs with labels, each an `InMemoryDataset` of PyG whose trees and DAGs know their levels.

MUTAG, Cora and other folders in the forms of TUDataset and Planetoid are PyG's own data sets, found and checked.

Problems over sequences that can be drawn at any size are functions, which return inputs, structure and targets; series
are functions, too.

Belongs here: finding, checking, drawing and caching samples. Does not: data files; they lie in `/datasets`.
"""

from ._automaton import Automaton
from ._base import Samples, TreeDataset
from ._listops_grammar import ListOpsGenerator
from .dates import Dates
from .docstrings import Docstrings
from .folds import stratified_folds
from .graphs import cora, mutag, planetoid, tudataset
from .listops import ListOps
from .logic import Logic
from .long_lags import adding_problem, temporal_order
from .nas import ENAS
from .python_functions import PythonFunctions
from .series import mackey_glass, narma
from .sst import SST
from .state_tracking import dyck, word_problem
from .token_roles import TokenRoles
from .tomita import Tomita
from .traffic import Traffic, road_graph, road_traffic
from .traffic_files import read_traffic

__all__ = [
    "ENAS",
    "SST",
    "Automaton",
    "Dates",
    "Docstrings",
    "ListOps",
    "ListOpsGenerator",
    "Logic",
    "PythonFunctions",
    "Samples",
    "TokenRoles",
    "Tomita",
    "Traffic",
    "TreeDataset",
    "adding_problem",
    "cora",
    "dyck",
    "mackey_glass",
    "mutag",
    "narma",
    "planetoid",
    "read_traffic",
    "road_graph",
    "road_traffic",
    "stratified_folds",
    "temporal_order",
    "tudataset",
    "word_problem",
]

"""graphrec: recurrent, recursive and graph neural networks as one thing.

States of nodes, updated from the states of their predecessors, in an order. The structure says who depends on
whom, the schedule in which order, the cell how, and the engine runs it.
"""

from . import datasets, readout, transforms, viz
from .cells import (
    Cell,
    ChildSumTreeLSTMCell,
    NaryTreeLSTMCell,
    RecNNCell,
    RNTNCell,
    SRNCell,
    TreeGRUCell,
)
from .engine import Inbox, reference_loop, run, steps
from .models import RNTN, SRN, Bidirectional, RecNN, Recursive, Reversed, TreeGRU, TreeLSTM
from .schedule import CycleError, Schedule, levels, schedule
from .structure import (
    Structure,
    batch,
    chain,
    chains,
    dag,
    from_networkx,
    from_pyg,
    grid,
    to_networkx,
    to_pyg,
    tree,
)

__version__ = "0.1.0"

__all__ = [
    "RNTN",
    "SRN",
    "Bidirectional",
    "Cell",
    "ChildSumTreeLSTMCell",
    "CycleError",
    "Inbox",
    "NaryTreeLSTMCell",
    "RNTNCell",
    "RecNN",
    "RecNNCell",
    "Recursive",
    "Reversed",
    "SRNCell",
    "Schedule",
    "Structure",
    "TreeGRU",
    "TreeGRUCell",
    "TreeLSTM",
    "batch",
    "chain",
    "chains",
    "dag",
    "datasets",
    "from_networkx",
    "from_pyg",
    "grid",
    "levels",
    "readout",
    "reference_loop",
    "run",
    "schedule",
    "steps",
    "to_networkx",
    "to_pyg",
    "transforms",
    "tree",
    "viz",
]

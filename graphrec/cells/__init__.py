"""Equations: how one node's state follows from its input and its inbox. One file per family.

Belongs here: cells. Does not: anything that knows of order, batches, levels or time.
"""

from .cell import Cell
from .recnn import RecNNCell, RNTNCell
from .srn import SRNCell
from .tree_gru import TreeGRUCell
from .tree_lstm import ChildSumTreeLSTMCell, NaryTreeLSTMCell

__all__ = [
    "Cell",
    "ChildSumTreeLSTMCell",
    "NaryTreeLSTMCell",
    "RNTNCell",
    "RecNNCell",
    "SRNCell",
    "TreeGRUCell",
]

"""`nn.Module`s for people who want no engine talk: cells over structures, and combinations of them.

Belongs here: modules called as `model(x, s)`. Does not: equations (cells), loops (engine).
"""

from .combine import Bidirectional, Reversed
from .recursive import RNTN, SRN, RecNN, Recursive, TreeGRU, TreeLSTM

__all__ = ["RNTN", "SRN", "Bidirectional", "RecNN", "Recursive", "Reversed", "TreeGRU", "TreeLSTM"]

"""The Child-Sum Tree-LSTM of other libraries: one file per peer, all computing the same layer.

They know nothing of graphrec: a peer gets a `Layer` and builds its own graph or schedule from its edges.
"""

from __future__ import annotations

from .contender import Contender, Layer, Results, Unavailable, Weights
from .dgl_tree import DGLMailbox, DGLSum
from .dynet_tree import DyNet
from .pytorch_tree_lstm import PyTorchTreeLSTM

PEERS: tuple[type[Contender], ...] = (DGLMailbox, DGLSum, PyTorchTreeLSTM, DyNet)

__all__ = ["PEERS", "Contender", "Layer", "Results", "Unavailable", "Weights"]

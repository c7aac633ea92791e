"""Equations: how one node's state follows from its input and its inbox. One file per family.

Belongs here: cells. Does not: anything that knows of order, batches, levels or time.
"""

from .cell import Cell
from .delays import ARCell, NARXCell, TDNNCell
from .emitting import EmittingCell
from .gru import GRUCell, TextbookGRUCell
from .kinds import GridCell, PerKind
from .layer_norm import LayerNormGRUCell, LayerNormLSTMCell, LayerNormSRNCell
from .lstm import CoupledLSTMCell, LSTMCell, NoForgetLSTMCell, PeepholeLSTMCell
from .recnn import RecNNCell, RNTNCell
from .residual import ResidualCell
from .second_order import SecondOrderCell
from .series import SeriesCell
from .srn import JordanCell, SRNCell
from .step import StepCell
from .tree_gru import TreeGRUCell
from .tree_lstm import ChildSumTreeLSTMCell, NaryTreeLSTMCell

__all__ = [
    "ARCell",
    "Cell",
    "ChildSumTreeLSTMCell",
    "CoupledLSTMCell",
    "EmittingCell",
    "GRUCell",
    "GridCell",
    "JordanCell",
    "LSTMCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LayerNormSRNCell",
    "NARXCell",
    "NaryTreeLSTMCell",
    "NoForgetLSTMCell",
    "PeepholeLSTMCell",
    "PerKind",
    "RNTNCell",
    "RecNNCell",
    "ResidualCell",
    "SRNCell",
    "SecondOrderCell",
    "SeriesCell",
    "StepCell",
    "TDNNCell",
    "TextbookGRUCell",
    "TreeGRUCell",
]

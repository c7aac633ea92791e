"""Equations: how one node's state follows from its input and its inbox. One file per family.

Belongs here: cells. Does not: anything that knows of schedules, batches, levels or time.
"""

from .affine import AffineCell
from .convolutions import GCNCell, GINCell
from .dags import DAGNNCell, DAGRNNCell, DVAECell
from .delays import ARCell, NARXCell, TDNNCell
from .edges import PerRelation
from .elementwise import DiagonalSRNCell, ElementwiseLSTMCell, LRUCell
from .emitting import EmittingCell
from .gat import GATCell, GATv2Cell
from .gated_graph import GGNNCell, MPNNCell
from .gru import GRUCell, TextbookGRUCell
from .kinds import GridCell, PerKind
from .layer_norm import LayerNormGRUCell, LayerNormLSTMCell, LayerNormSRNCell
from .leaky import LeakySRNCell
from .levelwise import ConvCell
from .lstm import CoupledLSTMCell, LSTMCell, NoForgetLSTMCell, PeepholeLSTMCell, ProjectedLSTMCell
from .minimal import MinGRUCell, MinLSTMCell
from .plstm import PLSTMCell
from .recnn import RecNNCell, RNTNCell
from .residual import ResidualCell
from .sage import SAGECell
from .second_order import SecondOrderCell
from .series import SeriesCell
from .srn import JordanCell, SRNCell
from .step import StepCell
from .tree_gru import TreeGRUCell
from .tree_lstm import ChildSumTreeLSTMCell, NaryTreeLSTMCell

__all__ = [
    "ARCell",
    "AffineCell",
    "ChildSumTreeLSTMCell",
    "ConvCell",
    "CoupledLSTMCell",
    "DAGNNCell",
    "DAGRNNCell",
    "DVAECell",
    "DiagonalSRNCell",
    "ElementwiseLSTMCell",
    "EmittingCell",
    "GATCell",
    "GATv2Cell",
    "GCNCell",
    "GGNNCell",
    "GINCell",
    "GRUCell",
    "GridCell",
    "JordanCell",
    "LRUCell",
    "LSTMCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LayerNormSRNCell",
    "LeakySRNCell",
    "MPNNCell",
    "MinGRUCell",
    "MinLSTMCell",
    "NARXCell",
    "NaryTreeLSTMCell",
    "NoForgetLSTMCell",
    "PLSTMCell",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "PerKind",
    "PerRelation",
    "RNTNCell",
    "RecNNCell",
    "ResidualCell",
    "SAGECell",
    "SRNCell",
    "SecondOrderCell",
    "SeriesCell",
    "StepCell",
    "TDNNCell",
    "TextbookGRUCell",
    "TreeGRUCell",
]

"""`nn.Module`s, the high-level API: cells over structures, and combinations of them.

Belongs here: modules called as `model(x, s)`. Does not: equations (cells), loops (engine).
"""

from .attention import attention_weights
from .combine import Bidirectional, Reversed, Stacked, UpDown
from .delays import AR, NARX, TDNN
from .dropout import VariationalDropout
from .graphs import DAGNN, GNN, Levelwise
from .heads import SequenceToClass, SequenceToLabels
from .language import LanguageModel, Seq2Seq
from .model import Model
from .over_time import DCRNN, GConvGRU, GConvLSTM, OverTime
from .plstm import PLSTM
from .recursive import GRU, LSTM, RNTN, SRN, RecNN, Recursive, TreeGRU, TreeLSTM
from .torch_rnn import Sequences, from_torch, to_torch

__all__ = [
    "DAGNN",
    "DCRNN",
    "GConvGRU",
    "GConvLSTM",
    "OverTime",
    "GNN",
    "Levelwise",
    "AR",
    "Bidirectional",
    "GRU",
    "LSTM",
    "LanguageModel",
    "Model",
    "NARX",
    "PLSTM",
    "RNTN",
    "RecNN",
    "Recursive",
    "Reversed",
    "SRN",
    "Seq2Seq",
    "SequenceToClass",
    "SequenceToLabels",
    "Sequences",
    "Stacked",
    "UpDown",
    "TDNN",
    "TreeGRU",
    "TreeLSTM",
    "VariationalDropout",
    "attention_weights",
    "from_torch",
    "to_torch",
]

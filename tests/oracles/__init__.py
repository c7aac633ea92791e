"""The papers' equations, one node at a time, by plain recursion: what every engine must agree with.

No engine, no batch, no level, nothing imported from graphrec. An `Equations` function takes the cell, to read
its weights from, the node's input x `[D]`, and the states of its sources as a list of `(slot, state)`, each
state a tuple of vectors `[H]`; it returns the node's state. Weights are split into the paper's matrices first.
"""

from .delays import ar, narx, tdnn
from .graphs import dag_rnn, dagnn, dvae, evaluate_graph, gat, gatv2, gcn, ggnn, gin, mpnn, sage
from .recursion import Equations, Inbox, State, evaluate, evaluate_rounds, stack
from .sequences import (
    coupled_lstm,
    diagonal_srn,
    elementwise_lstm,
    gru,
    jordan_logistic,
    layer_norm_gru,
    layer_norm_lstm,
    layer_norm_srn,
    leaky_srn,
    lru,
    lstm,
    no_forget_lstm,
    peephole_lstm,
    projected_lstm,
    residual,
    second_order,
    series,
    srn,
    textbook_gru,
)
from .trees import (
    child_sum_tree_lstm,
    nary_tree_gru,
    nary_tree_lstm,
    recnn,
    recnn_logistic,
    rntn,
    tree_gru,
)

__all__ = [
    "Equations",
    "Inbox",
    "State",
    "ar",
    "child_sum_tree_lstm",
    "dag_rnn",
    "dagnn",
    "dvae",
    "evaluate_graph",
    "gat",
    "gatv2",
    "gcn",
    "ggnn",
    "gin",
    "mpnn",
    "sage",
    "coupled_lstm",
    "diagonal_srn",
    "elementwise_lstm",
    "evaluate",
    "leaky_srn",
    "lru",
    "evaluate_rounds",
    "gru",
    "jordan_logistic",
    "layer_norm_gru",
    "layer_norm_lstm",
    "layer_norm_srn",
    "lstm",
    "narx",
    "nary_tree_gru",
    "nary_tree_lstm",
    "no_forget_lstm",
    "peephole_lstm",
    "projected_lstm",
    "recnn",
    "recnn_logistic",
    "residual",
    "rntn",
    "second_order",
    "series",
    "srn",
    "stack",
    "tdnn",
    "textbook_gru",
    "tree_gru",
]

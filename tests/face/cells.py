"""The cells: with which arguments each is made, and on what it runs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import GATConv, SAGEConv

import graphrec as gr
from tests import strategies
from tests.face.entry import (
    Entry,
    activation,
    biases,
    cell,
    cell_on,
    forget_bias,
    given,
    is_module,
    share,
    small,
    truth,
    width,
)

WIDTHS: dict[str, Any] = {"inputs": width, "hidden": width}
CHAINS = strategies.chains()
EDGES = st.none() | st.integers(1, 3) | st.just([2, None])
ATTENTION: dict[str, Any] = {
    "inputs": width,
    "hidden": st.sampled_from([2, 4]),
    "heads": st.sampled_from([1, 2]),
    "average": truth,
    "slope": share,
    "dropout": share,
    "edges": st.none() | small,
    "residual": truth,
    "self_loops": truth,
}
PLAIN = {
    name: cell(**WIDTHS)
    for name in ("ChildSumTreeLSTMCell", "DVAECell", "LayerNormGRUCell", "TextbookGRUCell", "TreeGRUCell")
}


def layered(arity: int | None) -> st.SearchStrategy[gr.Structure]:
    """Upper layers have a slot for the one below: only grids, whose kinds are layers."""
    return st.builds(gr.grid, st.lists(st.integers(0, 3), max_size=3), st.just(2))


def lagged(arity: int | None) -> st.SearchStrategy[gr.Structure]:
    return st.builds(gr.lagged, st.lists(st.integers(0, 4), max_size=3), st.just(arity or 2))


def _made(**arguments: Any) -> Entry:
    """A cell that runs only within a model, of which the models' table speaks."""
    return Entry(given(**arguments), is_module)


CELLS: dict[str, Entry] = {
    **PLAIN,
    "ARCell": cell_on(lagged, outputs=width, lags=small),
    "ConvCell": cell(
        conv=st.builds(SAGEConv, st.just(2), st.just(2))
        | st.builds(lambda: GATConv(2, 2, add_self_loops=False))
    ),
    "CoupledLSTMCell": cell(**WIDTHS, forget_bias=forget_bias, biases=biases),
    "DAGNNCell": cell(**WIDTHS, edges=EDGES),
    "DAGRNNCell": cell(**WIDTHS, activation=activation),
    "DCRNNCell": _made(**WIDTHS, k=small),
    "DiagonalSRNCell": cell(**WIDTHS, activation=activation),
    "DVAECell": cell(**WIDTHS, edges=EDGES),
    "ElementwiseLSTMCell": cell(**WIDTHS, forget_bias=forget_bias),
    "EmittingCell": _made(
        cell=st.builds(gr.GRUCell, st.just(3), st.just(2)),
        embed=st.builds(nn.Embedding, st.just(4), st.just(3)),
        output=st.builds(nn.Linear, st.just(2), st.just(4)),
    ),
    "GATCell": cell(**ATTENTION),
    "GATv2Cell": cell(**ATTENTION),
    "GCNCell": cell(**WIDTHS, weighted=truth, normalize=truth),
    "GConvGRUCell": _made(**WIDTHS, k=small),
    "GConvLSTMCell": _made(**WIDTHS, k=small),
    "GGNNCell": cell(inputs=st.just(2), hidden=st.integers(2, 4), relations=small),
    "GINCell": cell(**WIDTHS, eps=st.floats(-1, 1), train_eps=truth),
    "GridCell": cell_on(layered, cells=st.builds(lambda: [gr.LSTMCell(2, 3), gr.LSTMCell(3, 3)])),
    "GRUCell": cell(**WIDTHS, biases=biases),
    "JordanCell": cell(**WIDTHS, outputs=width, activation=activation, output=activation),
    "LayerNormLSTMCell": cell(**WIDTHS, forget_bias=forget_bias),
    "LayerNormSRNCell": cell(**WIDTHS, activation=activation),
    "LeakySRNCell": cell(
        **WIDTHS, alpha=st.sampled_from([0.25, 0.5, 1.0]), activation=activation, biases=biases
    ),
    "LRUCell": cell(
        inputs=width,
        hidden=st.sampled_from([2, 4]),
        radii=st.sampled_from([(0.0, 1.0), (0.5, 0.9)]),
        phase=st.sampled_from([0.1, 3.0]),
    ),
    "LSTMCell": cell(**WIDTHS, forget_bias=forget_bias, biases=biases),
    "MinGRUCell": cell(**WIDTHS, activation=activation),
    "MinLSTMCell": cell(**WIDTHS, activation=activation),
    "MPNNCell": cell(inputs=st.just(2), hidden=st.integers(2, 4), edges=small),
    "NARXCell": cell_on(
        lambda _: strategies.nothing(),
        **WIDTHS,
        outputs=width,
        input_lags=st.integers(0, 2),
        output_lags=small,
        activation=activation,
    ),
    "NaryTreeGRUCell": cell(**WIDTHS, arity=small),
    "NaryTreeLSTMCell": cell(**WIDTHS, arity=small),
    "NoForgetLSTMCell": cell(**WIDTHS, biases=biases),
    "PeepholeLSTMCell": cell(**WIDTHS, forget_bias=forget_bias, biases=biases),
    "PerKind": cell_on(lambda _: CHAINS, cells=st.builds(lambda: [gr.SRNCell(2, 3), gr.RecNNCell(2, 3)])),
    "PLSTMCell": cell(heads=small, keys=small, values=small, arity=st.none() | small),
    "ProjectedLSTMCell": cell(inputs=width, hidden=st.integers(2, 4), projection=st.just(1), biases=biases),
    "RecNNCell": cell(**WIDTHS, arity=small, activation=activation),
    "ResidualCell": cell(cell=st.builds(gr.TreeGRUCell, st.just(3), st.just(3))),
    "RNTNCell": cell(**WIDTHS, activation=activation),
    "SAGECell": cell(
        **WIDTHS,
        aggr=st.sampled_from(["mean", "max", "sum", ["mean", "max"]]),
        project=truth,
        normalize=truth,
        root_weight=truth,
    ),
    "SecondOrderCell": cell(**WIDTHS, activation=activation),
    "SeriesCell": cell_on(lambda _: CHAINS, cells=st.builds(lambda: [gr.SRNCell(2, 3), gr.LSTMCell(3, 4)])),
    "SRNCell": cell(**WIDTHS, activation=activation, biases=biases),
    "StepCell": cell(
        step=st.builds(nn.GRUCell, st.just(2), st.just(3)) | st.builds(nn.LSTMCell, st.just(2), st.just(3))
    ),
    "TDNNCell": cell(**WIDTHS, lags=small, activation=activation),
}

"""Widths that are none, cells in a model's place, and rows of other layouts: refused at once, with a word on how to
mend it; what numpy calls a whole number is one."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

import graphrec as gr
from tests.tolerances import assert_close

LSTM, CELL = gr.LSTM(3, 4), gr.LSTMCell(3, 4)

# Every constructor with a width or a count, with arguments that are right.
MADE = {
    **{
        name: {"inputs": 3, "hidden": 4}
        for name in gr.__all__
        if name.endswith("Cell")
        and name
        not in {
            *("Cell", "ARCell", "ConvCell", "EmittingCell", "GridCell", "JordanCell", "MPNNCell", "NARXCell"),
            *("PLSTMCell", "ResidualCell", "SeriesCell", "StepCell", "TDNNCell"),
        }
    },
    **{
        name: {"inputs": 3, "hidden": 4}
        for name in ("SRN", "LSTM", "GRU", "RecNN", "RNTN", "TreeLSTM", "TreeGRU")
    },
    "ARCell": {"outputs": 2, "lags": 2},
    "JordanCell": {"inputs": 3, "hidden": 4, "outputs": 2},
    "MPNNCell": {"inputs": 3, "hidden": 4, "edges": 2},
    "NARXCell": {"inputs": 3, "hidden": 4, "outputs": 2, "input_lags": 1, "output_lags": 2},
    "PLSTMCell": {"heads": 2, "keys": 3, "values": 2, "arity": 2},
    "PLSTM": {"inputs": 3, "hidden": 4, "heads": 2, "keys": 3, "arity": 2, "edges": 2},
    "TDNNCell": {"inputs": 3, "hidden": 4, "lags": 2},
    "TDNN": {"inputs": 3, "hidden": 4, "window": 2},
    "DAGNN": {"inputs": 3, "hidden": 4, "layers": 2},
    "PerRelation": {"edges": [2, None, 3], "outputs": 4},
    "SequenceToClass": {"model": LSTM, "hidden": 4, "classes": 2},
    "SequenceToLabels": {"model": LSTM, "hidden": 4, "labels": 2},
    "LanguageModel": {"tokens": 5, "embedding": 3, "model": LSTM, "hidden": 4, "end": 0},
}
MADE["ProjectedLSTMCell"] = {"inputs": 3, "hidden": 4, "projection": 2}
for over_time in ("GConvGRUCell", "GConvLSTMCell", "DCRNNCell", "GConvGRU", "GConvLSTM", "DCRNN"):
    MADE[over_time] = {"inputs": 3, "hidden": 4, "k": 2}
MADE["GGNNCell"] = {"inputs": 3, "hidden": 4, "relations": 2}
MADE["RecNNCell"] = MADE["NaryTreeLSTMCell"] = MADE["NaryTreeGRUCell"] = {
    "inputs": 3,
    "hidden": 4,
    "arity": 2,
}
FOUND_LATER = {
    "GCNCell",
    "SAGECell",
    "GINCell",
    "GATCell",
    "GATv2Cell",
    "GGNNCell",
    "MPNNCell",
}  # where -1 is a width to be found
OF_ZERO = {"inputs", "edges", "input_lags", "end"}  # what may be 0
COUNTS = [
    (name, key) for name, arguments in MADE.items() for key, value in arguments.items() if type(value) is int
]


@pytest.mark.parametrize(("name", "key"), COUNTS)
def test_widths_and_counts(name, key):
    make, right = getattr(gr, name), MADE[name]
    make(**{**right, key: np.int64(right[key])})
    lowest = -2 if key == "inputs" and name in FOUND_LATER else -1
    for wrong, error in (
        (lowest, ValueError),
        (0, ValueError),
        (2.5, TypeError),
        ("3", TypeError),
        (True, TypeError),
    ):
        if wrong == 0 and key in OF_ZERO:
            continue
        with pytest.raises(
            error, match=rf"(?i)\b{key}.* (must|takes|widths)|of width|tokens|{key}="
        ) as caught:
            make(**{**right, key: wrong})
        assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize(
    "edges",
    [[2, -1], {0: "a"}, {"net": 2}, [2.0], 3, "23"],
    ids=["below", "text", "name", "float", "one", "texts"],
)
def test_widths_by_relation(edges):
    with pytest.raises((ValueError, TypeError), match=r"edges.* (whole number|0 or more|a list of widths)"):
        gr.PerRelation(edges, 4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gr.Bidirectional(LSTM, CELL),
        lambda: gr.UpDown(CELL, LSTM),
        lambda: gr.Stacked([LSTM, CELL]),
        lambda: gr.Stacked(CELL),
        lambda: gr.Reversed(CELL),
        lambda: gr.Sequences(CELL),
        lambda: gr.SequenceToClass(CELL, 4, 2),
        lambda: gr.SequenceToLabels(CELL, 4, 2),
        lambda: gr.LanguageModel(5, 3, CELL, 4, 0),
        lambda: gr.Seq2Seq(CELL, CELL, 5, 5, 3, 0, 1),
    ],
)
def test_a_cell_in_a_models_place(make):
    with pytest.raises(TypeError, match=r"cell LSTMCell, which is one step .*graphrec\.Recursive\(cell\)"):
        make()


@pytest.mark.parametrize(
    "call", [lambda: CELL(torch.zeros(3, 3), gr.chain(3)), lambda: CELL(torch.zeros(3, 3))]
)
def test_a_cell_called_as_a_model(call):
    with pytest.raises(
        TypeError, match=r"LSTMCell is a cell, one step .*\(x, inbox, own\): graphrec\.Recursive"
    ):
        call()


@pytest.mark.parametrize("model", [LSTM, gr.GNN([gr.SAGECell(3, 4)]), gr.Levelwise(SAGEConv(3, 3))])
class TestRows:
    def assert_refused(self, model, x, s, error, message):
        for source in (s, s.edge_index, Data(edge_index=s.edge_index, num_nodes=s.num_nodes)):
            with pytest.raises(error, match=message):
                model(x, source)

    def test_of_another_layout(self, model):
        s, x = gr.chain(4), torch.zeros(4, 3)
        self.assert_refused(
            model, x.to_sparse(), s, TypeError, r"x must be a dense tensor, got torch.sparse_coo: .*to_dense"
        )
        nested = torch.nested.nested_tensor([x, x[:2]], layout=torch.jagged)
        self.assert_refused(model, nested, s, TypeError, r"nested tensor: graphrec.from_list\(x.unbind\(\)\)")
        with pytest.warns(UserWarning, match="MaskedTensors is in prototype"):
            masked = torch.masked.masked_tensor(x, x == 0)
        self.assert_refused(model, masked, s, TypeError, r"masked tensor: .*x.to_tensor")

    def test_of_several_signals_over_one_structure(self, model):
        s, x = gr.chain(4), torch.zeros(2, 4, 3)
        message = r"expected .*, got shape \[2, 4, 3\]: 2 times .*graphrec.batch\(\[s\] \* 2\)"
        self.assert_refused(model, x, s, ValueError, message)

    def test_that_are_padded(self, model):
        with pytest.raises(ValueError, match=r"graphrec.Sequences\(model\) takes padded sequences"):
            model(torch.zeros(2, 5, 3), gr.chain(4))

    def test_of_a_subclass(self, model):
        class Rows(torch.Tensor):
            pass

        s, x = gr.chain(4), torch.randn(4, 3)
        assert_close(model(x.as_subclass(Rows), s).as_subclass(torch.Tensor), model(x, s))
        assert_close(model(nn.Parameter(x), s), model(x, s))


def test_an_initial_state_of_another_layout():
    with pytest.raises(TypeError, match="initial h must be a dense tensor"):
        gr.SRN(3, 4)(torch.zeros(2, 3), gr.chain(2), initial=torch.zeros(1, 4).to_sparse())


def test_a_model_without_states():
    with pytest.raises(ValueError, match="GNN has no states, and so takes no initial ones"):
        gr.GNN([gr.SAGECell(3, 4)])(torch.zeros(2, 3), gr.chain(2), initial=torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("aggr", "kind", "said"),
    [
        (torch.ones(2), TypeError, "its name, got Tensor"),
        (np.ones((2, 2)), TypeError, "its name, got ndarray"),
        (["mean", []], ValueError, "got an empty list"),
        ([], ValueError, "got an empty list"),
    ],
)
def test_what_is_no_aggregation(aggr, kind, said):
    with pytest.raises(kind, match=said):
        gr.SAGECell(3, 4, aggr=aggr)

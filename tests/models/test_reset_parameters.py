"""Weights drawn anew are those of a new model under the same seed, as every layer of torch and PyG has it."""

import copy

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import graphrec as gr
from tests.zoo import CELLS, GRAPH_CELLS

D, H = 3, 4


class Scaled(gr.Cell):
    """A user's cell with a weight of its own."""

    State = gr.SRNCell.State

    def __init__(self):
        super().__init__(D, D)
        self.scale = nn.Parameter(torch.rand(D))

    def forward(self, x, inbox, own):
        return self.State(self.scale * x + inbox.sum(inbox.h))


class ScaledAnew(Scaled):
    """The same, as modules of torch do it."""

    def reset_parameters(self):
        super().reset_parameters()
        nn.init.uniform_(self.scale)


class ScaledToBeginWith(Scaled):
    """The same, as graphrec's own cells do it."""

    def init_parameters(self):
        nn.init.uniform_(self.scale)


MODELS = {
    "GNN": lambda: gr.GNN(
        [gr.GCNCell(D, H), gr.GATv2Cell(H, H), gr.GINCell(H, H, train_eps=True, eps=0.5)],
        between=nn.Sequential(nn.BatchNorm1d(H), nn.ReLU()),
        jump="cat",
    ),
    "DAGNN": lambda: gr.DAGNN(D, H, edges=2),
    "SRN": lambda: gr.SRN(D, H),
    "LSTM": lambda: gr.LSTM(D, H, forget_bias=1.0),
    "GRU": lambda: gr.GRU(D, H),
    "RecNN": lambda: gr.RecNN(D, H),
    "RNTN": lambda: gr.RNTN(D, H),
    "TreeLSTM": lambda: gr.TreeLSTM(D, H),
    "TreeGRU": lambda: gr.TreeGRU(D, H),
    "PLSTM": lambda: gr.PLSTM(D, H, heads=2, arity=2, edges=3),
    "peepholes": lambda: gr.Recursive(gr.PeepholeLSTMCell(D, H, forget_bias=2.0)),
    "CIFG": lambda: gr.Recursive(gr.CoupledLSTMCell(D, H, forget_bias=2.0)),
    "normalised": lambda: gr.Recursive(gr.LayerNormLSTMCell(D, H, forget_bias=1.0)),
    "a step of torch": lambda: gr.Recursive(gr.StepCell(nn.GRUCell(D, H))),
    "kinds": lambda: gr.Recursive(gr.PerKind([gr.SRNCell(D, H), gr.RecNNCell(D, H)])),
    "Bidirectional": lambda: gr.Bidirectional(gr.GRU(D, H), gr.GRU(D, H)),
    "UpDown": lambda: gr.UpDown(gr.TreeGRU(D, H), gr.TreeGRU(D + H, H)),
    "Stacked": lambda: gr.Stacked([gr.LSTM(D, H), nn.Linear(H, H), gr.LSTM(H, H)]),
    "VariationalDropout": lambda: gr.VariationalDropout(gr.LSTMCell(D, H), 0.5, 0.5),
    "TDNN": lambda: gr.TDNN(D, H, window=3),
    "NARX": lambda: gr.NARX(D, H, outputs=2, input_lags=1, output_lags=2),
    "AR": lambda: gr.AR(2, lags=3),
    "LanguageModel": lambda: gr.LanguageModel(7, D, gr.LSTM(D, H), H, end=0),
    "Seq2Seq": lambda: gr.Seq2Seq(gr.GRU(D, H), gr.GRUCell(D, H), 7, 8, D, start=0, end=1),
    "SequenceToClass": lambda: gr.SequenceToClass(gr.GRU(D, H), H, 2),
    "SequenceToLabels": lambda: gr.SequenceToLabels(gr.GRU(D, H), H, 2),
    "Sequences": lambda: gr.Sequences(gr.GRU(D, H)),
    "gated readout": lambda: gr.readout.Gated(H, D),
    "attentive readout": lambda: gr.readout.Attention(H),
    "a cell of a user's": ScaledAnew,
    "and another": ScaledToBeginWith,
    **{case.name: (lambda make=case.make: make(D, H)) for case in CELLS + GRAPH_CELLS},
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_weights_drawn_anew_are_those_of_a_new_model(make):
    torch.manual_seed(3)
    expected = make().state_dict()
    model = make()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    before = list(model.parameters())
    torch.manual_seed(3)
    model.reset_parameters()
    assert list(model.state_dict()) == list(expected)
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert all(one is other for one, other in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (gr.Levelwise(pyg.GATConv(D, D)), "cell.conv.att_src"),
        (gr.GNN([gr.SAGECell(D, D)] * 2, jump="lstm"), "jump.lstm.weight_hh_l0"),
    ],
    ids=["layers", "jumps"],
)
def test_parts_of_pyg_are_drawn_anew(model, name):
    """PyG's constructors draw twice, so that they are no others under the same seed than a second time."""
    weight = dict(model.named_parameters())[name]
    torch.manual_seed(3)
    model.reset_parameters()
    first = weight.clone()
    model.reset_parameters()
    assert not torch.equal(weight, first)
    torch.manual_seed(3)
    model.reset_parameters()
    assert torch.equal(weight, first)


def test_inside_pygs_sequential():
    model = pyg.Sequential("x, edge_index", [(gr.GNN([gr.GCNCell(D, H)]), "x, edge_index -> x")])
    before = copy.deepcopy(model.state_dict())
    model.reset_parameters()
    assert not torch.equal(before["module_0.cells.0.lin.weight"], model.module_0.cells[0].lin.weight)


def test_what_rounds_share_is_drawn_once():
    shared = nn.GRUCell(H, H)
    cells = [gr.GGNNCell(H, H) for _ in range(2)]
    for cell in cells:
        cell.rnn = shared
    model = gr.GNN([*cells, *cells])
    drawn = []
    for module in {shared, *cells}:
        draw = "reset_parameters" if module is shared else "init_parameters"
        setattr(module, draw, lambda module=module: drawn.append(module))
    model.reset_parameters()
    assert len(drawn) == 3
    assert set(drawn) == {shared, *cells}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            gr.GINCell(D, D, nn.Sequential(nn.MultiheadAttention(D, 1))),
            r"cells.1.nn.0 \(MultiheadAttention\) has weights",
        ),
        (Scaled(), r"cells.1 \(Scaled\) has weights \(scale\) and no reset_parameters\(\)"),
        (
            gr.GINCell(D, D, nn.Sequential(weight_norm(nn.Linear(D, D)))),
            r"cells.1.nn.0 .* computed from others",
        ),
    ],
)
def test_a_part_that_cannot_be_reset_is_named_before_any_work(part, message):
    first = gr.GINCell(D, D)
    model = gr.GNN([first])
    model.cells.append(part)
    before = copy.deepcopy(first.state_dict())
    with pytest.raises(TypeError, match=message):
        model.reset_parameters()
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())


def test_a_cell_by_itself_says_that_it_cannot():
    with pytest.raises(TypeError, match=r"Scaled\) has weights \(scale\)"):
        Scaled().reset_parameters()

"""How models are called: as PyG's layers, by keyword too; and what else is given in place of rows and a structure."""

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch_geometric.data import Data, HeteroData

import graphrec as gr
from tests.tolerances import assert_close

D, H = 3, 4
EDGES = torch.tensor([[0, 1, 2, 0], [1, 2, 3, 3]])


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(4, D)


def test_by_keyword(x):
    model = gr.GNN([gr.SAGECell(D, H)])
    expected = model(x, EDGES)
    assert_close(model(x=x, edge_index=EDGES), expected)
    assert_close(model(x, edge_index=EDGES), expected)
    assert_close(model(edge_index=EDGES, x=x), expected)
    assert_close(model(x=x, s=gr.dag(EDGES, 4)), expected)
    assert_close(model(x, edge_index=Data(x, EDGES)), expected)


def test_weights_and_features_by_keyword_and_by_place(x):
    weight, features = torch.rand(4), torch.randn(4, 2)
    conv, cell = pyg.GCNConv(D, H), gr.GCNCell(D, H)
    cell.load_state_dict(conv.state_dict())
    model = gr.GNN([cell])
    expected = conv(x, EDGES, weight)
    for found in (
        model(x, EDGES, weight),
        model(x, EDGES, edge_weight=weight),
        model(x=x, edge_index=EDGES, edge_weight=weight),
    ):
        assert_close(found, expected)
    message = gr.Recursive(gr.DVAECell(D, H, edges=2))
    assert_close(message(x=x, edge_index=EDGES, edge_attr=features), message(x, EDGES, features))


def test_inside_pygs_sequential_with_weights(x):
    weight = torch.rand(4)
    model = pyg.Sequential(
        "x, edge_index, edge_weight",
        [
            (gr.GNN([gr.GCNCell(D, H)]), "x, edge_index, edge_weight -> x"),
            nn.ReLU(),
            (gr.GNN([gr.SAGECell(H, H)]), "x, edge_index -> x"),
        ],
    )
    first, last = model.module_0, model.module_2
    expected = last(torch.relu(first(x, gr.dag(EDGES, 4, edge_weight=weight))), EDGES)
    assert_close(model(x, EDGES, weight), expected)
    assert_close(model(x=x, edge_index=EDGES, edge_weight=weight), expected)


def test_states_by_place_and_by_keyword(x):
    model, initial = gr.GRU(D, H), torch.randn(1, H)
    assert_close(model(x, gr.chain(4), None, initial), model(x=x, s=gr.chain(4), initial=initial))


HETERO = HeteroData()
HETERO["node"].x = torch.zeros(2, D)

REFUSED = {
    "both": (lambda m, x: m(x, EDGES, edge_index=EDGES), "s and edge_index are two names .* give it once"),
    "neither": (lambda m, x: m(x), "GRU was called without a structure: model"),
    "rows alone by keyword": (lambda m, x: m(x=x, edge_attr=None), "called without a structure"),
    "a padded batch": (
        lambda m, x: m(torch.zeros(2, 5, D)),
        r"got a tensor of shape \(2, 5, 3\) alone: graphrec.Sequences\(model\) is called as torch's layers",
    ),
    "a packed batch": (lambda m, x: m(pack_sequence([x])), r"got PackedSequence alone: graphrec.Sequences"),
    "a list": (lambda m, x: m([x, x]), r"got list alone: graphrec.Sequences"),
    "a structure first": (
        lambda m, x: m(gr.chain(4), x),
        "rows come first, .* GRU got Structure and Tensor, the other way round",
    ),
    "data first": (lambda m, x: m(Data(x, EDGES), x), "got Data and Tensor, the other way round"),
    "edges first": (lambda m, x: m(EDGES, x), "got Tensor and Tensor, the other way round"),
    "data alone": (lambda m, x: m(Data(x, EDGES)), "takes rows and what they belong to, .* got Data alone"),
    "hetero data alone": (lambda m, x: m(HETERO), "got HeteroData alone"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(call, message, x):
    with pytest.raises(TypeError, match=message):
        call(gr.GRU(D, H), x)

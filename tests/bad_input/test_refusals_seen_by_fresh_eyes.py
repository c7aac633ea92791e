"""What people who did not write the library gave it, and what it said: each is refused with what is wrong."""

import networkx as nx
import pytest
import torch
from torch import nn
from torch_geometric.data import HeteroData
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import GATConv

import graphrec as gr
from tests.tolerances import assert_close

EDGES = torch.tensor([[0, 1, 2], [1, 2, 3]])
X = torch.randn(4, 4)


def hetero(**more):
    data = HeteroData({"a": {"num_nodes": 3}, "b": {"num_nodes": 2}})
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1], [0, 1]])
    for name, index in more.items():
        data["a", name, "b"].edge_index = index
    return data


MODEL = gr.Recursive(gr.DAGRNNCell(3, 4))
STATE = gr.LSTMCell(4, 4).State(torch.zeros(1, 4), torch.zeros(1, 4))
REFUSED = {
    "attention that reads no features": (
        lambda: gr.attention_weights(gr.GATCell(4, 4), X, EDGES, torch.ones(3, 2)),
        ValueError,
        "does not read edge_attr",
    ),
    "attention that reads no weights": (
        lambda: gr.attention_weights(
            gr.GATCell(4, 4), X, torch.sparse_coo_tensor(EDGES.flip(0), torch.rand(3), (4, 4))
        ),
        ValueError,
        "does not read edge_weight",
    ),
    "what does not show h, added to": (
        lambda: gr.ResidualCell(gr.GCNCell(4, 4)),
        ValueError,
        "nodes of GCNCell send others only z",
    ),
    "the state of one model for two": (
        lambda: gr.Stacked([gr.LSTM(4, 4), gr.LSTM(4, 4)])(X, gr.chain(4), initial=STATE),
        ValueError,
        "a list of 2 initial states, .* got the fields of one",
    ),
    "another number of rows of a type": (
        lambda: MODEL({"a": torch.randn(2, 3), "b": torch.randn(2, 3)}, hetero()),
        ValueError,
        "expected 3 for node type 'a', got shape .2, 3.",
    ),
    "rows that are no tensor": (
        lambda: MODEL({"a": [1, 2], "b": 3}, hetero()),
        TypeError,
        "a tensor of rows for each node type, got",
    ),
    "rows of no node types": (lambda: MODEL({}, HeteroData()), ValueError, "with node types, got none"),
    "an edge to a type that is not there": (
        lambda: gr.from_pyg(odd_end()),
        ValueError,
        "joins node types that are not all there",
    ),
    "names that are no list": (
        lambda: gr.from_networkx(nx.DiGraph(kind_names='{"a": 1}')),
        ValueError,
        "the graph's kind_names must be a list of names",
    ),
    "features of another dtype": (
        lambda: gr.GNN([gr.GATCell(4, 4, edges=2)])(X, EDGES, torch.ones(3, 2, dtype=torch.long)),
        TypeError,
        r"edge_attr is torch.int64, but the cell's parameters are torch.float32: .* edge_attr\.to\(",
    ),
}


def odd_end():
    data = hetero()
    data["a", "to", "c"].edge_index = torch.tensor([[0], [0]])
    return data


@pytest.mark.filterwarnings("ignore:Sparse :UserWarning")
@pytest.mark.parametrize(("attempt", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()


def test_hetero_data_of_nothing():
    s = gr.from_pyg(HeteroData())
    assert (s.num_nodes, s.num_edges) == (0, 0)


def test_types_without_edges_need_no_weights():
    data = hetero(none=torch.zeros(2, 0, dtype=torch.long))
    data["a", "to", "b"].edge_weight = torch.tensor([1.0, 2.0])
    assert gr.from_pyg(data).edge_weight.tolist() == [1.0, 2.0]


def test_a_mask_that_an_explainer_left_is_no_weight():
    model, mask = gr.GNN([gr.GCNCell(4, 4)]), nn.Parameter(torch.full((3,), 0.5))
    before = model.cells[0].lin.weight.clone()
    set_masks(model, mask, EDGES)
    model.reset_parameters()
    assert not torch.equal(model.cells[0].lin.weight, before)
    assert mask.tolist() == [0.5] * 3
    clear_masks(model)


def test_a_residual_is_left_out_where_targets_have_no_rows():
    conv = GATConv((4, 4), 4, residual=True, add_self_loops=False)
    cell = gr.GATCell((4, 4), 4, residual=True, self_loops=False)
    cell.load_state_dict(conv.state_dict())
    assert_close(gr.GNN([cell])((X, None), EDGES), conv((X, None), EDGES))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            gr.GRU(2, 3),
            r"got GRU, which is a model of one: call it, model\(x, s\), or give its cell, model.cell",
        ),
        (gr.GRUCell, "got the class GRUCell: make one of it"),
        (torch.nn.GRU, "got the class GRU\\."),
        (torch.nn.GRUCell(2, 3), "got GRUCell\\."),
    ],
)
def test_a_model_is_no_cell(given, message):
    for call in (gr.Recursive, lambda cell: gr.run(cell, gr.schedule(gr.chain(2)), torch.ones(2, 2))):
        with pytest.raises(TypeError, match=f"expected a graphrec.Cell, {message}"):
            call(given)


def test_padded_sequences_and_their_lengths_are_no_structure():
    with pytest.raises(
        TypeError, match=r"and lengths: graphrec.Sequences\(model\) .*from_padded\(x, lengths\) makes"
    ):
        gr.GRU(2, 3)(torch.ones(2, 4, 2), torch.tensor([4, 3]))

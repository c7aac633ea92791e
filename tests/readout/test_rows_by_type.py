"""What models over HeteroData return, rows by node types, is read out as the rows of all nodes are."""

import pytest
import torch
from torch_geometric.data import Batch, HeteroData
from torch_geometric.nn.aggr import Set2Set, SortAggregation

import graphrec as gr
from graphrec import readout
from tests.tolerances import assert_close

D, H = 3, 4


def member(papers, authors, seed):
    generator = torch.Generator().manual_seed(seed)
    data = HeteroData()
    data["paper"].x = torch.randn(papers, D, generator=generator)
    data["author"].x = torch.randn(authors, D, generator=generator)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, authors - 1], [0, papers - 1]])
    data["author", "knows", "author"].edge_index = torch.tensor([[0], [authors - 1]])
    return data


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return Batch.from_data_list([member(3, 2, 0), member(1, 4, 1)])


SCORE, SET2SET = torch.nn.Linear(H, 1), Set2Set(H, 2)
READOUTS = {
    "last": readout.last,
    "sum": readout.sum,
    "mean": readout.mean,
    "max": readout.max,
    "ends": readout.ends,
    "attention": lambda h, s: readout.attention(h, s, SCORE),
    "aggregate": lambda h, s: readout.aggregate(h, s, "std"),
    "set2set": lambda h, s: readout.aggregate(h, s, SET2SET),
    "sort": lambda h, s: readout.aggregate(h, s, SortAggregation(2)),
    "attentive": readout.Attention(H),
    "gated": readout.Gated(H),
}


@pytest.mark.parametrize("read", READOUTS.values(), ids=READOUTS)
def test_readouts(read, batch):
    model = gr.Recursive(gr.GGNNCell(D, H, relations=2), mode="sync", rounds=2)
    rows = model(batch.x_dict, batch)
    assert list(rows) == ["paper", "author"]
    found = read(rows, batch)
    assert_close(found, read(torch.cat(list(rows.values())), gr.from_pyg(batch)))
    assert_close(read(dict(reversed(rows.items())), batch), found)
    for number, alone in enumerate(batch.to_data_list()):
        assert_close(read(model(alone.x_dict, alone), alone)[0], found[number])


def test_the_root(batch):
    tree = member(1, 2, 0)
    tree["author", "writes", "paper"].edge_index = torch.tensor([[1], [0]])
    h = {"paper": torch.randn(1, H), "author": torch.randn(2, H)}
    assert_close(readout.root(h, tree), h["paper"])


def test_inputs_by_type(batch):
    module = readout.Gated(H, D)
    rows = {"paper": torch.randn(4, H), "author": torch.randn(6, H)}
    whole, x = (torch.cat(list(part.values())) for part in (rows, batch.x_dict))
    assert_close(module(rows, batch, batch.x_dict), module(whole, batch, x))


def test_weights_by_type(batch):
    rows = {"author": torch.randn(6, H), "paper": torch.randn(4, H)}
    module = readout.Attention(H)
    weights = module.weights(rows, batch)
    assert {name: tuple(part.shape) for name, part in weights.items()} == {"paper": (4, 1), "author": (6, 1)}
    whole = module.weights(torch.cat([rows["paper"], rows["author"]]), batch)
    assert_close(torch.cat([weights["paper"], weights["author"]]), whole)


def test_refusals(batch):
    rows = {"paper": torch.randn(4, H), "author": torch.randn(6, H)}
    with pytest.raises(TypeError, match="a dictionary of rows goes with PyG's HeteroData, got Structure"):
        readout.mean(rows, gr.from_pyg(batch))
    with pytest.raises(ValueError, match="rows for the node types paper, author, got paper"):
        readout.mean({"paper": rows["paper"]}, batch)
    with pytest.raises(ValueError, match=r"one width for all node types, got \(6, 3\)"):
        readout.max({**rows, "author": torch.randn(6, 3)}, batch)

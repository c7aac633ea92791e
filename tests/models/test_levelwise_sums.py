"""Layers of PyG that sum their sources' rows are given the inbox's sums, and nobody can tell."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

import graphrec as gr
from graphrec.cells.levelwise import _sums_rows
from tests.tolerances import assert_close

H = 4
LAYERS = {
    "Graph": lambda kind: kind(H, H),
    "Graph, mean": lambda kind: kind(H, H, aggr="mean"),
    "SAGE": lambda kind: kind(H, H),
    "SAGE, sum, projected, normalised": lambda kind: kind(H, H, aggr="sum", project=True, normalize=True),
    "SAGE, no root": lambda kind: kind(H, H, root_weight=False),
    "GIN": lambda kind: kind(nn.Sequential(nn.Linear(H, H), nn.Tanh()), eps=0.3, train_eps=True),
}
KINDS = {"Graph": pyg.GraphConv, "SAGE": pyg.SAGEConv, "GIN": pyg.GINConv}


def _pair(name: str) -> tuple[pyg.MessagePassing, pyg.MessagePassing]:
    """The layer, and the same one as a class of its own, which is nothing but a layer of PyG."""
    kind = KINDS[name.partition(",")[0]]
    conv = LAYERS[name](kind)
    other = LAYERS[name](type("Other", (kind,), {}))
    other.load_state_dict(conv.state_dict())
    return conv.double(), other.double()


def _dag(weighted: bool) -> gr.Structure:
    s = gr.dag([[0, 0, 1, 2, 0, 3, 3], [2, 3, 3, 4, 4, 4, 6]], 7)
    return s.replace(edge_weight=torch.linspace(0.5, 2, 7, dtype=torch.float64)) if weighted else s


@pytest.mark.parametrize("backend", [None, "loop"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_they_compute_the_same(name, weighted, backend):
    conv, other = _pair(name)
    assert _sums_rows(conv)
    assert not _sums_rows(other)
    x = torch.randn(7, H, dtype=torch.float64, requires_grad=True)
    found = []
    for layer in (conv, other):
        h = gr.Levelwise(layer, nn.Tanh())(x, _dag(weighted), backend=backend if layer is conv else None)
        inputs = [x, *layer.parameters()]
        found.append([h, *torch.autograd.grad(h.sin().sum(), inputs, materialize_grads=True)])
    for one, twin in zip(*found, strict=True):
        assert_close(one, twin)


def test_they_run_as_programs():
    model, x = gr.Levelwise(pyg.GraphConv(H, H)), torch.randn(7, H)
    assert_close(model(x, _dag(False), backend="torch_programs"), model(x, _dag(False), backend="loop"))


def test_who_observes_a_layer_sees_it_called():
    seen = []
    for observe in (
        "register_forward_hook",
        "register_propagate_forward_hook",
        "register_message_forward_hook",
    ):
        conv, _ = _pair("Graph")
        getattr(conv, observe)(lambda *given: seen.append(given[0]))
        gr.Levelwise(conv)(torch.randn(7, H, dtype=torch.float64), _dag(False))
        assert seen.pop() is conv
        seen.clear()


class Doubling(pyg.aggr.SumAggregation):
    def forward(self, x, *others, **more):
        return 2 * super().forward(x, *others, **more)


@pytest.mark.parametrize(
    "change",
    ["max", "decomposed", "explained", "own message", "replaced", "replaced by a subclass", "observed"],
)
def test_others_are_called_as_they_are(change):
    conv = pyg.GraphConv(H, H, aggr="max" if change == "max" else "add")
    if change == "decomposed":
        conv = pyg.GraphConv(H, H, decomposed_layers=2)
    if change == "explained":
        conv.explain = True
    if change == "own message":
        conv.message = lambda x_j: 2 * x_j
    if change == "replaced":
        conv.aggr_module = pyg.aggr.MaxAggregation()
    if change == "replaced by a subclass":
        conv.aggr_module = Doubling()
    if change == "observed":
        conv.aggr_module.register_forward_hook(lambda *given: None)
    assert not _sums_rows(conv)


def test_the_module_that_aggregates_counts_and_not_its_name():
    conv, x = pyg.GraphConv(H, H, aggr="add").double(), torch.randn(7, H, dtype=torch.float64)
    conv.aggr_module = pyg.aggr.MeanAggregation()
    mean = pyg.GraphConv(H, H, aggr="mean").double()
    mean.load_state_dict(conv.state_dict())
    s = _dag(False)
    assert_close(gr.Levelwise(conv)(x, s), gr.Levelwise(mean)(x, s))

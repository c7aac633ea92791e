"""A graph's row is what PyG's aggregation makes of its nodes alone, whatever else is in the batch."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import aggr

import graphrec as gr
from tests.counting import Count
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients

H = 4
BATCHES = {
    "chains": gr.chains([3, 1, 4, 3]),
    "graphs without nodes": gr.chains([0, 0, 3, 1, 0, 5, 2, 0]),
    "one graph": gr.chain(4),
    "one node": gr.chain(1),
    "step by step": gr.chains([4, 1, 0, 3, 3], batch_first=False),
    "nodes in no order": gr.Structure(
        9,
        torch.zeros(2, 0, dtype=torch.long),
        torch.zeros(0, dtype=torch.long),
        graph=torch.tensor([4, 1, 4, 0, 2, 1, 4, 4, 0]),
        num_graphs=6,
    ),
}
AGGREGATIONS = {
    "Sum": aggr.SumAggregation,
    "Mean": aggr.MeanAggregation,
    "Max": aggr.MaxAggregation,
    "Min": aggr.MinAggregation,
    "Mul": aggr.MulAggregation,
    "Var": aggr.VarAggregation,
    "Std": aggr.StdAggregation,
    "Softmax": lambda: aggr.SoftmaxAggregation(learn=True),
    "PowerMean": aggr.PowerMeanAggregation,
    "Median": aggr.MedianAggregation,
    "Quantile": lambda: aggr.QuantileAggregation([0.2, 0.6]),
    "LSTM": lambda: aggr.LSTMAggregation(H, 3),
    "LSTM, both directions": lambda: aggr.LSTMAggregation(H, 3, num_layers=2, bidirectional=True),
    "GRU": lambda: aggr.GRUAggregation(H, 3),
    "Set2Set": lambda: aggr.Set2Set(H, processing_steps=3),
    "DegreeScaler": lambda: aggr.DegreeScalerAggregation(
        ["mean", "std"], ["amplification", "linear"], torch.tensor([0, 1, 2, 3])
    ),
    "DegreeScaler of an LSTM": lambda: aggr.DegreeScalerAggregation(
        aggr.LSTMAggregation(H, 3), ["attenuation"], torch.tensor([0, 1, 2, 3])
    ),
    "Sort": lambda: aggr.SortAggregation(3),
    "GraphMultisetTransformer": lambda: aggr.GraphMultisetTransformer(H, k=2, heads=2, layer_norm=True),
    "Attentional": lambda: aggr.AttentionalAggregation(nn.Linear(H, 1), nn.Linear(H, 3)),
    "Equilibrium": lambda: aggr.EquilibriumAggregation(H, 3, [5], grad_iter=2),
    "MLP": lambda: aggr.MLPAggregation(H, 3, max_num_elements=5, num_layers=1),
    "DeepSets": lambda: aggr.DeepSetsAggregation(nn.Linear(H, 5), nn.Linear(5, 2)),
    "SetTransformer": lambda: aggr.SetTransformerAggregation(H, heads=2, num_encoder_blocks=1),
    "LCM": lambda: aggr.LCMAggregation(H, 3),
    "VariancePreserving": aggr.VariancePreservingAggregation,
    "PatchTransformer": lambda: aggr.PatchTransformerAggregation(H, 3, patch_size=2, hidden_channels=4),
    "Multi": lambda: aggr.MultiAggregation(["mean", "max", "median"]),
    "Multi with a GRU": lambda: aggr.MultiAggregation(["mean", aggr.GRUAggregation(H, 3)]),
}


class Widest(aggr.Aggregation):
    """An aggregation of a user's, which pads."""

    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        table, _ = self.to_dense_batch(x, index, ptr, dim_size, dim, fill_value=7.0)
        return table.flip(1).cumsum(1)[:, -1]


AGGREGATIONS["a user's"] = Widest

every_batch = pytest.mark.parametrize("s", BATCHES.values(), ids=BATCHES)
every_aggregation = pytest.mark.parametrize("name", AGGREGATIONS)


def test_all_that_pyg_has_are_here():
    named = {name.split()[0].rstrip(",") for name in AGGREGATIONS}
    exported = {name.removesuffix("Aggregation") for name in aggr.__all__ if name != "Aggregation"}
    assert exported <= named


def made(name):
    torch.manual_seed(0)
    return AGGREGATIONS[name]().double().eval()


def states(s):
    return torch.rand(s.num_nodes, H, dtype=torch.float64, requires_grad=True)  # positive, for the power mean


def alone(module, rows):
    """PyG's aggregation of a graph that is by itself."""
    return module(rows, index=torch.zeros(len(rows), dtype=torch.long), dim_size=1)[0]


@every_aggregation
@every_batch
def test_a_graphs_row_is_its_own(name, s):
    module, h = made(name), states(s)
    inputs = {"h": h, **dict(module.named_parameters())}
    actual = gr.readout.aggregate(h, s, module)
    rows = [h[s.graph == graph] for graph in range(s.num_graphs)]
    expected = torch.stack(
        [alone(module, own) if len(own) else actual.new_zeros(actual.shape[1:]) for own in rows]
    )
    assert_close(actual, expected.view_as(actual))
    assert_all_close(
        *(
            zeros_for_none(gradients((out.double(),), inputs), inputs)
            for out in (actual, expected.view_as(actual))
        )
    )


def zeros_for_none(grads, inputs):
    """A parameter that no graph needed has no gradient, or one of zero."""
    return {name: torch.zeros_like(inputs[name]) if grad is None else grad for name, grad in grads.items()}


@every_aggregation
@pytest.mark.parametrize("s", [gr.chains([0, 0]), gr.chains([])], ids=["empty graphs", "no graphs"])
def test_of_no_nodes_there_are_zeros(name, s):
    module, h = made(name), torch.zeros(0, H, dtype=torch.float64, requires_grad=True)
    rows = gr.readout.aggregate(h, s, module)
    width = gr.readout.aggregate(states(gr.chain(3)), gr.chain(3), module).shape[1:]
    assert rows.shape == (s.num_graphs, *width)
    assert not rows.any()
    rows.sum().backward()
    assert torch.equal(h.grad, torch.zeros_like(h))
    assert not any(p.grad.any() for p in module.parameters() if p.grad is not None)


def test_a_fill_value_is_what_an_empty_graph_gets():
    module = aggr.QuantileAggregation(0.5, fill_value=-1.0)
    s = gr.chains([0, 2, 0])
    rows = gr.readout.aggregate(torch.tensor([[1.0], [3.0]]), s, module)
    assert rows.tolist() == [[-1], [2], [-1]]


@pytest.mark.parametrize("name", ["GRU", "SetTransformer", "Sort", "LCM"])
def test_one_long_graph_does_not_make_the_others_long(name):
    """Elements written grow with the nodes, not with graphs times the longest."""

    def written(graphs):
        s = gr.chains([3 * graphs if name != "SetTransformer" else 30, *[2] * graphs])
        module, h = made(name), states(s)
        gr.readout.aggregate(h, s, module)  # the layout is made once
        with Count() as count:
            gr.readout.aggregate(h, s, module).sum().backward()
        return count.written / s.num_nodes

    assert written(200) < 1.2 * written(50)


@pytest.mark.parametrize("k", [1, 3, 10])
@every_batch
def test_sort_is_pygs(k, s):
    h = states(s)
    order = torch.argsort(s.graph, stable=True)
    expected = aggr.SortAggregation(k)(h[order], s.graph[order], dim_size=s.num_graphs)
    actual = gr.readout.aggregate(h, s, aggr.SortAggregation(k))
    assert_close(actual, expected)
    assert_all_close(gradients((actual,), {"h": h}), gradients((expected,), {"h": h}))


def test_sort_keeps_numbers_that_pyg_takes_for_padding():
    """PyG marks padding by the least number less 1, which to a large one is itself."""
    h = torch.tensor([[1e9], [2e9]])
    assert gr.readout.aggregate(h, gr.chain(2), aggr.SortAggregation(2)).tolist() == [[2e9, 1e9]]


def test_sort_says_what_it_takes():
    with pytest.raises(ValueError, match=r"h of shape \[N, H\] and a k of 1 or more, got \(3,\) and 2"):
        gr.readout.aggregate(torch.zeros(3), gr.chain(3), aggr.SortAggregation(2))
    with pytest.raises(ValueError, match=r"got \(3, 1\) and 0"):
        gr.readout.aggregate(torch.zeros(3, 1), gr.chain(3), aggr.SortAggregation(0))

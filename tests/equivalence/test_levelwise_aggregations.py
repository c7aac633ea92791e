"""Layers of PyG with aggregations that read sequences, sort, or attend: in order, levels without messages included."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import SAGEConv, aggr

import graphrec as gr
from tests.tolerances import assert_all_close, assert_close
from tests.trials import assert_is_plain, gradients
from tests.zoo import ACYCLIC

H = 4
# What PyG makes of no messages in a graph that has some.
OF_NONE = {
    "max": lambda: "max",
    "mul": lambda: "mul",
    "std": lambda: "std",
    "softmax": lambda: aggr.SoftmaxAggregation(learn=True),
    "powermean": lambda: aggr.PowerMeanAggregation(),
    "attentional": lambda: aggr.AttentionalAggregation(nn.Linear(H, 1)),
    "deep sets": lambda: aggr.DeepSetsAggregation(nn.Linear(H, H), nn.Linear(H, H)),
    "variance preserving": lambda: aggr.VariancePreservingAggregation(),
    "several": lambda: ["mean", "max", "std"],
}
# Zero is what these make of no messages.
ZERO_OF_NONE = {
    "lstm": lambda: "lstm",
    "LSTM, two layers": lambda: aggr.LSTMAggregation(H, H, num_layers=2),
    "GRU": lambda: aggr.GRUAggregation(H, H),
    "median": lambda: "median",
    "quantile": lambda: aggr.QuantileAggregation(0.3),
    "MLP": lambda: aggr.MLPAggregation(H, H, max_num_elements=20, num_layers=1),
    "set transformer": lambda: aggr.SetTransformerAggregation(H),
    "multiset transformer": lambda: aggr.GraphMultisetTransformer(H, k=2),
    "LCM": lambda: aggr.LCMAggregation(H, H),
    "patch transformer": lambda: aggr.PatchTransformerAggregation(H, H, patch_size=2, hidden_channels=H),
    "equilibrium": lambda: aggr.EquilibriumAggregation(H, H, [5], grad_iter=2),
    "several": lambda: ["mean", "median"],
}
ALL = {**OF_NONE, **{f"{name} (zero of none)": make for name, make in ZERO_OF_NONE.items()}}


def level_by_level(conv, x, s):
    """PyG's layer over the nodes of each level and the edges into them, sorted by target and slot."""
    h, level = x, gr.levels(s)
    for number in range(int(level.max()) + 1):
        nodes = (level == number).nonzero().flatten()
        into = torch.isin(s.target, nodes).nonzero().flatten()
        into = into[torch.argsort(s.slot[into], stable=True)]
        into = into[torch.argsort(s.target[into], stable=True)]
        place = torch.zeros(s.num_nodes, dtype=torch.long)
        place[nodes] = torch.arange(len(nodes))
        if len(into) or conv.of_none:
            new = conv((h, x[nodes]), torch.stack([s.source[into], place[s.target[into]]]))
        else:
            new = conv.lin_l(x.new_zeros(len(nodes), conv.lin_l.in_channels)) + conv.lin_r(x[nodes])
        h = h.index_copy(0, nodes, new)
    return h


@pytest.mark.parametrize("build", ACYCLIC)
@pytest.mark.parametrize("name", ALL)
def test_any_aggregation_in_order(name, build):
    torch.manual_seed(0)
    s = build(None).replace(edge_attr=None, relation=None)
    conv = SAGEConv(H, H, aggr=ALL[name]()).double().eval()
    conv.of_none = name in OF_NONE
    model = gr.Levelwise(conv).eval()
    x = torch.rand(s.num_nodes, H, dtype=torch.float64, requires_grad=True)
    inputs = {"x": x, **dict(conv.named_parameters())}
    ours, expected = model(x, s), level_by_level(conv, x, s)
    assert_close(ours, expected)
    assert_all_close(used(gradients((ours,), inputs)), used(gradients((expected,), inputs)))
    assert_is_plain(lambda: {"h": model(x, s), **used(gradients((model(x, s),), inputs))})


def used(grads):
    """A parameter that no node needed has no gradient, or one of zero."""
    return {name: grad for name, grad in grads.items() if grad is not None and grad.any()}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "mode", [{}, {"mode": "sync", "rounds": 2}, {"order": gr.colouring}], ids=["async", "rounds", "coloured"]
)
def test_no_messages_and_no_nodes(name, mode):
    conv = SAGEConv(H, H, aggr=ALL[name]()).eval()
    model = gr.Recursive(gr.ConvCell(conv), **mode).eval()
    x = torch.rand(3, H, requires_grad=True)
    rows = model(x, gr.dag([[], []], 3))
    if name not in OF_NONE:
        h = x
        for _ in range(mode.get("rounds", 1)):
            h = conv.lin_l(torch.zeros(3, conv.lin_l.in_channels)) + conv.lin_r(h)
        assert_close(rows, h)
    rows.sum().backward()
    assert model(x[:0], gr.chains([0, 0])).shape == (0, H)
    assert model(x[:0], gr.chains([])).shape == (0, H)


def test_the_layer_itself_stays_as_it_is():
    conv = SAGEConv(H, H, aggr="lstm")
    model = gr.Levelwise(conv)
    before = list(model.state_dict())
    model(torch.rand(3, H), gr.chain(3))
    assert isinstance(conv.aggr_module, aggr.LSTMAggregation)
    assert list(model.state_dict()) == before

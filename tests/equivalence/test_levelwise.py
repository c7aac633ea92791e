"""Any layer of PyG in dependency order is the loop over masks that its users write themselves."""

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

import graphrec as gr
from tests.counting import Count
from tests.tolerances import assert_all_close, assert_close
from tests.trials import assert_is_plain, gradients
from tests.zoo import ACYCLIC, dressed

H = 4

PLAIN = {
    "GCN": lambda: pyg.GCNConv(H, H),
    "SAGE": lambda: pyg.SAGEConv(H, H),
    "SAGE-max": lambda: pyg.SAGEConv(H, H, aggr="max"),
    "SAGE-lazy": lambda: pyg.SAGEConv(-1, H),
    "GIN": lambda: pyg.GINConv(nn.Sequential(nn.Linear(H, H), nn.Tanh()), train_eps=True),
    "GAT": lambda: pyg.GATConv(H, H // 2, heads=2),
    "GATv2": lambda: pyg.GATv2Conv(H, H, heads=2, concat=False),
    "GatedGraph": lambda: pyg.GatedGraphConv(H, num_layers=2),
    "Graph": lambda: pyg.GraphConv(H, H),
    "Transformer": lambda: pyg.TransformerConv(H, H // 2, heads=2, beta=True),
    "Tag": lambda: pyg.TAGConv(H, H, K=1),
    "ResGated": lambda: pyg.ResGatedGraphConv(H, H),
    "General": lambda: pyg.GeneralConv(H, H),
    "LEConv": lambda: pyg.LEConv(H, H),
}
WITH_EDGES = {
    "GINE": (lambda: pyg.GINEConv(nn.Linear(H, H), edge_dim=2), "edge_attr"),
    "NN": (lambda: pyg.NNConv(H, H, nn.Linear(2, H * H)), "edge_attr"),
    "GAT": (lambda: pyg.GATConv(H, H, edge_dim=2), "edge_attr"),
    "CG": (lambda: pyg.CGConv(H, dim=2), "edge_attr"),
    "Transformer": (lambda: pyg.TransformerConv(H, H, edge_dim=2), "edge_attr"),
    "GCN": (lambda: pyg.GCNConv(H, H), "edge_weight"),
    "Graph": (lambda: pyg.GraphConv(H, H), "edge_weight"),
    "RGCN": (lambda: pyg.RGCNConv(H, H, num_relations=3), "edge_type"),
    "RGAT": (lambda: pyg.RGATConv(H, H, num_relations=3), "edge_type"),
}


def over_masks(conv, x, s, told):
    """What PyG's users do: the whole graph, once for each level."""
    h, level = x, gr.levels(s)
    for number in range(int(level.max()) + 1):
        into = level[s.target] == number
        new = conv(h, s.edge_index[:, into], **{name: value[into] for name, value in told.items()})
        h = torch.where((level == number).unsqueeze(-1), new, h)
    return h


def assert_is_loop_over_masks(conv, s, told):
    torch.manual_seed(0)
    conv = conv.double()
    x = torch.randn(s.num_nodes, H, dtype=torch.float64, requires_grad=True)
    model = gr.Levelwise(conv)
    ours = model(x, s)
    expected = over_masks(conv, x, s, told)
    assert_close(ours, expected)
    inputs = {"x": x, **dict(conv.named_parameters())}
    inputs |= {name: value for name, value in told.items() if value.requires_grad}
    assert_all_close(gradients((ours,), inputs), gradients((expected,), inputs))
    assert_is_plain(lambda: {"h": model(x, s), **gradients((model(x, s),), inputs)})


@pytest.mark.parametrize("build", ACYCLIC)
@pytest.mark.parametrize("name", PLAIN)
def test_layers_without_edge_features(name, build):
    s = build(None).replace(edge_attr=None)
    assert_is_loop_over_masks(PLAIN[name](), s, {})


@pytest.mark.parametrize("build", ACYCLIC)
@pytest.mark.parametrize("name", WITH_EDGES)
def test_layers_with_edge_features(name, build):
    make, told_as = WITH_EDGES[name]
    s = dressed(build(None))
    generator = torch.Generator().manual_seed(1)
    if told_as == "edge_type":
        s = s.replace(edge_attr=None)
        told = {"edge_type": s.relation}
    else:
        width = (2,) if told_as == "edge_attr" else ()
        attr = torch.rand(s.num_edges, *width, dtype=torch.float64, generator=generator).requires_grad_()
        s = s.replace(edge_attr=attr)
        told = {told_as: attr}
    assert_is_loop_over_masks(make(), s, told)


@pytest.mark.parametrize("build", ACYCLIC)
def test_rows_go_through_a_module_when_they_leave_the_layer(build):
    class Squashed(pyg.SAGEConv):
        def forward(self, x, edge_index, size=None):
            return torch.tanh(super().forward(x, edge_index, size))

    s = build(None).replace(edge_attr=None)
    torch.manual_seed(0)
    conv, whole = pyg.SAGEConv(H, H), Squashed(H, H)
    whole.load_state_dict(conv.state_dict())
    x = torch.randn(s.num_nodes, H)
    assert_close(gr.Levelwise(conv, nn.Tanh())(x, s), over_masks(whole, x, s, {}))


def test_cost_is_linear_in_depth():
    """A caterpillar twice as long costs twice as much; a loop over masks, four times."""
    conv = pyg.SAGEConv(H, H)

    def written(length, run):
        spine = torch.arange(length)
        edges = torch.cat([torch.stack([spine[:-1], spine[1:]]), torch.stack([spine + length, spine])], dim=1)
        s = gr.dag(edges, 2 * length)
        gr.schedule(s)
        x = torch.randn(2 * length, H)
        run(x, s)  # for what is computed once
        with Count() as count:
            run(x, s)
        return count.written

    def ours(x, s):
        return gr.Levelwise(conv)(x.requires_grad_(), s).sum().backward()

    assert written(128, ours) < 2.2 * written(64, ours)
    assert written(128, lambda x, s: over_masks(conv, x, s, {})) > 3 * written(
        64, lambda x, s: over_masks(conv, x, s, {})
    )


def test_an_initial_state_may_come_with_the_first_run():
    s, conv = gr.dag([[0, 1], [1, 2]], 3), pyg.SAGEConv(H, H)
    x, initial = torch.randn(3, H), torch.randn(1, H)
    h = gr.Levelwise(conv)(x, s, initial=initial)
    used = gr.Levelwise(conv)
    used(x, s)
    assert_close(h, used(x, s, initial=initial))
    assert not torch.allclose(h, used(x, s))
    lazy = gr.Levelwise(pyg.SAGEConv(-1, H))
    assert lazy(x, s, initial=initial).shape == (3, H)


def test_a_convolution_without_a_width_is_no_part_of_another_cell():
    with pytest.raises(ValueError, match="is as wide as its input, which it learns in its first run"):
        gr.PerKind([gr.ConvCell(pyg.SAGEConv(H, H)), gr.GINCell(H, H)])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(H, H), TypeError, "expected a layer of torch_geometric.nn .*got Linear"),
        (lambda: pyg.GCNConv(H, H, cached=True), ValueError, r"cached=False"),
        (lambda: pyg.SAGEConv(H, H, flow="target_to_source"), ValueError, "graphrec.Reversed"),
        (lambda: pyg.PointTransformerConv(H, H), TypeError, "wants x, pos"),
    ],
)
def test_layers_that_cannot_be_run_in_order(make, error, message):
    with pytest.raises(error, match=message):
        gr.Levelwise(make())


@pytest.mark.parametrize(
    ("conv", "s", "message"),
    [
        (pyg.SAGEConv(H, H + 1), gr.chain(3), r"turns width 4 into \(5,\).*equal widths, heads counted"),
        (pyg.GATConv(H, H, heads=2), gr.chain(3), r"turns width 4 into \(8,\)"),
        (pyg.RGCNConv(H, H, 2), gr.chain(3), "RGCNConv needs relation"),
        (
            pyg.GCNConv(H, H),
            gr.chain(3).replace(edge_attr=torch.ones(2, 3)),
            r"one weight per edge, but edge_attr has shape \(2, 3\)",
        ),
        (pyg.SAGEConv(H, H), gr.dag([[0, 1], [1, 0]], 3), "there is a cycle: . → . → ."),
    ],
)
def test_structures_that_a_layer_cannot_run_over(conv, s, message):
    with pytest.raises(ValueError, match=message):
        gr.Levelwise(conv)(torch.randn(3, H), s)

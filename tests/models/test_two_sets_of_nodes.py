"""Layers from one set of nodes to another, in PyG's HeteroConv and to_hetero; and widths that the first run finds."""

import copy
import warnings

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch.nn.parameter import is_lazy
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_hetero_masks, set_masks

import graphrec as gr
from tests.tolerances import assert_close
from tests.trials import plain_operators

S, N, D, E, H = 6, 4, 5, 3, 4
EDGES = torch.tensor([[0, 0, 1, 2, 5, 5, 3, 3, 4], [0, 1, 1, 1, 0, 2, 2, 2, 1]])  # nobody sends to target 3

NETWORKS = [nn.Sequential(nn.Linear(D, H), nn.Tanh()) for _ in range(2)]
LAYERS = {
    "SAGE": (lambda d: pyg.SAGEConv(d, H), lambda d: gr.SAGECell(d, H)),
    "GAT": (
        lambda d: pyg.GATConv(d, 2, heads=2, add_self_loops=False),
        lambda d: gr.GATCell(d, H, heads=2),
    ),
    "GATv2": (
        lambda d: pyg.GATv2Conv(d, 2, heads=2, add_self_loops=False),
        lambda d: gr.GATv2Cell(d, H, heads=2),
    ),
    "GIN": (
        lambda d: pyg.GINConv(NETWORKS[0], train_eps=True, eps=0.3),
        lambda d: gr.GINCell(D, H, NETWORKS[1], train_eps=True),
    ),
}


def same_weights(name, widths):
    conv, cell = (make(widths).double() for make in LAYERS[name])
    cell.load_state_dict(conv.state_dict())
    return conv, gr.GNN([cell])


def rows(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("name", "widths"),
    [("SAGE", (D, E)), ("SAGE", D), ("GAT", (D, E)), ("GAT", D), ("GATv2", (D, E)), ("GATv2", D), ("GIN", D)],
)
def test_layers_between_two_sets_are_pygs(name, widths):
    torch.manual_seed(0)
    conv, model = same_weights(name, widths)
    x, y = rows(S, D), rows(N, widths[1] if isinstance(widths, tuple) else D)
    found, expected = model((x, y), EDGES), conv((x, y), EDGES)
    assert found.shape == (N, H)
    assert_close(found, expected)
    weight = torch.randn_like(found)
    wanted = [x, y]
    pairs = [
        torch.autograd.grad((weight * h).sum(), [*wanted, *layer.parameters()])
        for h, layer in ((found, model), (expected, conv))
    ]
    assert_close(pairs[0][0], pairs[1][0])
    assert_close(pairs[0][1], pairs[1][1])
    by_name = [
        dict(zip([n.removeprefix("cells.0.") for n, _ in layer.named_parameters()], g[2:], strict=True))
        for g, layer in zip(pairs, (model, conv), strict=True)
    ]
    assert by_name[0].keys() == by_name[1].keys()
    for key, value in by_name[0].items():
        assert_close(value, by_name[1][key])


@pytest.mark.parametrize("name", ["SAGE", "GAT", "GIN"])
def test_targets_without_rows_of_their_own(name):
    """There are as many of them as sources then, as in PyG."""
    torch.manual_seed(0)
    conv, model = same_weights(name, D)
    x = rows(S, D)
    assert_close(model((x, None), EDGES), conv((x, None), EDGES))


def test_attention_of_both_ends_needs_rows_of_targets():
    with pytest.raises(ValueError, match="depends on both ends together: give rows of targets"):
        same_weights("GATv2", D)[1]((rows(S, D), None), EDGES)


@pytest.mark.parametrize("widths", [(D, D), (-1, -1)])
def test_a_layer_made_for_two_sets_runs_over_one(widths):
    torch.manual_seed(0)
    x, edges = rows(S, D), torch.tensor([[0, 1, 5], [1, 2, 0]])
    for name in ("SAGE", "GAT", "GATv2"):
        conv, cell = (make(widths).double() for make in LAYERS[name])
        if name != "SAGE":
            conv.add_self_loops = True
        conv(x, edges)
        cell.load_state_dict(conv.state_dict())
        assert_close(gr.GNN([cell])(x, edges), conv(x, edges))


def test_no_edges_and_no_nodes():
    _, model = same_weights("GAT", (D, E))
    none = torch.zeros(2, 0, dtype=torch.long)
    assert model((rows(S, D), rows(N, E)), none).shape == (N, H)
    assert model((rows(0, D), rows(N, E)), none).shape == (N, H)
    assert model((rows(S, D), rows(0, E)), none).shape == (0, H)


def test_transforms_and_plain_operators_see_the_same():
    torch.manual_seed(0)
    for name in LAYERS:
        _, model = same_weights(name, D)
        x, y = rows(S, D).detach(), rows(N, D).detach()
        found = model((x, y), EDGES)
        with plain_operators():
            assert_close(model((x, y), EDGES), found)
        direction = torch.randn_like(x)
        value, change = torch.func.jvp(lambda x: model((x, y), EDGES), (x,), (direction,))  # noqa: B023
        assert_close(value, found)
        step = 1e-6
        moved = model((x + step * direction, y), EDGES) - model((x - step * direction, y), EDGES)
        torch.testing.assert_close(change, moved / (2 * step), rtol=1e-5, atol=1e-7)


def test_on_the_meta_device_there_are_shapes():
    _, model = same_weights("SAGE", (D, E))
    h = model.to("meta")((rows(S, D).to("meta"), rows(N, E).to("meta")), EDGES)
    assert h.is_meta
    assert h.shape == (N, H)


def test_masks_between_two_sets():
    torch.manual_seed(0)
    x, y, mask = rows(S, D), rows(N, E), torch.rand(9, dtype=torch.float64)
    for name in ("SAGE", "GAT", "GATv2"):
        found = []
        for layer in same_weights(name, (D, E)):
            set_masks(layer, mask, EDGES, apply_sigmoid=False)
            found.append(layer((x, y), EDGES))
            clear_masks(layer)
        assert_close(*found)


METADATA = (
    ["paper", "author"],
    [("author", "writes", "paper"), ("paper", "cites", "paper"), ("paper", "by", "author")],
)
SIZES = {"paper": N, "author": S}
WIDTHS = {"paper": E, "author": D}


def hetero():
    torch.manual_seed(0)
    x = {name: torch.randn(size, WIDTHS[name], dtype=torch.float64) for name, size in SIZES.items()}
    edges = {
        METADATA[1][0]: EDGES,
        METADATA[1][1]: torch.tensor([[0, 1, 2, 3], [1, 2, 0, 1]]),
        METADATA[1][2]: EDGES.flip(0),
    }
    return x, edges


@pytest.mark.parametrize("aggr", ["sum", "mean", "cat", "max"])
@pytest.mark.parametrize("name", ["SAGE", "GAT", "GATv2"])
def test_hetero_conv(name, aggr):
    x, edges = hetero()
    layers = {key: same_weights(name, (WIDTHS[key[0]], WIDTHS[key[2]])) for key in METADATA[1]}
    both = [pyg.HeteroConv({key: pair[i] for key, pair in layers.items()}, aggr) for i in (0, 1)]
    if name != "SAGE":  # over one set each node is there for itself
        layers[METADATA[1][1]][0].add_self_loops = True
    expected, found = (conv(x, edges) for conv in both)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert_close(value, expected[key])
    both[1].reset_parameters()
    assert float((both[1](x, edges)["paper"] - found["paper"]).detach().abs().max()) > 1e-3


def test_hetero_conv_hands_on_what_edges_carry():
    x, edges = hetero()
    key = METADATA[1][1]
    conv, cell = pyg.GCNConv(E, H).double(), gr.GCNCell(E, H).double()
    cell.load_state_dict(conv.state_dict())
    weight = {key: torch.rand(4, dtype=torch.float64)}
    found, expected = (
        pyg.HeteroConv({key: layer})(x, edges, edge_weight_dict=weight) for layer in (gr.GNN([cell]), conv)
    )
    assert_close(found["paper"], expected["paper"])


class Net(nn.Module):
    """Two layers, as users write them for to_hetero."""

    def __init__(self, make):
        super().__init__()
        self.one, self.two = make(), make()
        self.between = nn.Tanh()

    def forward(self, x, edge_index):
        return self.two(self.between(self.one(x, edge_index)), edge_index)


@pytest.mark.parametrize("aggr", ["sum", "mean"])
@pytest.mark.parametrize("name", ["SAGE", "GATv2"])
def test_to_hetero(name, aggr):
    x, edges = hetero()
    conv, cell = LAYERS[name]
    nets = []
    for make in (lambda: conv((-1, -1)), lambda: gr.GNN([cell((-1, -1))])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            nets.append(pyg.to_hetero(Net(make).double(), METADATA, aggr=aggr))
    expected_net, net = nets
    if name != "SAGE":
        for layer in (expected_net.one, expected_net.two):
            layer["paper__cites__paper"].add_self_loops = True
    with torch.no_grad():
        expected_net(x, edges)
        net(x, edges)  # widths are found
    names = {key: key.replace("cells.0.", "") for key in net.state_dict()}
    assert sorted(names.values()) == sorted(expected_net.state_dict())
    net.load_state_dict({key: expected_net.state_dict()[other] for key, other in names.items()})
    found, expected = net(x, edges), expected_net(x, edges)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert_close(value, expected[key])
    masks = {key: torch.rand(index.shape[1], dtype=torch.float64) for key, index in edges.items()}
    masked = []
    for model in (net, expected_net):
        set_hetero_masks(model, masks, edges)
        masked.append(model(x, edges))
        clear_masks(model)
    for key, value in masked[0].items():
        assert_close(value, masked[1][key])
        assert float((value - found[key]).detach().abs().max()) > 1e-3


def test_the_weights_of_relations_differ():
    """to_hetero copies a layer for each relation and draws their weights anew."""
    net = pyg.to_hetero(Net(lambda: gr.GNN([gr.SAGECell((E, E), E)])), METADATA)
    weights = [layer.cells[0].lin_l.weight for layer in net.one.values()]
    assert len(weights) == 3
    assert not torch.equal(weights[0], weights[1])


LAZY = {
    "GCN": lambda d: gr.GCNCell(d, H),
    "SAGE": lambda d: gr.SAGECell(d, H),
    "GIN": lambda d: gr.GINCell(d, H),
    "GAT": lambda d: gr.GATCell(d, H, heads=2),
    "GATv2": lambda d: gr.GATv2Cell(d, H),
    "GGNN": lambda d: gr.GGNNCell(d, H),
    "MPNN": lambda d: gr.MPNNCell(d, H, edges=2),
}


@pytest.mark.parametrize("name", LAZY)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_widths_that_are_found_in_the_first_run(name, mode):
    lazy = gr.Recursive(LAZY[name](-1), mode=mode, rounds=1 if mode == "sync" else None)
    width = 3 if mode == "sync" else H
    edges, x, edge_attr = torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.randn(4, width), torch.randn(3, 2)
    given = (x, edges, edge_attr) if name == "MPNN" else (x, edges)
    if name in ("GCN", "SAGE", "GIN", "GAT", "GATv2"):
        assert any(map(is_lazy, lazy.parameters()))
    kept = copy.deepcopy(lazy)
    h = lazy(*given)
    assert not any(map(is_lazy, lazy.parameters()))
    h.sum().backward()
    whole = gr.Recursive(LAZY[name](width), mode=mode, rounds=1 if mode == "sync" else None)
    whole.load_state_dict(lazy.state_dict())
    assert_close(whole(*given), h)
    kept.load_state_dict(lazy.state_dict())
    assert_close(kept(*given), h)
    with pytest.raises(ValueError, match=r"x must have shape \[4, "):
        lazy(torch.randn(4, width + 7), *given[1:])


@pytest.mark.parametrize("inputs", [(3, 9), (-1, 9), (-1, -1), -1])
def test_widths_of_targets_that_nobody_reads(inputs):
    model = gr.GNN([gr.SAGECell(inputs, H, root_weight=False)])
    x, edges = (torch.randn(2, 3), torch.randn(4, 9)), torch.tensor([[0, 1], [3, 0]])
    found = model(x, edges)
    layer = model.cells[0].lin_l
    assert_close(found[3], layer(x[0][0]))
    assert_close(found[1], layer.bias)


def test_widths_are_found_layer_by_layer():
    model = gr.GNN([gr.GCNCell(-1, 7), gr.SAGECell(-1, 5), gr.GATCell((-1, -1), 6)], between=nn.ReLU())
    model.reset_parameters()  # of what there is
    x, edges = torch.randn(4, 3), torch.tensor([[0, 1, 2], [1, 2, 3]])
    with torch.no_grad():
        model(x, edges)
    assert [cell.inputs for cell in model.cells] == [3, 7, 5]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = copy.deepcopy(model.state_dict())
    model(x, edges).sum().backward()
    optimizer.step()
    for name in ("cells.0.lin.weight", "cells.1.lin_l.weight", "cells.2.lin_src.weight"):
        assert not torch.equal(model.state_dict()[name], before[name])


def test_weights_without_widths_are_saved_and_loaded(tmp_path):
    model, other = gr.GNN([gr.SAGECell(-1, H)]), gr.GNN([gr.SAGECell(3, H)])
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=False))
    assert is_lazy(other.cells[0].lin_r.weight)
    assert other(torch.randn(2, 9), torch.tensor([[0], [1]])).shape == (2, H)
    assert other.cells[0].inputs == 9


REFUSED = {
    "a cell that is none": (
        lambda: gr.GNN([gr.GCNCell(D, H)])((torch.randn(S, D), torch.randn(N, D)), EDGES),
        TypeError,
        "GCNCell is not a layer from one set of nodes to another",
    ),
    "another cell that is none": (
        lambda: gr.GNN([gr.GGNNCell(D, D)])((torch.randn(S, D), torch.randn(N, D)), EDGES),
        TypeError,
        "GGNNCell is not a layer from one set of nodes to another",
    ),
    "degrees of two sets": (lambda: gr.GCNCell((D, E), H), TypeError, "degrees are those of one set"),
    "several rounds": (
        lambda: gr.GNN([gr.SAGECell(D, D)] * 2)((torch.randn(S, D), torch.randn(N, D)), EDGES),
        ValueError,
        r"are for one round, got a model of 2",
    ),
    "another model": (
        lambda: gr.TreeLSTM(D, H)((torch.randn(S, D), torch.randn(N, D)), EDGES),
        TypeError,
        r"TreeLSTM runs over one set of nodes, .*graphrec.GNN\(\[cell\]\)",
    ),
    "three sets": (
        lambda: gr.GNN([gr.SAGECell(D, H)])((torch.randn(S, D),) * 3, EDGES),
        TypeError,
        r"a pair \(x_source, x_target\), got 3",
    ),
    "a structure": (
        lambda: gr.GNN([gr.SAGECell(D, H)])((torch.randn(S, D), torch.randn(N, D)), gr.chain(3)),
        TypeError,
        "go with an edge_index tensor, got Structure",
    ),
    "an edge to nowhere": (
        lambda: gr.GNN([gr.SAGECell(D, H)])((torch.randn(S, D), torch.randn(2, D)), EDGES),
        ValueError,
        "edge 5 names target 2, but there are 2 targets, as x_target has rows",
    ),
    "an edge from nowhere": (
        lambda: gr.GNN([gr.SAGECell(D, H)])((torch.randn(5, D), torch.randn(N, D)), EDGES),
        ValueError,
        "edge 4 names source 5, but there are 5 sources",
    ),
    "a width of targets": (
        lambda: gr.GNN([gr.SAGECell((D, E), H)])((torch.randn(S, D), torch.randn(N, D)), EDGES),
        ValueError,
        r"x_target must have shape \[4, 3\] for this cell, got \(4, 5\)",
    ),
    "widths that are added up": (
        lambda: gr.GNN([gr.GINCell(D, H)])((torch.randn(S, D), torch.randn(N, E)), EDGES),
        ValueError,
        r"x_target must have shape \[4, 5\]",
    ),
    "widths that are added up late": (
        lambda: gr.GNN([gr.GINCell(-1, H)])((torch.randn(S, D), torch.randn(N, E)), EDGES),
        ValueError,
        "must be of one width, got 5 and 3",
    ),
    "one set for two": (
        lambda: gr.GNN([gr.SAGECell((D, E), H)])(torch.randn(S, D), EDGES),
        ValueError,
        r"width 5 from sources and 3 of targets, .*model\(\(x_source, x_target\), edge_index\)",
    ),
    "states": (
        lambda: gr.GNN([gr.SAGECell(D, H)])(
            (torch.randn(S, D), torch.randn(N, D)), EDGES, initial=torch.zeros(N, H)
        ),
        TypeError,
        "has no states",
    ),
}


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_explainers_over_to_hetero():
    x, edges = hetero()
    net = pyg.to_hetero(Net(lambda: gr.GNN([gr.SAGECell((-1, -1), H)])).double(), METADATA)
    net(x, edges)

    class Papers(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, edge_index):
            return self.net(x, edge_index)["paper"]

    config = {"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"}
    explainer = Explainer(
        Papers(),
        GNNExplainer(epochs=3),
        explanation_type="model",
        model_config=config,
        edge_mask_type="object",
        node_mask_type="object",
    )
    explanation = explainer(x, edges, index=1)
    assert bool((explanation["author", "writes", "paper"].edge_mask != 0).any())

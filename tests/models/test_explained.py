"""PyG's explainers over graphrec's models: masks of edges weigh messages, as in PyG's layers, or are refused."""

import copy
import pickle

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.explain import (
    DummyExplainer,
    Explainer,
    GNNExplainer,
    PGExplainer,
    fidelity,
    unfaithfulness,
)
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

import graphrec as gr
from tests.tolerances import assert_close

N, D, H = 7, 4, 4
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 0, 2, 4, 1, 1], [1, 2, 3, 4, 5, 6, 0, 3, 5, 0, 6, 2]])
DAG = torch.tensor([[0, 0, 1, 2, 3, 3, 0, 5], [1, 2, 3, 3, 4, 5, 5, 6]])


def network():
    return nn.Sequential(nn.Linear(D, H), nn.Tanh(), nn.Linear(H, H))


def same_weights(conv, cell):
    conv.double()
    cell.double()
    state = conv.state_dict()
    if isinstance(conv, pyg.GatedGraphConv):
        state = {key: value[:1] if key == "weight" else value for key, value in state.items()}
    if isinstance(conv, pyg.GINConv):
        state["eps"] = torch.zeros(1, dtype=torch.float64)
    cell.load_state_dict(state)
    return conv, gr.GNN([cell])


LAYERS = {
    "GCN": lambda: same_weights(pyg.GCNConv(D, H), gr.GCNCell(D, H)),
    "SAGE": lambda: same_weights(pyg.SAGEConv(D, H), gr.SAGECell(D, H)),
    "GIN": lambda: same_weights(pyg.GINConv(network()), gr.GINCell(D, H, network())),
    "GAT": lambda: same_weights(pyg.GATConv(D, 2, heads=2), gr.GATCell(D, H, heads=2)),
    "GATv2": lambda: same_weights(pyg.GATv2Conv(D, 2, heads=2), gr.GATv2Cell(D, H, heads=2)),
    "GGNN": lambda: same_weights(pyg.GatedGraphConv(D, 1), gr.GGNNCell(D, D)),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def masked(model, mask, x, edges=EDGES, apply_sigmoid=False):
    set_masks(model, mask, edges, apply_sigmoid)
    try:
        return model(x, edges)
    finally:
        clear_masks(model)


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(N, D, dtype=torch.float64)


@every_layer
@pytest.mark.parametrize("apply_sigmoid", [False, True])
@pytest.mark.parametrize("loops", [False, True])
def test_masked_layers_are_pygs(make, apply_sigmoid, loops, x):
    conv, model = make()
    edges = torch.cat([EDGES, torch.tensor([[2, 5], [2, 5]])], dim=1) if loops else EDGES
    mask = torch.rand(edges.shape[1], dtype=torch.float64, requires_grad=True)
    found, expected = (masked(layer, mask, x, edges, apply_sigmoid) for layer in (model, conv))
    assert_close(found, expected)
    weight = torch.randn_like(found)
    gradients = [torch.autograd.grad((weight * rows).sum(), mask)[0] for rows in (found, expected)]
    assert_close(*gradients)
    assert float((found - model(x, edges)).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("make", [(pyg.GATConv, gr.GATCell), (pyg.GATv2Conv, gr.GATv2Cell)])
@pytest.mark.parametrize("loops", [False, True])
def test_what_attention_reads_of_edges_is_not_masked(make, loops, x):
    conv, cell = make[0](D, 2, heads=2, edge_dim=3).double(), make[1](D, H, heads=2, edges=3).double()
    cell.load_state_dict(conv.state_dict())
    edges = torch.cat([EDGES, torch.tensor([[2, 5], [2, 5]])], dim=1) if loops else EDGES
    features, mask = torch.randn(edges.shape[1], 3).double(), torch.rand(edges.shape[1]).double()
    found = []
    for layer in (gr.GNN([cell]), conv):
        set_masks(layer, mask, edges, apply_sigmoid=False)
        found.append(layer(x, edges, features))
    assert_close(*found)


@pytest.mark.parametrize("aggr", ["mean", "sum", "max", "std"])
def test_masks_of_what_is_aggregated(aggr, x):
    conv, cell = pyg.SAGEConv(D, H, aggr=aggr).double(), gr.SAGECell(D, H, aggr=aggr).double()
    cell.load_state_dict(conv.state_dict())
    mask = torch.rand(EDGES.shape[1]).double()
    assert_close(masked(gr.GNN([cell]), mask, x), masked(conv, mask, x))


def in_rounds(cell):
    return lambda: gr.Recursive(cell(), mode="sync", rounds=2).double()


def loop_over_masks(conv, mask, x):
    """A layer of PyG in dependency order, each level with its part of the mask."""
    level, h = gr.levels(gr.dag(DAG, N)), x
    for number in range(int(level.max()) + 1):
        into = level[DAG[1]] == number
        rows = masked(conv, mask[into], h, DAG[:, into])
        h = torch.where((level == number).unsqueeze(1), rows, h)
    return h


@pytest.mark.parametrize("make", [pyg.SAGEConv, pyg.GATConv, pyg.GCNConv], ids=lambda make: make.__name__)
def test_layers_in_order(make, x):
    conv = make(D, D).double()
    alone = copy.deepcopy(conv)
    mask = torch.rand(DAG.shape[1], dtype=torch.float64)
    assert_close(masked(gr.Levelwise(conv), mask, x, DAG), loop_over_masks(alone, mask, x))
    assert conv.explain is None
    assert conv._edge_mask is None


MODELS = {
    "TreeLSTM": lambda: gr.TreeLSTM(D, H).double(),
    "in rounds": in_rounds(lambda: gr.ChildSumTreeLSTMCell(D, H)),
    "a message network": in_rounds(lambda: gr.GGNNCell(D, D)),
    "kinds of messages": lambda: gr.Recursive(gr.DVAECell(D, H)).double(),
    "attention": lambda: gr.DAGNN(D, H).double(),
    "slots": lambda: gr.RecNN(D, H, arity=3).double(),
    "both ways": lambda: gr.Bidirectional(gr.TreeGRU(D, H), gr.TreeGRU(D, H)).double(),
    "rounds": lambda: gr.GNN([gr.SAGECell(D, H), gr.GCNCell(H, H)], between=nn.Tanh(), jump="cat").double(),
    "in order": lambda: gr.Levelwise(pyg.SAGEConv(D, D)).double(),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_masks_in_every_model(make, x):
    """Of ones it is no mask; of zeros nothing is heard of other nodes; and there is a gradient for each edge."""
    model = make()
    slots = torch.tensor([0, 0, 0, 1, 0, 0, 1, 0])
    s = gr.dag(DAG, N).replace(slot=slots)
    set_masks(model, torch.ones(8, dtype=torch.float64), DAG, apply_sigmoid=False)
    with_ones = model(x, s)
    clear_masks(model)
    assert_close(with_ones, model(x, s))
    mask = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    set_masks(model, mask, DAG, apply_sigmoid=False)
    torch.manual_seed(1)
    rows = model(x, s)
    (gradient,) = torch.autograd.grad((rows * torch.randn_like(rows)).sum(), mask)
    assert bool((gradient != 0).all())
    other = x.clone().requires_grad_()
    sources, own = DAG[0], torch.autograd.grad(model(other, s)[4].sum(), other)[0]
    clear_masks(model)
    assert bool((own[4] != 0).any())
    assert not bool(own[[v for v in set(sources.tolist()) if v != 4]].any())


def test_an_initial_state_is_no_message_of_an_edge(x):
    model, s = gr.GRU(D, H).double(), gr.chain(N)
    initial = torch.randn(1, H, dtype=torch.float64)
    set_masks(model, torch.zeros(N - 1, dtype=torch.float64), s.edge_index, apply_sigmoid=False)
    found = model(x, s, initial=initial)
    clear_masks(model)
    assert_close(found[:1], model(x, s, initial=initial)[:1])
    assert_close(found[1:], torch.cat([model(row, gr.chain(1)) for row in x[1:].split(1)]))


def test_refusals(x):
    mask = torch.ones(3, dtype=torch.float64)
    model = gr.GNN([gr.SAGECell(D, H)]).double()
    with pytest.raises(ValueError, match=r"a number for each edge .*, 12, got shape \(3,\)"):
        masked(model, mask, x)
    with pytest.raises(ValueError, match="a TDNN makes its own edge for each lag"):
        masked(gr.TDNN(D, H, window=2).double(), mask, x, gr.chain(N).edge_index)


class Classifier(nn.Module):
    """Rows in, logits out."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x, edge_index):
        for layer in self.layers:
            x = layer(x, edge_index)
        return x


def explainer_of(model, algorithm, **masks):
    config = {"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"}
    return Explainer(
        model, algorithm, explanation_type=masks.pop("why", "model"), model_config=config, **masks
    )


def pairs_of_networks():
    layers = [LAYERS["GCN"](), LAYERS["GAT"]()]
    return [Classifier(*(pair[number] for pair in layers)).float() for number in (0, 1)]


def test_gnn_explainer_finds_what_it_finds_in_pygs_layers(x):
    masks = {"edge_mask_type": "object", "node_mask_type": "attributes"}
    found = []
    for model in pairs_of_networks():
        torch.manual_seed(0)
        explanation = explainer_of(model, GNNExplainer(epochs=20), **masks)(x.float(), EDGES, index=3)
        found.append((explanation.edge_mask, explanation.node_mask))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)
    assert len(found[1][0].unique()) > 2


@pytest.mark.filterwarnings(
    "ignore:Converting a tensor with requires_grad=True to a scalar:UserWarning"
)  # PyG's
def test_pg_explainer_finds_what_it_finds_in_pygs_layers(x):
    found = []
    for model in pairs_of_networks():
        torch.manual_seed(0)
        explainer = explainer_of(model, PGExplainer(epochs=3), edge_mask_type="object", why="phenomenon")
        target = torch.arange(N) % H
        for epoch in range(3):
            explainer.algorithm.train(epoch, model, x.float(), EDGES, target=target, index=3)
        found.append(explainer(x.float(), EDGES, target=target, index=3).edge_mask)
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)
    assert bool((found[1] == 0).any()), "edges too far away to be heard"


def test_fidelity_and_unfaithfulness_are_those_of_pygs_layers(x):
    found = []
    for model in pairs_of_networks():
        torch.manual_seed(0)
        explainer = explainer_of(model, DummyExplainer(), edge_mask_type="object", node_mask_type="object")
        explanation = explainer(x.float(), EDGES)
        found.append([*fidelity(explainer, explanation), unfaithfulness(explainer, explanation)])
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert found[1][-1] > 0


def test_how_far_messages_go_is_as_many_rounds():
    count = GNNExplainer()._num_hops
    assert count(gr.GNN([gr.SAGECell(D, D)] * 3)) == 3
    assert count(gr.Recursive(gr.SAGECell(D, D), mode="sync", rounds=4)) == 4


def test_explainers_that_change_pygs_own_messages_are_refused(x):
    """As GraphMaskExplainer does; see `torch_geometric.nn.MessagePassing.explain_message`."""
    model = gr.GNN([gr.SAGECell(D, H)]).double()

    def explain_message(out, x_i, x_j):
        return out

    model.explain_message = explain_message
    with pytest.raises(ValueError, match="graphrec's models have none: take one that masks edges"):
        masked(model, torch.ones(12, dtype=torch.float64), x)


def test_models_are_copied_and_kept_as_they_were():
    model = gr.GNN([gr.SAGECell(D, H), gr.SAGECell(H, H)])
    assert sorted(model.state_dict()) == sorted(
        f"cells.{n}.{name}" for n in (0, 1) for name in ("lin_l.weight", "lin_l.bias", "lin_r.weight")
    )
    x = torch.randn(N, D)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_close(other(x, EDGES), model(x, EDGES))

"""Every family of models does within torch's tools what it does by itself: compiled, transformed, cast, copied.

The right gradients are those of plain autograd over the loop; nothing has to be asked for.
"""

import copy
import io

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch_geometric.nn import SAGEConv

import graphrec as gr
from tests.tolerances import assert_all_close, assert_close

D, H = 3, 4
# Dynamo asks tensors that are no leaves for .grad, and torch warns it of that.
TORCHS_OWN = "ignore:The .grad attribute of a Tensor that is not a leaf"
CHAINS = gr.chains([3, 2])
TREE = gr.tree(parents=[2, 2, 4, 4, -1])
DAG = gr.dag([[0, 1, 0, 2, 3], [1, 2, 2, 4, 4]], 5)
RING = gr.dag([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]], 5)
KINDS = DAG.replace(kind=torch.tensor([0, 1, 0, 1, 0]))

FAMILIES = {
    "SRN": (lambda: gr.SRN(D, H), CHAINS),
    "LSTM": (lambda: gr.LSTM(D, H), CHAINS),
    "GRU": (lambda: gr.GRU(D, H), CHAINS),
    "stacked": (lambda: gr.Stacked([gr.LSTM(D, H), gr.GRU(H, H)]), CHAINS),
    "bidirectional": (lambda: gr.Bidirectional(gr.SRN(D, H), gr.LSTM(D, H)), CHAINS),
    "TDNN": (lambda: gr.TDNN(D, H, 2), CHAINS),
    "RecNN": (lambda: gr.RecNN(D, H), TREE),
    "RNTN": (lambda: gr.RNTN(H, H), TREE),
    "Tree-LSTM": (lambda: gr.TreeLSTM(D, H), TREE),
    "N-ary Tree-LSTM": (lambda: gr.TreeLSTM(D, H, arity=2), TREE),
    "Tree-GRU": (lambda: gr.TreeGRU(D, H), TREE),
    "up and down": (lambda: gr.UpDown(gr.TreeLSTM(D, H), gr.TreeGRU(D + H, H)), TREE),
    "DAGNN": (lambda: gr.DAGNN(D, H), DAG),
    "D-VAE": (lambda: gr.Recursive(gr.DVAECell(D, H)), DAG),
    "kinds": (lambda: gr.Recursive(gr.PerKind([gr.TreeGRUCell(D, H) for _ in range(2)])), KINDS),
    "GCN": (lambda: gr.GNN([gr.GCNCell(D, H), gr.GCNCell(H, H)]), RING),
    "GAT": (lambda: gr.GNN([gr.GATCell(D, H)]), RING),
    "rounds": (lambda: gr.Recursive(gr.TreeGRUCell(D, H), "sync", 3), RING),
    "cycles": (lambda: gr.Recursive(gr.TreeGRUCell(D, H), cycles="iterate", rounds=2), RING),
    "in an order": (lambda: gr.Recursive(gr.TreeGRUCell(D, H), order=gr.colouring), RING),
    "levels of PyG's layer": (lambda: gr.Levelwise(SAGEConv(H, H)), DAG),
}


class Summed(nn.Module):
    """A number for each row, so that a program around the model has something to compile."""

    def __init__(self, model, s, x):
        super().__init__()
        self.model, self.s = model, s
        self.out = nn.Linear(model(x, s).shape[1], 1, dtype=x.dtype)

    def forward(self, x):
        return torch.tanh(self.out(self.model(x, self.s))).sum()


def x_for(model, count):
    first = next(
        (part.inputs for part in model.modules() if isinstance(getattr(part, "inputs", None), int)), H
    )
    return torch.randn(count, first, dtype=torch.float64)


@pytest.fixture(params=FAMILIES)
def family(request):
    """A model with a readout in float64, its input, and its gradients by plain autograd over the loop."""
    make, s = FAMILIES[request.param]
    model = make().double()
    x = x_for(model, s.num_nodes)
    net = Summed(model, s, x)
    with gr.running_on("loop"):
        net(x).backward()
    right = {name: parameter.grad for name, parameter in net.named_parameters()}
    net.zero_grad()
    return net, x, right


def gradients(net, value):
    value.backward()
    return {name: parameter.grad for name, parameter in net.named_parameters()}


@pytest.mark.filterwarnings(TORCHS_OWN)
def test_compiled(family):
    net, x, right = family
    torch.compiler.reset()
    assert_all_close(gradients(net, torch.compile(net, backend="eager")(x)), right)


@pytest.mark.slow
@pytest.mark.filterwarnings(TORCHS_OWN)
def test_compiled_by_inductor(family):
    net, x, right = family
    torch.compiler.reset()
    assert_all_close(gradients(net, torch.compile(net)(x)), right)


def test_second_derivatives(family):
    net, x, _ = family
    x.requires_grad_()
    (first,) = torch.autograd.grad(net(x), x, create_graph=True)
    second = torch.autograd.grad(first.square().sum(), x)[0]
    # Its finite difference in some direction.
    direction, eps = torch.randn_like(x), 1e-5

    def slope(point):
        point = point.detach().requires_grad_()
        return torch.autograd.grad(net(point), point)[0].square().sum()

    difference = (slope(x + eps * direction) - slope(x - eps * direction)) / (2 * eps)
    torch.testing.assert_close((second * direction).sum(), difference, rtol=1e-3, atol=1e-5)


def test_torch_func(family):
    net, x, right = family
    weights = {name: parameter.detach() for name, parameter in net.named_parameters()}
    assert_all_close(grad(lambda w: functional_call(net, w, (x,)))(weights), right)
    many = torch.stack([x, 2 * x, -x])
    alone = torch.stack([net(one) for one in many]).detach()
    assert_close(vmap(net)(many).detach(), alone)
    # Gradients per sample, and both ways of differentiating.
    per_sample = vmap(grad(lambda w, x: functional_call(net, w, (x,))), (None, 0))(weights, many)
    assert_all_close({name: value[0] for name, value in per_sample.items()}, right)
    direction = torch.randn_like(x)
    forwards = jvp(lambda x: functional_call(net, weights, (x,)), (x,), (direction,))[1]
    backwards = jacrev(lambda x: functional_call(net, weights, (x,)))(x)
    assert_close(forwards, (backwards * direction).sum())


def test_autocast(family):
    net, x, right = family
    net, x = net.float(), x.float()
    with torch.autocast("cpu", torch.bfloat16):
        value = net(x)
    found = gradients(net, value)
    for name, expected in right.items():
        if expected is not None:
            error = (found[name] - expected).norm() / expected.norm().clamp(min=0.1)
            assert error < 0.1, name


def test_copies_and_pickles(family):
    net, x, right = family
    other = copy.deepcopy(net)
    assert_all_close(gradients(other, other(x)), right)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert_all_close(gradients(loaded, loaded(x)), right)

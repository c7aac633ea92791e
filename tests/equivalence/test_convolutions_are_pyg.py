"""Each graph convolution is PyG's own layer, with PyG's weights: in values and in all gradients."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.data import Data

import graphrec as gr
from tests.tolerances import GRADCHECK, assert_all_close, assert_close
from tests.trials import gradients as of_parameters

N, D, H = 13, 5, 6


class Graph(NamedTuple):
    name: str
    edge_index: Tensor
    num_nodes: int = N


def random_edges(loops: bool, doubles: bool) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    edges = torch.randint(0, N - 2, (2, 40), generator=generator)  # the last two nodes are isolated
    if not loops:
        edges = edges[:, edges[0] != edges[1]]
    if not doubles:
        edges = torch.unique(edges, dim=1)
    return edges


GRAPHS = [
    Graph("directed", random_edges(loops=False, doubles=False)),
    Graph("with-double-edges", random_edges(loops=False, doubles=True)),
    Graph("with-loops", random_edges(loops=True, doubles=False)),
    Graph("with-several-loops-at-a-node", torch.tensor([[0, 0, 1, 2, 0, 1, 3], [0, 1, 2, 2, 0, 1, 1]]), 5),
    Graph("undirected", torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0], [1, 0, 2, 1, 3, 2, 0, 3]]), 5),
    Graph("without-edges", torch.zeros(2, 0, dtype=torch.long), 4),
    Graph("of-one-node", torch.zeros(2, 0, dtype=torch.long), 1),
]


EDGES = 3  # the width of the edges' features


class Pair(NamedTuple):
    name: str
    cell: gr.Cell
    conv: nn.Module
    edges: str | None = None  # where the edges' weights or features stand in the structure, if there are some
    width: int | None = None  # of features


def pairs() -> list[Pair]:
    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(D, H), nn.Tanh(), nn.Linear(H, H))

    return [
        Pair("GCN", gr.GCNCell(D, H), pyg.GCNConv(D, H)),
        Pair("GCN-weighted", gr.GCNCell(D, H), pyg.GCNConv(D, H), "edge_weight"),
        Pair("GCN-weighted-by-features", gr.GCNCell(D, H, weighted=True), pyg.GCNConv(D, H), "edge_attr"),
        Pair("GCN-plain", gr.GCNCell(D, H, normalize=False), pyg.GCNConv(D, H, normalize=False)),
        Pair(
            "GCN-plain-weighted",
            gr.GCNCell(D, H, normalize=False),
            pyg.GCNConv(D, H, normalize=False),
            "edge_weight",
        ),
        Pair("GCN-no-loops", gr.GCNCell(D, H, self_loops=False), pyg.GCNConv(D, H, add_self_loops=False)),
        Pair(
            "GCN-no-loops-weighted",
            gr.GCNCell(D, H, self_loops=False),
            pyg.GCNConv(D, H, add_self_loops=False),
            "edge_weight",
        ),
        Pair("SAGE", gr.SAGECell(D, H), pyg.SAGEConv(D, H)),
        Pair("GIN", gr.GINCell(D, H, network()), pyg.GINConv(network())),
        Pair("GIN-eps", gr.GINCell(D, H, network(), 0.3, True), pyg.GINConv(network(), 0.3, True)),
        Pair("GAT", gr.GATCell(D, H), pyg.GATConv(D, H)),
        Pair("GAT-heads", gr.GATCell(D, H, heads=3), pyg.GATConv(D, H // 3, heads=3)),
        Pair("GAT-mean", gr.GATCell(D, H, 4, average=True), pyg.GATConv(D, H, heads=4, concat=False)),
        Pair("GATv2", gr.GATv2Cell(D, H), pyg.GATv2Conv(D, H)),
        Pair("GATv2-heads", gr.GATv2Cell(D, H, heads=2), pyg.GATv2Conv(D, H // 2, heads=2)),
        Pair("GATv2-mean", gr.GATv2Cell(D, H, 2, average=True), pyg.GATv2Conv(D, H, heads=2, concat=False)),
        *(
            attention(*kind, *options)
            for kind in (("GAT", gr.GATCell, pyg.GATConv), ("GATv2", gr.GATv2Cell, pyg.GATv2Conv))
            for options in product((False, True), repeat=4)
            if any(options[1:])
        ),
        *(
            Pair(f"SAGE-{aggr}", gr.SAGECell(D, H, aggr), pyg.SAGEConv(D, H, aggr))
            for aggr in ("sum", "add", "max", "min", "std", "softmax")
        ),
        Pair("SAGE-two", gr.SAGECell(D, H, ["mean", "max"]), pyg.SAGEConv(D, H, ["mean", "max"])),
        Pair(
            "SAGE-learned",
            gr.SAGECell(D, H, pyg.SoftmaxAggregation(learn=True)),
            pyg.SAGEConv(D, H, pyg.SoftmaxAggregation(learn=True)),
        ),
        Pair("SAGE-project", gr.SAGECell(D, H, "max", True), pyg.SAGEConv(D, H, "max", project=True)),
        Pair("SAGE-normalize", gr.SAGECell(D, H, normalize=True), pyg.SAGEConv(D, H, normalize=True)),
        Pair("SAGE-no-root", gr.SAGECell(D, H, root_weight=False), pyg.SAGEConv(D, H, root_weight=False)),
    ]


def attention(
    name: str, cell: Any, conv: Any, average: bool, edges: bool, residual: bool, loops: bool
) -> Pair:
    """With these options; `loops`: without the edges to themselves that nodes are given."""
    width = EDGES if edges else None
    words = [
        "mean" * average,
        "edges" * edges,
        "residual" * residual,
        "no-loops" * loops,
    ]
    return Pair(
        "-".join([name, *filter(None, words)]),
        cell(D, H, 2, average, edges=width, residual=residual, self_loops=not loops),
        conv(
            D,
            H if average else H // 2,
            2,
            not average,
            edge_dim=width,
            residual=residual,
            add_self_loops=not loops,
        ),
        "edge_attr" if edges else None,
        EDGES,
    )


PAIRS = {pair.name: pair for pair in pairs()}  # made once: PyG writes code for each layer


@pytest.mark.parametrize("graph", GRAPHS, ids=[graph.name for graph in GRAPHS])
@pytest.mark.parametrize("name", PAIRS)
def test_a_round_is_the_layer(name: str, graph: Graph) -> None:
    torch.manual_seed(0)
    pair = deepcopy(PAIRS[name])
    cell, conv = pair.cell.double(), pair.conv.double()
    for parameter in conv.parameters():
        nn.init.normal_(parameter)
    cell.load_state_dict(conv.state_dict())  # the names are PyG's
    x = torch.randn(graph.num_nodes, D, dtype=torch.float64)
    shape = (graph.edge_index.shape[1],) if pair.width is None else (graph.edge_index.shape[1], pair.width)
    weight = torch.rand(shape, dtype=torch.float64) + 0.1 if pair.edges else None
    model, s = gr.GNN([cell]), gr.dag(graph.edge_index, graph.num_nodes)

    def layer(x: Tensor, weight: Tensor | None) -> Tensor:
        return conv(x, graph.edge_index) if weight is None else conv(x, graph.edge_index, weight)

    def round_(x: Tensor, weight: Tensor | None) -> Tensor:
        return model(x, s if pair.edges is None else s.replace(**{pair.edges: weight}))

    ours, theirs = gradients(round_, cell, x, weight), gradients(layer, conv, x, weight)
    if isinstance(cell, gr.GCNCell) and cell.self_loops and weight is not None:
        # torch gives to all that is written to one place the gradient of what is there in the end.
        theirs["weight of edges"] = theirs["weight of edges"].masked_fill(
            are_not_last_loops(graph.edge_index), 0
        )
    assert_all_close(ours, theirs)


@pytest.mark.parametrize("graph", GRAPHS[1::2], ids=[graph.name for graph in GRAPHS[1::2]])
@pytest.mark.parametrize("name", [name for name in PAIRS if "GAT" in name])
def test_attention_weights_are_the_layers(name: str, graph: Graph) -> None:
    torch.manual_seed(0)
    pair = deepcopy(PAIRS[name])
    cell, conv = pair.cell.double(), pair.conv.double()
    cell.load_state_dict(conv.state_dict())
    x = torch.randn(graph.num_nodes, D, dtype=torch.float64)
    edge_attr = torch.randn(graph.edge_index.shape[1], EDGES, dtype=torch.float64) if pair.edges else None
    rows, (edge_index, share) = gr.attention_weights(cell, x, graph.edge_index, edge_attr)
    expected, (edges, shares) = conv(x, graph.edge_index, edge_attr, return_attention_weights=True)
    assert torch.equal(edge_index, edges)
    assert_close(rows, expected)
    assert_close(share, shares)
    ours = of_parameters((share,), dict(cell.named_parameters()))
    assert_all_close(ours, of_parameters((shares,), dict(conv.named_parameters())))


def test_attention_weights_stand_where_the_edges_do() -> None:
    """Also where the schedule has another order of nodes, that of their kinds."""
    s = gr.dag(GRAPHS[1].edge_index, N)
    x, cell = torch.randn(N, D), gr.GATCell(D, H)
    kind = torch.arange(N) * 5 % 3
    h, (edges, share) = gr.attention_weights(cell, x, s.replace(kind=kind))
    rows, (edge_index, shares) = gr.attention_weights(cell, x, s)
    assert torch.equal(edges, edge_index)
    assert_close(h, rows)
    assert_close(share, shares)


@pytest.mark.parametrize("cell", [gr.SAGECell(D, H), gr.ChildSumTreeLSTMCell(D, H)])
def test_attention_weights_of_what_has_none(cell: gr.Cell) -> None:
    with pytest.raises(TypeError, match="expected a GATCell or GATv2Cell, got"):
        gr.attention_weights(cell, torch.zeros(4, D), torch.tensor([[0], [1]]))


@pytest.mark.parametrize("aggr", ["lstm", pyg.GRUAggregation(D, D)])
def test_aggregations_in_order_read_each_nodes_messages_alone(aggr: Any) -> None:
    """PyG's read the padding behind them; where all nodes have equally many there is none."""
    torch.manual_seed(0)
    cell, conv = gr.SAGECell(D, H, aggr).double(), pyg.SAGEConv(D, H, aggr).double()
    cell.load_state_dict(conv.state_dict())
    x = torch.randn(4, D, dtype=torch.float64)
    ring = torch.tensor([[0, 1, 2, 3, 2, 3, 0, 1], [1, 2, 3, 0, 0, 1, 2, 3]])
    by_target = ring[:, torch.argsort(ring[1], stable=True)]
    assert_all_close(
        gradients(lambda x, _: gr.GNN([cell])(x, ring), cell, x, None),
        gradients(lambda x, _: conv(x, by_target), conv, x, None),
    )
    uneven = torch.tensor([[0, 1, 2, 3], [1, 2, 2, 2]])
    together = gr.GNN([cell])(x, uneven)
    assert_close(together[1], gr.GNN([cell])(x[:2], uneven[:, :1])[1])
    assert_close(together[2], conv(x, uneven)[2])


def test_medians_of_no_messages_as_well() -> None:
    cell, conv = gr.SAGECell(D, H, "median").double(), pyg.SAGEConv(D, H, "median").double()
    cell.load_state_dict(conv.state_dict())
    x = torch.randn(N, D, dtype=torch.float64)
    model, edges = gr.GNN([cell]), GRAPHS[1].edge_index
    assert_all_close(
        gradients(lambda x, _: model(x, edges), cell, x, None),
        gradients(lambda x, _: conv(x, edges), conv, x, None),
    )
    assert_close(model(x, edges[:, :0]), cell.lin_l.bias + cell.lin_r(x))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: gr.SAGECell(D, H, "mode"), ValueError, "mode"),
        (lambda: gr.SAGECell(D, H, nn.Linear(2, 2)), TypeError, "expected an aggregation of .* got Linear"),
        (lambda: gr.SAGECell(-1, H, "lstm"), ValueError, "width of x must be known"),
        (lambda: gr.SAGECell(-1, H, project=True), ValueError, "width of x must be known"),
    ],
)
def test_aggregations_that_are_none(make: Callable[[], Any], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        make()


WEIGHING = {
    "GCN": (gr.GCNCell(D, H), pyg.GCNConv(D, H)),
    "GCN-weighted": (gr.GCNCell(D, H, weighted=True), pyg.GCNConv(D, H)),
    "layer": (gr.ConvCell(pyg.GraphConv(D, D)), pyg.GraphConv(D, D)),
}


@pytest.mark.parametrize(("cell", "conv"), WEIGHING.values(), ids=WEIGHING)
def test_weights_are_given_as_they_are_to_the_layer(cell: gr.Cell, conv: nn.Module) -> None:
    """As the third argument, whatever it is called, by name, and with the data."""
    (cell.conv if isinstance(cell, gr.ConvCell) else cell).load_state_dict(conv.state_dict())
    edges, x = GRAPHS[0].edge_index, torch.randn(N, D)
    weight = torch.rand(edges.shape[1])
    model, expected = gr.GNN([cell]), conv(x, edges, weight)
    assert_close(model(x, edges, weight), expected)
    assert_close(model(x, edges, weight.unsqueeze(1)), expected)
    assert_close(model(x, edges, edge_weight=weight), expected)
    assert_close(model(x, Data(x=x, edge_index=edges, edge_weight=weight)), expected)


def are_not_last_loops(edge_index: Tensor) -> Tensor:
    pairs = edge_index.t().tolist()
    return torch.tensor(
        [u == v and [u, v] in pairs[e + 1 :] for e, (u, v) in enumerate(pairs)], dtype=torch.bool
    )


def test_the_gradient_of_weights_is_that_of_what_is_computed() -> None:
    """Of several edges from a node to itself, the weight of the last one is all that matters."""
    cell = gr.GCNCell(2, 2).double()
    edges = next(graph.edge_index for graph in GRAPHS if "several" in graph.name)
    x = torch.randn(4, 2, dtype=torch.float64)
    weight = torch.rand(edges.shape[1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda w: gr.GNN([cell])(x, gr.dag(edges, edge_weight=w)), weight, **GRADCHECK
    )


def gradients(
    compute: Callable[[Tensor, Tensor | None], Tensor], model: nn.Module, x: Tensor, weight: Tensor | None
) -> dict[str, Any]:
    """The rows that are computed, and the gradients of all that can have one."""
    x = x.clone().requires_grad_()
    weight = None if weight is None else weight.clone().requires_grad_()
    h = compute(x, weight)
    model.zero_grad()
    (h * torch.linspace(-1, 2, h.numel(), dtype=h.dtype).view_as(h)).sum().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {"h": h.detach(), "x": x.grad, "weight of edges": None if weight is None else weight.grad, **found}


@pytest.mark.parametrize("graph", GRAPHS, ids=[graph.name for graph in GRAPHS])
@pytest.mark.parametrize("weighted", [False, True])
def test_gated_graph_rounds_are_the_layer(graph: Graph, weighted: bool) -> None:
    torch.manual_seed(0)
    conv = pyg.GatedGraphConv(H, num_layers=3).double()
    cells = [gr.GGNNCell(D, H).double() for _ in range(3)]
    for cell, weight in zip(cells, conv.weight, strict=True):
        cell.rnn = conv.rnn
        cell.weight = nn.Parameter(weight.detach().unsqueeze(0).clone())
    x = torch.randn(graph.num_nodes, D, dtype=torch.float64)
    model = gr.GNN([cells[0], *(with_inputs(cell, H) for cell in cells[1:])])
    s = gr.dag(graph.edge_index, graph.num_nodes)
    weight = torch.rand(s.num_edges, dtype=torch.float64) if weighted else None
    ours = gradients(lambda x, weight: model(x, s.replace(edge_weight=weight)), model, x, weight)
    theirs = gradients(lambda x, weight: conv(x, graph.edge_index, weight), conv, x, weight)
    names = ("h", "x", "weight of edges")
    assert_all_close({name: ours[name] for name in names}, {name: theirs[name] for name in names})
    of_weight = torch.cat([ours[f"cells.{i}.weight"] for i in range(3)])
    assert_close(of_weight, theirs["weight"])
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        assert_close(ours[f"cells.0.rnn.{name}"], theirs[f"rnn.{name}"])


def with_inputs(cell: gr.Cell, inputs: int) -> gr.Cell:
    cell.inputs = inputs
    return cell


@pytest.mark.parametrize("graph", GRAPHS, ids=[graph.name for graph in GRAPHS])
def test_edge_network_rounds_are_the_layer_and_torchs_gru(graph: Graph) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, H * H))
    conv = pyg.NNConv(H, H, network, aggr="add", root_weight=False, bias=False).double()
    rnn = nn.GRUCell(H, H).double()
    cell = gr.MPNNCell(D, H, edges=2, network=conv.nn).double()
    cell.rnn = rnn
    x = torch.randn(graph.num_nodes, D, dtype=torch.float64, requires_grad=True)
    edge_attr = torch.randn(graph.edge_index.shape[1], 2, dtype=torch.float64, requires_grad=True)
    h = nn.functional.pad(x, (0, H - D))
    for _ in range(3):
        h = rnn(conv(h, graph.edge_index, edge_attr), h)
    ours = gr.Recursive(cell, mode="sync", rounds=3)(x, graph.edge_index, edge_attr)
    assert_close(ours, h)
    wanted = [x, edge_attr, *cell.parameters()]
    weights = torch.randn_like(h)
    expected = torch.autograd.grad((h * weights).sum(), wanted, allow_unused=True, materialize_grads=True)
    found = torch.autograd.grad((ours * weights).sum(), wanted, allow_unused=True, materialize_grads=True)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize(("kind", "conv"), [(gr.GATCell, pyg.GATConv), (gr.GATv2Cell, pyg.GATv2Conv)])
def test_attention_drops_edges_as_often_as_pyg(kind: type, conv: type, average: bool) -> None:
    """Not the same ones, but as many: the mean over many draws is what comes without dropout."""
    torch.manual_seed(0)
    cell = kind(D, H, heads=2, average=average, dropout=0.5)
    s = gr.dag(GRAPHS[0].edge_index, N)
    x = torch.randn(N, D)
    model = gr.GNN([cell])
    with torch.no_grad():
        drawn = model(x.repeat(4000, 1), gr.batch([s] * 4000)).unflatten(0, (4000, N))
        model.eval()
        expected = model(x, s)
    error = drawn.std(0) / len(drawn) ** 0.5
    assert bool((drawn.std(0) > 0).all())
    assert bool(((drawn.mean(0) - expected).abs() < 5 * error).all())

"""Networks over DAGs, in one direction and in both, against loops over their nodes written from the papers."""

import pytest
import torch
from torch import nn

import graphrec as gr
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients
from tests.zoo import ACYCLIC, dressed

D, H, EDGE = 3, 2, 2
STRUCTURES = [pytest.param(dressed(build(None)), id=build.__name__) for build in ACYCLIC]
every_dag = pytest.mark.parametrize("s", STRUCTURES)


def gru(cell, x, m):
    """torch's gated recurrent unit, whose past is the message."""
    weights = (cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias)
    return torch.gru_cell(x[None], m[None], *weights)[0]


def attended(cell, x, sources):
    """Thost & Chen (2021), equations (5) and (6), with w_1: it makes no difference."""
    m = x.new_zeros(H)
    if sources:
        scores = torch.stack(
            [0.7 * x.sum() + cell.score.weight[0] @ h + cell.edge_score.weight[0] @ e for h, e in sources]
        )
        m = sum(a * h for a, (h, _) in zip(torch.softmax(scores, 0), sources, strict=True))
    return gru(cell, x, m)


def gated_sum(cell, x, sources):
    """Zhang et al. (2019), equations (2) to (4), and (8): both networks read [h_u, e]."""
    gate = torch.cat([cell.gate.weight, cell.edge.weight[:H]], dim=1)
    value = torch.cat([cell.map.weight, cell.edge.weight[H:]], dim=1)
    m = x.new_zeros(H)
    for h, e in sources:
        both = torch.cat([h, e])
        m = m + torch.sigmoid(gate @ both + cell.gate.bias) * (value @ both)
    return gru(cell, x, m)


def in_order(equations, cell, x, s):
    """h of all nodes, one after the other."""
    level, h = gr.levels(s), {}
    for v in torch.argsort(level, stable=True).tolist():
        into = (s.target == v).nonzero().flatten().tolist()
        h[v] = equations(cell, x[v], [(h[int(s.source[e])], s.edge_attr[e]) for e in into])
    return torch.stack([h[v] for v in range(s.num_nodes)])


def inputs_for(s, width=D):
    return torch.randn(s.num_nodes, width, dtype=torch.float64, requires_grad=True)


def assert_same(found, expected, x, s, model):
    """Rows and gradients: of inputs, edge features and weights."""
    given_to = {"x": x, "edge_attr": s.edge_attr, **dict(model.named_parameters())}
    assert_close(found, expected)
    assert_all_close(gradients((found,), given_to), gradients((expected,), given_to))


def with_features(s):
    return s.replace(edge_attr=torch.randn(s.num_edges, EDGE, dtype=torch.float64, requires_grad=True))


@every_dag
@pytest.mark.parametrize(
    ("make", "equations"), [(gr.DAGNNCell, attended), (gr.DVAECell, gated_sum)], ids=["DAGNN", "D-VAE"]
)
def test_edges_with_features(make, equations, s):
    torch.manual_seed(0)
    s, x = with_features(s), inputs_for(s)
    model = gr.Recursive(make(D, H, edges=EDGE)).double()
    assert_same(model(x, s), in_order(equations, model.cell, x, s), x, s, model)


def layers_of_dagnn(model, x, s):
    """For each direction h of every layer, which reads the one below, `[N, L H]`."""
    found = []
    for layers, direction in ((model.along, s), (model.against, s.reverse())):
        below, rows = x, []
        for layer in layers:
            below = in_order(attended, layer.cell, below, direction)
            rows.append(below)
        found.append(torch.cat(rows, dim=1))
    return found


@every_dag
def test_dagnn_is_layers_in_both_directions(s):
    torch.manual_seed(0)
    s, x = with_features(s), inputs_for(s)
    model = gr.DAGNN(D, H, layers=2, both=True, edges=EDGE).double()
    assert_same(model(x, s), torch.cat(layers_of_dagnn(model, x, s), dim=1), x, s, model)


@every_dag
def test_dagnn_reads_graphs_where_directions_end(s):
    """Equation (7): the largest of each number over the nodes without targets; against the edges, without sources."""
    torch.manual_seed(0)
    s, x = with_features(s), inputs_for(s)
    model = gr.DAGNN(D, H, layers=2, both=True, edges=EDGE).double()
    expected = []
    for rows, direction in zip(layers_of_dagnn(model, x, s), (s, s.reverse()), strict=True):
        rows = torch.cat([x, rows], dim=1)
        ends = [v for v in range(s.num_nodes) if v not in direction.source.tolist()]
        by_graph = [[rows[v] for v in ends if s.graph[v] == g] for g in range(s.num_graphs)]
        zero = rows.new_zeros(rows.shape[1])
        expected.append(torch.stack([torch.stack(of).amax(0) if of else zero for of in by_graph]))
    assert_same(model.graphs(x, s), torch.cat(expected, dim=1), x, s, model)


def test_dagnn_in_one_direction_is_half_of_it():
    torch.manual_seed(0)
    s = dressed(ACYCLIC[6](None))
    both = gr.DAGNN(D, H, layers=3)
    one = gr.DAGNN(D, H, layers=3, both=False)
    one.along.load_state_dict(both.along.state_dict())
    x = torch.randn(s.num_nodes, D)
    assert_close(one(x, s), both(x, s)[:, : 3 * H])
    assert_close(one.graphs(x, s), both.graphs(x, s)[:, : D + 3 * H])


@every_dag
def test_up_and_down_again(s):
    """The second pass reads the inputs and the states of the first, against the edges."""
    torch.manual_seed(0)
    s, x = with_features(s), inputs_for(s)
    model = gr.UpDown(
        gr.Recursive(gr.DVAECell(D, H, edges=EDGE)), gr.Recursive(gr.DVAECell(D + H, H, edges=EDGE))
    ).double()
    up = in_order(gated_sum, model.up.cell, x, s)
    down = in_order(gated_sum, model.down.model.cell, torch.cat([x, up], dim=1), s.reverse())
    assert_same(model(x, s), down, x, s, model)


def test_after_up_and_down_a_node_knows_all_that_is_linked_to_it():
    """0 → 1 ← 2: what 2 says reaches 0 by way of 1; one pass, in whichever direction, does not bring it there."""
    torch.manual_seed(0)
    s = gr.dag([[0, 2], [1, 1]], 3)
    x = torch.randn(3, D, requires_grad=True)
    again = gr.UpDown(gr.TreeLSTM(D, H), gr.TreeLSTM(D + H, H))
    once = gr.Bidirectional(gr.TreeLSTM(D, H), gr.TreeLSTM(D, H))
    reached = [torch.autograd.grad(model(x, s)[0].sum(), x)[0].abs().sum(1) > 0 for model in (again, once)]
    assert [row.tolist() for row in reached] == [[True, True, True], [True, True, False]]


def test_up_and_down_have_the_states_of_both():
    torch.manual_seed(0)
    s, x = gr.chains([3, 2]), torch.randn(5, D)
    model = gr.UpDown(gr.LSTM(D, H), gr.GRU(D + H, H))
    h, (up, down) = model.with_states(x, s)
    assert_close(up.h, model.up(x, s)[[2, 4]])
    assert_close(down.h, h[[0, 3]])
    assert_close(model.final([up, down]), down.h)
    begun = model(x, s, initial=[gr.LSTMCell.State(torch.ones(2, H), torch.ones(2, H)), torch.ones(2, H)])
    assert (begun - h).abs().min() > 0


def test_refusals():
    with pytest.raises(TypeError, match=r"expected a model \(torch.nn.Module\), got int"):
        gr.UpDown(gr.GRU(D, H), 3)
    with pytest.raises(ValueError, match="layers must be 1 or more, got 0"):
        gr.DAGNN(D, H, layers=0)
    with pytest.raises(ValueError, match=r"edge attributes of width 2, but the structure has none"):
        gr.DAGNN(D, H, edges=EDGE)(torch.zeros(3, D), gr.chain(3))
    with pytest.raises(gr.CycleError, match="0 → 1 → 0"):
        gr.DAGNN(D, H)(torch.zeros(2, D), gr.dag([[0, 1], [1, 0]]))


@pytest.mark.parametrize(
    ("cells", "message"),
    {
        "none": ([], "a cell for each round, got none"),
        "no fit": (
            [gr.GCNCell(D, 4), gr.GCNCell(5, H)],
            "round 2 takes rows of width 5, but that of round 1 makes rows of width 4",
        ),
        "other states": ([gr.GCNCell(D, 4), gr.LSTMCell(D, 4)], "round 2 goes on from the state of round 1"),
    }.values(),
)
def test_rounds_that_do_not_fit(cells, message):
    with pytest.raises(ValueError, match=message):
        gr.GNN(cells)


def test_a_cell_in_place_of_a_list_and_a_jump_to_nowhere():
    with pytest.raises(TypeError, match=r"\[cell\] \* 3"):
        gr.GNN(gr.GCNCell(D, H))
    with pytest.raises(ValueError, match="jump must be one of cat, max, lstm, or None, got 'mean'"):
        gr.GNN([gr.GCNCell(D, H)], jump="mean")
    with pytest.raises(ValueError, match=r"rounds of one width, got \[4, 2\]: use 'cat'"):
        gr.GNN([gr.GCNCell(D, 4), gr.GCNCell(4, H)], jump="max")


def test_weights_shared_between_rounds_are_learnt_once():
    cell = gr.GINCell(D, D, nn.Linear(D, D))
    assert len(list(gr.GNN([cell] * 3).parameters())) == 2

"""Empty is a valid size: of no nodes and no graphs all that runs over structures makes no rows, with gradients."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv
from torch_geometric.nn import aggr as pyg

import graphrec as gr
from graphrec import viz
from graphrec.runs import run_first, run_sequence
from graphrec.transforms import AddLevels
from tests.tolerances import assert_close
from tests.trials import plain_operators, trial
from tests.zoo import ALL_CELLS, dressed

NOTHING = {
    "empty sequences": gr.chains([0, 0]),
    "empty sequences, step by step": gr.chains([0, 0], batch_first=False),
    "no sequences": gr.chains([]),
    "an empty batch": gr.batch([]),
    "a batch of empty graphs": gr.batch([gr.chains([0]), gr.dag([[], []], 0), gr.batch([])]),
    "a graph without nodes": gr.dag([[], []], 0),
    "an empty grid": gr.grid([], layers=2),
    "a grid of empty sequences": gr.grid([0, 0], layers=2),
    "lags over empty sequences": gr.lagged([0, 0], (1, 3)),
    "backwards": gr.chains([0, 0]).reverse(),
    "both ways": gr.chains([0]).both_ways(),
    "read from PyG": gr.from_pyg(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=0)),
}
MODES = {
    "async": {},
    "sync": {"mode": "sync", "rounds": 2},
    "iterated": {"cycles": "iterate", "rounds": 3},
    "to a fixed point": {"cycles": "iterate", "rounds": gr.FixedPoint()},
    "in a given order": {"order": gr.colouring, "rounds": 2},
}

SLOW = pytest.mark.slow  # (what `make test` leaves out: each cell has one mode there, by turns)
every_structure = pytest.mark.parametrize("s", NOTHING.values(), ids=NOTHING)
every_cell = pytest.mark.parametrize("case", ALL_CELLS, ids=lambda case: case.name)


@every_structure
@pytest.mark.parametrize("mode", MODES)
def test_there_is_nothing_to_do(s, mode):
    plan = gr.schedule(s, **MODES[mode])
    steps = 2 if mode == "sync" else 0
    assert (plan.num_nodes, plan.num_edges, len(plan.steps)) == (0, 0, steps)
    assert "nodes=0" in str(plan)
    assert plan == gr.schedule(s.reverse(), **MODES[mode])


@pytest.mark.parametrize(
    ("case", "mode"),
    [
        pytest.param(case, mode, id=f"{case.name}-{mode}", marks=() if (turn - n) % len(MODES) == 0 else SLOW)
        for turn, case in enumerate(ALL_CELLS)
        for n, mode in enumerate(MODES)
    ],
)
def test_no_rows_and_gradients_of_zero(case, mode):
    for name in ("empty sequences", "no sequences", "a grid of empty sequences"):
        s = dressed(NOTHING[name])
        plan = gr.schedule(s, **MODES[mode])
        for initial in (None, "per graph", "for all"):
            run = trial(case.make, s, initial)
            with plain_operators():
                assert_no_rows(run, gr.run(run.cell, plan, run.x, run.given))
            assert_no_rows(run, gr.run(run.cell, plan, run.x, run.given))
            assert run_first(run.cell, plan, run.x, run.given).shape == (0, *run.cell.shapes()[0])
            visits = list(gr.steps(run.cell, plan, run.x, run.given))
            assert len(visits) == len(plan.steps)
            _, final = run_sequence(run.cell, plan, run.x, run.given)
            for number, field in enumerate(final):
                given = run.initial is not None and len(run.initial[0]) in (1, s.num_graphs)
                expected = run.initial[number] if given else field.new_zeros(())
                assert torch.equal(field, expected.expand_as(field))
                assert field.shape == (s.num_graphs, *run.cell.shapes()[number])


def assert_no_rows(run, state):
    assert [field.shape for field in state] == [(0, *shape) for shape in run.cell.shapes()]
    inputs = {name: tensor for name, tensor in run.inputs.items() if tensor.requires_grad}
    grads = torch.autograd.grad(
        sum(field.sum() for field in state), list(inputs.values()), allow_unused=True, create_graph=True
    )
    found = [grad for grad in grads if grad is not None]
    assert found
    assert not any(grad.any() for grad in found)


@every_cell
def test_rounds_without_rows(case):
    run = trial(case.make, dressed(gr.chains([0, 0])))
    states = gr.rounds(run.cell, gr.schedule(run.structure, "sync", 3), run.x)
    assert [state[0].shape for state in states[1:]] == [(0, *run.cell.shapes()[0])] * 3


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [True, False])
def test_layers_of_torch_without_sequences(kind, batch_first):
    """Zero, not None, is what the weights get of a batch of no sequences."""
    net = kind(3, 4, num_layers=2, bidirectional=True, batch_first=batch_first)
    x = torch.zeros((0, 7, 3) if batch_first else (7, 0, 3))
    ours, theirs = (results(model, x) for model in (gr.from_torch(net), net))
    assert [list(a.shape) for a in ours] == [list(b.shape) for b in theirs]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def results(model, x):
    """The output, the final states, and the gradients of x and of all weights (in an order that does not matter)."""
    x = x.clone().requires_grad_()
    output, final = model(x)
    final = final if isinstance(final, tuple) else (final,)
    (output.sum() + sum(field.sum() for field in final)).backward()
    grads = sorted((p.grad for p in model.parameters()), key=lambda grad: tuple(grad.shape))
    return [output, *final, x.grad, *grads]


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("x", [torch.zeros(3, 0, 3), [torch.zeros(0, 3)] * 3], ids=["padded", "list"])
def test_sequences_of_no_steps_end_as_they_began(kind, x):
    """torch refuses them; one that is empty beside others ends in the same way."""
    model = gr.from_torch(kind(3, 4, num_layers=2, batch_first=True))
    h0 = torch.randn(2, 3, 4, requires_grad=True)
    output, final = model(x, (h0, 2 * h0) if kind is nn.LSTM else h0)
    assert [tuple(rows.shape) for rows in output] == [(0, 4)] * 3
    h, *c = final if kind is nn.LSTM else (final,)
    assert torch.equal(h, h0)
    assert all(torch.equal(field, 2 * h0) for field in c)
    (grad,) = torch.autograd.grad(h.sum(), h0)
    assert torch.equal(grad, torch.ones_like(h0))


def test_containers_of_no_sequences():
    for shape in ((0, 5, 3), (0, 0, 3), (4, 0, 3)):
        x, s = gr.from_padded(torch.zeros(shape))
        assert (x.shape, s.num_nodes, s.num_graphs) == ((0, 3), 0, shape[0])
        padded, lengths = gr.to_padded(x, s, time=shape[1])
        assert (padded.shape, lengths.tolist()) == (shape, [0] * shape[0])
        assert [tuple(rows.shape) for rows in gr.to_list(x, s)] == [(0, 3)] * shape[0]
    with pytest.raises(ValueError, match="does not say how wide rows are"):
        gr.from_list([])
    with pytest.raises(ValueError, match="no empty batch, but there are none"):
        gr.to_packed(torch.zeros(0, 3), gr.chains([]))


PYG = {
    "GCN": (lambda: gr.GCNCell(3, 4), lambda: GCNConv(3, 4)),
    "SAGE": (lambda: gr.SAGECell(3, 4), lambda: SAGEConv(3, 4)),
    "GAT": (lambda: gr.GATCell(3, 4), lambda: GATConv(3, 4)),
    "GIN": (lambda: gr.GINCell(3, 4, nn.Linear(3, 4)), lambda: GINConv(nn.Linear(3, 4))),
}


@pytest.mark.parametrize("name", PYG)
def test_convolutions_of_pyg_without_nodes(name):
    """As PyG, and where PyG's weights get zeros, ours do."""
    make, make_pyg = PYG[name]
    edges = torch.zeros(2, 0, dtype=torch.long)
    ours, theirs = gr.GNN([make()]), make_pyg()
    rows = [model(torch.zeros(0, 3), edges) for model in (ours, theirs)]
    assert rows[0].shape == rows[1].shape == (0, 4)
    for model, row in zip((ours, theirs), rows, strict=True):
        row.sum().backward()
        assert any(p.grad is not None for p in model.parameters())
        assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


MODELS = {
    "SRN": lambda: gr.SRN(3, 4),
    "LSTM": lambda: gr.LSTM(3, 4),
    "GRU": lambda: gr.GRU(3, 4),
    "RNTN": lambda: gr.RNTN(3, 4),
    "TreeLSTM": lambda: gr.TreeLSTM(3, 4),
    "N-ary": lambda: gr.TreeLSTM(3, 4, arity=2),
    "both directions": lambda: gr.Bidirectional(gr.LSTM(3, 4), gr.GRU(3, 4)),
    "up and down": lambda: gr.UpDown(gr.LSTM(3, 4), gr.LSTM(7, 4)),
    "stacked": lambda: gr.Stacked([gr.LSTM(3, 4), gr.SRN(4, 5)], dropout=0.5),
    "in rounds": lambda: gr.Recursive(gr.GRUCell(3, 4), "sync", 2),
    "cycles": lambda: gr.Recursive(gr.GRUCell(3, 4), cycles="iterate", rounds=2),
    "by colours": lambda: gr.Recursive(gr.TreeGRUCell(3, 4), order=gr.colouring),
    "GNN": lambda: gr.GNN([gr.GCNCell(3, 4), gr.GATCell(4, 4)], between=nn.ReLU()),
    "GNN, jump cat": lambda: gr.GNN([gr.GCNCell(3, 4), gr.SAGECell(4, 4)], jump="cat"),
    "GNN, jump max": lambda: gr.GNN([gr.GCNCell(3, 4), gr.SAGECell(4, 4)], jump="max"),
    "GNN, jump lstm": lambda: gr.GNN([gr.GCNCell(3, 4), gr.SAGECell(4, 4)], jump="lstm"),
    "DAGNN": lambda: gr.DAGNN(3, 4),
    "SAGE in order": lambda: gr.Levelwise(SAGEConv(3, 3)),
    "lazy SAGE in order": lambda: gr.Levelwise(SAGEConv(-1, 3)),
    "GCN in order": lambda: gr.Levelwise(GCNConv(3, 3), nn.Tanh()),
    "GAT in order": lambda: gr.Levelwise(GATConv(3, 3)),
    "TDNN": lambda: gr.TDNN(3, 4, 3),
    "variational dropout": lambda: gr.VariationalDropout(gr.LSTMCell(3, 4), 0.5, 0.5),
    "NARX": lambda: gr.NARX(3, 5, 4, 1, 2),
    "kinds": lambda: gr.Recursive(gr.PerKind([gr.TreeGRUCell(3, 4), gr.TreeGRUCell(3, 4)])),
    "grid": lambda: gr.Recursive(gr.GridCell([gr.LSTMCell(3, 4), gr.LSTMCell(4, 4)])),
    "a label for each node": lambda: gr.SequenceToLabels(gr.LSTM(3, 4), 4, 2),
}


@pytest.mark.parametrize("name", MODELS)
@every_structure
def test_models_without_nodes(name, s):
    if s.past is not None:  # lags and layers are the models' own here
        return
    model = MODELS[name]()
    rows = model(torch.zeros(0, 3), s)
    assert rows.shape == (0, model(torch.zeros(2, 3), named(gr.chain(2))).shape[1])
    rows.sum().backward()
    assert any(p.grad is not None for p in model.parameters())
    if getattr(model, "num_states", 0):
        for state in model.with_states(torch.zeros(0, 3), s)[1]:
            assert [field.shape[0] for field in state] == [s.num_graphs] * len(state)
            assert not any(field.any() for field in state)


def named(s):
    return s.replace(kind=torch.arange(s.num_nodes) % 2)


@every_structure
def test_delay_models_without_nodes(s):
    if s.past is not None:
        return
    y = torch.zeros(0, 4)
    assert gr.AR(4, 2)(y, s).shape == (0, 4)
    assert gr.AR(4, 2)(y, s, known=torch.zeros(0, dtype=torch.bool)).shape == (0, 4)
    narx = gr.NARX(3, 5, 4, 1, 2)
    assert narx(torch.zeros(0, 3), s, y).shape == (0, 4)
    assert narx(torch.zeros(0, 3), s, y, past=(torch.randn(1, 3), torch.randn(1, 4))).shape == (0, 4)


@every_structure
def test_readouts_of_no_nodes(s):
    """A row of zeros for each graph; PyG's own for one graph without nodes."""
    h = torch.zeros(0, 3, requires_grad=True)
    score = gr.readout.Attention(3)
    for name in ("root", "last", "sum", "mean", "max", "ends"):
        assert_zeros(getattr(gr.readout, name)(h, s), s.num_graphs, 3)
    assert_zeros(score(h, s), s.num_graphs, 3)
    assert score.weights(h, s).shape == (0, 1)
    assert_zeros(gr.readout.Gated(3, outputs=5)(h, s), s.num_graphs, 5)
    for readout in ("mean", "root"):
        if s.past is None:
            classes = gr.SequenceToClass(gr.LSTM(3, 4), 4, 2, readout)(h, s)
            assert classes.shape == (s.num_graphs, 2)
            classes.sum().backward()
    mean = pyg.MeanAggregation()(h, torch.zeros(0, dtype=torch.long), dim_size=s.num_graphs)
    assert_close(gr.readout.mean(h, s), mean)


def assert_zeros(rows, graphs, width):
    assert torch.equal(rows, torch.zeros(graphs, width))
    rows.sum().backward()


def test_a_readout_in_the_schedule_of_no_nodes():
    s = gr.readout.with_readout(gr.chains([0, 0]))
    assert gr.TreeLSTM(3, 4)(torch.randn(2, 3), s).shape == (2, 4)
    assert gr.TreeLSTM(3, 4)(torch.zeros(0, 3), gr.readout.with_readout(gr.chains([]))).shape == (0, 4)


def test_decoders_without_sequences():
    token = torch.zeros(0, dtype=torch.long)
    cell = gr.LSTM(3, 4)
    for model in (cell, gr.Stacked([cell, gr.LSTM(4, 4)])):
        speaker = gr.LanguageModel(7, 3, model, 4, end=0)
        assert speaker(token, gr.chains([])).shape == (0, 7)
        assert speaker.generate([], limit=5) == []
        assert len(speaker.generate([[], []], limit=5)) == 2
    translator = gr.Seq2Seq(gr.LSTM(3, 4), gr.LSTMCell(3, 4), 7, 7, 3, start=1, end=0)
    s = gr.chains([])
    for teacher in (1.0, 0.5):
        assert translator(token, s, token, s, teacher).shape == (0, 7)
    assert translator.greedy(token, s, 5) == translator.sample(token, s, 5) == []
    assert translator.beam(token, s, 5, width=2) == []


def test_a_source_without_words_is_where_the_decoder_begins():
    translator = gr.Seq2Seq(gr.LSTM(3, 4), gr.LSTMCell(3, 4), 7, 7, 3, start=1, end=0)
    token, word = torch.zeros(0, dtype=torch.long), torch.tensor([3])
    alone = translator.greedy(token, gr.chains([0]), 4)
    assert translator.greedy(word, gr.chains([0, 1]), 4)[:1] == alone
    assert translator.beam(word, gr.chains([0, 1]), 4, width=2)[:1] == translator.beam(
        token, gr.chains([0]), 4, width=2
    )


def test_empty_graphs_beside_others():
    """A batch is its members alone, those without nodes among them."""
    full = gr.tree("(a (b c d) e)")
    s = gr.batch([gr.chains([]), gr.chains([0]), full, gr.dag([[], []], 0), full])
    x, model = torch.randn(full.num_nodes, 3), gr.TreeLSTM(3, 4)
    assert s.num_graphs == 4
    assert_close(model(torch.cat([x, x]), s), torch.cat([model(x, full)] * 2))
    assert_close(gr.readout.mean(model(torch.cat([x, x]), s), s)[0], torch.zeros(4))
    initial = gr.LSTMCell(3, 4).State(torch.randn(3, 4), torch.randn(3, 4))
    _, (final,) = gr.LSTM(3, 4).with_states(torch.randn(2, 3), gr.chains([0, 2, 0]), initial)
    assert_close(final.h[::2], initial.h[::2])


def test_pyg_data_without_nodes():
    nothing = AddLevels()(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=0))
    pair = AddLevels()(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2))
    model = gr.TreeLSTM(3, 4)
    for members, nodes in (([nothing], 0), ([nothing, nothing], 0), ([nothing, pair, nothing], 2)):
        data = Batch.from_data_list(members)
        h = model(torch.randn(nodes, 3), data)
        assert h.shape == (nodes, 4)
        assert gr.readout.mean(h, data).shape == (len(members), 4)
    for data in DataLoader([nothing] * 3, batch_size=2):
        assert model(torch.zeros(0, 3), data).shape == (0, 4)
    for s in (gr.chains([]), gr.chains([0, 0]), gr.dag([[], []], 0)):
        assert gr.from_pyg(gr.to_pyg(s)) == s
        assert gr.from_networkx(gr.to_networkx(s)) == s


def test_orders_of_no_nodes():
    s = gr.dag([[], []], 0)
    assert gr.colouring(s).tolist() == gr.breadth_first(s, []).tolist() == []
    assert gr.levels(s).tolist() == []


def test_pictures_of_nothing():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    s = gr.chains([])
    for draw, what in (
        (viz.draw_tree, s),
        (viz.draw_schedule, gr.schedule(s)),
        (viz.draw_schedule, gr.schedule(s, "sync", 2)),
    ):
        figure, ax = pyplot.subplots()
        assert len(draw(what, ax=ax).get_offsets()) == 0
        figure.canvas.draw()
        pyplot.close(figure)

"""What torch is doing meanwhile makes no difference to structures and schedules, nor they to what comes later.

Transforms, fake tensors, tracers, default devices and inference mode make tensors of their own kind. Structures,
schedules and all that is remembered of them outlive these, and so are made outside of them, of ordinary tensors.
"""

import gc
import weakref
from contextlib import ExitStack, contextmanager
from itertools import product

import networkx as nx
import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, vmap
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn.aggr import SortAggregation

import graphrec as gr
from tests.tolerances import assert_all_close, assert_close
from tests.trials import plain_operators

needs_export = pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="this torch does not say when it exports"
)
BRACKETS = "(4 (2 a) (3 (1 b) (2 c)))"


def combinations(*choices, quick):
    """Parameters: each choice with each; all but those named are slow."""
    return [
        pytest.param(*taken, marks=() if taken in quick else pytest.mark.slow) for taken in product(*choices)
    ]


EDGES = [[0, 1, 2, 3], [2, 2, 4, 4]]


def a_cycle():
    return gr.dag([[0, 1, 2], [1, 0, 1]], 3)


BUILDERS = {
    "chains": lambda: gr.chains([3, 0, 2]),
    "step by step": lambda: gr.chains([3, 2], batch_first=False),
    "brackets": lambda: gr.tree(BRACKETS),
    "parents": lambda: gr.tree(parents=[2, 2, -1]),
    "dag": lambda: gr.dag(EDGES, 5),
    "grid": lambda: gr.grid([3, 2], 2),
    "lagged": lambda: gr.lagged([4, 2], [1, 2]),
    "batch": lambda: gr.batch([gr.tree(BRACKETS), gr.chain(2)]),
    "reverse": lambda: gr.tree(BRACKETS).reverse(),
    "both ways": lambda: gr.tree(BRACKETS).both_ways(),
    "with readout": lambda: gr.readout.with_readout(gr.tree(BRACKETS)),
    "networkx": lambda: gr.from_networkx(nx.DiGraph([(0, 1), (1, 2)])),
    "hetero": lambda: gr.from_pyg(HETERO),
    "pyg": lambda: gr.from_pyg(Data(edge_index=PLAIN, num_nodes=5)),
}
PLAIN = torch.tensor(EDGES)
HETERO = HeteroData(
    {
        "a": {"num_nodes": 2},
        "b": {"num_nodes": 3},
        ("a", "to", "b"): {"edge_index": torch.tensor([[0, 1], [2, 0]]), "edge_attr": torch.ones(2, 1)},
        ("b", "to", "b"): {"edge_index": torch.tensor([[0], [1]])},
    }
)


def schedules(s):
    ways = [{"cycles": "iterate", "rounds": 2}, {"mode": "sync", "rounds": 2}, {"order": gr.colouring}]
    return [gr.schedule(s, **way) for way in ways]


@contextmanager
def doing(what):
    """Something that torch is doing."""
    with ExitStack() as stack:
        modes = {
            "fake": FakeTensorMode,
            "meta": lambda: torch.device("meta"),
            "inference": torch.inference_mode,
        }
        yield stack.enter_context(modes[what]())


def tensors_of(value):
    return [t for t in vars(value).values() if isinstance(t, torch.Tensor)]


def are_ordinary(value):
    return all(type(t) is torch.Tensor and not t.is_meta and not t.is_inference() for t in tensors_of(value))


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())
@pytest.mark.parametrize("what", ["fake", "meta", "inference"])
def test_in_modes(build, what):
    expected = build()
    with doing(what):
        s = build()
        plans = schedules(s)
        gr.chain(2).reverse()
    assert s == expected
    assert plans == schedules(expected)
    assert are_ordinary(s)
    assert all(map(are_ordinary, plans))


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())
@pytest.mark.parametrize("transform", [grad, lambda f: vmap(grad(f)), jacfwd, hessian])
def test_in_transforms(build, transform):
    kept = []

    def loss(x):
        s = build()
        kept.append((s, schedules(s)))
        return (x * x).sum()

    transform(loss)(torch.randn(2, 3))
    s, plans = kept[0]
    assert s == build()
    assert plans == schedules(s)
    assert all(map(are_ordinary, [s, *plans]))


MODELS = {
    "Tree-LSTM": (lambda: gr.TreeLSTM(3, 4), lambda: gr.tree(BRACKETS)),
    "its reverse": (lambda: gr.TreeLSTM(3, 4), lambda: gr.tree(BRACKETS).reverse()),
    "DAGNN": (lambda: gr.DAGNN(3, 4), lambda: PLAIN.clone()),
    "GCN, GAT": (lambda: gr.GNN([gr.GCNCell(3, 4), gr.GATCell(4, 4)]), lambda: PLAIN.clone()),
    "both ways": (lambda: gr.Bidirectional(gr.LSTM(3, 4), gr.GRU(3, 4)), lambda: gr.chains([3, 2])),
    "kinds": (
        lambda: gr.Recursive(gr.PerKind([gr.DAGRNNCell(3, 4), gr.DAGRNNCell(3, 4)])),
        lambda: gr.dag(EDGES, 5, kind=torch.tensor([0, 1, 1, 0, 0])),
    ),
    "iterated": (
        lambda: gr.Recursive(gr.DAGRNNCell(3, 4), cycles="iterate", rounds=3),
        lambda: gr.batch([a_cycle(), gr.chain(2)]),
    ),
}
each_model = pytest.mark.parametrize(("model", "structure"), MODELS.values(), ids=MODELS.keys())


@each_model
def test_transforms_over_structures_that_are_new(model, structure):
    """Per-sample gradients and Jacobians; and the same structure serves plain training afterwards."""
    model, s = model().double(), structure()
    x = torch.randn(3, 5, 3, dtype=torch.double)

    def loss(parameters, rows):
        return functional_call(model, parameters, (rows, s)).pow(2).sum()

    parameters = dict(model.named_parameters())
    together = vmap(grad(loss), (None, 0))(parameters, x)
    for k in range(3):
        found = torch.autograd.grad(loss(parameters, x[k]), list(parameters.values()))
        assert_all_close(
            {name: rows[k] for name, rows in together.items()}, dict(zip(parameters, found, strict=True))
        )
    fresh = structure()
    with plain_operators():
        expected = torch.autograd.functional.jacobian(lambda rows: model(rows, structure()), x[0])
    assert_close(jacrev(lambda rows: model(rows, fresh))(x[0]), expected)


def test_a_second_hessian_in_one_process():
    """The structures of sequences of the same lengths are remembered, over all models."""
    for hidden in (2, 3):
        net = gr.from_torch(nn.GRU(2, hidden, batch_first=True)).double()
        x = torch.randn(1, 3, 2, dtype=torch.double)
        found = hessian(lambda x, net=net: net(x)[0].sum())(x)
        with plain_operators():
            assert_close(found, torch.autograd.functional.hessian(lambda x, net=net: net(x)[0].sum(), x))


def test_edges_that_are_other_ones_for_each_sample_are_refused():
    model, x = gr.DAGNN(3, 4), torch.randn(2, 5, 3)
    edges = torch.stack([PLAIN, PLAIN])
    with pytest.raises(
        ValueError, match=r"differs from sample to sample of torch\.func\.vmap.*graphrec\.batch"
    ):
        vmap(model)(x, edges)


@each_model
@pytest.mark.parametrize("what", ["meta", "fake"])
def test_shapes_without_values(model, structure, what):
    s, plain = structure(), model()
    expected = plain(torch.randn(5, 3), s)
    with doing(what):
        net, x = model(), torch.randn(5, 3)
        h = net(x, s)
        h.sum().backward()
    assert (h.shape, h.dtype) == (expected.shape, expected.dtype)
    assert type(h) is not torch.Tensor or h.is_meta
    expected.sum().backward()
    reached = [p.grad is None for p in plain.parameters()]
    assert [p.grad is None for p in net.parameters()] == reached


@pytest.mark.parametrize(
    "how", [{"order": gr.colouring, "rounds": 2}, {"mode": "sync", "rounds": 2}], ids=["coloured", "rounds"]
)
@pytest.mark.parametrize("what", ["meta", "fake"])
def test_features_of_edges_and_sweeps_without_values(what, how):
    s = gr.dag([[0, 1], [1, 2]], 3, edge_attr=torch.randn(2, 2), relation=torch.tensor([0, 1]))
    for make in (lambda: gr.MPNNCell(3, 4, edges=2), lambda: gr.GGNNCell(3, 4, relations=2)):
        with doing(what):
            assert gr.run(make(), gr.schedule(s, **how), torch.randn(3, 3))[0].shape == (3, 4)
        assert gr.run(make(), gr.schedule(s, **how), torch.randn(3, 3))[0].isfinite().all()


def test_edges_without_values_have_shapes_where_programs_run_them():
    mode = FakeTensorMode()
    model, edges = gr.DAGNN(3, 4), mode.from_tensor(PLAIN)
    shape = model(torch.randn(5, 3), PLAIN).shape
    weights = {name: mode.from_tensor(weight) for name, weight in model.named_parameters()}
    with mode:
        assert functional_call(model, weights, (torch.randn(5, 3), edges)).shape == shape
        with pytest.raises(ValueError, match="the loop runs them"):
            gr.Recursive(gr.SRNCell(3, 4), cycles="iterate", rounds=2)(torch.randn(5, 3), edges)


def test_structures_without_values_are_refused():
    mode = FakeTensorMode()
    with (
        mode,
        pytest.raises(ValueError, match=r"edge_index has no values here .* make the structure beforehand"),
    ):
        gr.dag(mode.from_tensor(PLAIN), 5)


READOUTS = {
    **{name: getattr(gr.readout, name) for name in ("root", "last", "sum", "mean", "max", "ends")},
    "attention": lambda h, s: gr.readout.attention(h, s, lambda rows: rows.sum(-1, keepdim=True)),
    "sort": lambda h, s: gr.readout.aggregate(h, s, SortAggregation(2)),
}
each_readout = pytest.mark.parametrize("read", READOUTS.values(), ids=READOUTS.keys())


def a_batch():
    return gr.batch([gr.tree(BRACKETS), gr.chains([0]), gr.chain(3)])


@each_readout
def test_readouts_in_transforms(read):
    h = torch.randn(2, 8, 3, dtype=torch.double)
    s = a_batch()
    together = vmap(jacrev(lambda rows: read(rows, s)))(h)
    expected = [torch.autograd.functional.jacobian(lambda rows: read(rows, a_batch()), rows) for rows in h]
    assert_close(together, torch.stack(expected))


@each_readout
@pytest.mark.parametrize("what", ["meta", "fake"])
def test_readouts_without_values(read, what):
    expected = read(torch.randn(8, 3), a_batch()).shape
    with doing(what):
        assert read(torch.randn(8, 3), a_batch()).shape == expected


@needs_export
@each_readout
def test_readouts_are_exported(read):
    class Read(nn.Module):
        def forward(self, h):
            return read(h, s)

    s, h = a_batch(), torch.randn(8, 3)
    program = torch.export.export(Read(), (h,), strict=False)
    h = torch.randn(8, 3)
    assert_close(program.module()(h), read(h, s))


class Whole(nn.Module):
    """A model between layers of torch's, and a readout."""

    def __init__(self, model, hidden, read):
        super().__init__()
        self.embed, self.model, self.read, self.out = nn.Linear(3, 3), model, read, nn.Linear(hidden, 2)

    def forward(self, x, s):
        return self.out(self.read(self.model(torch.tanh(self.embed(x)), s), s))


# Dynamo looks at the gradients of tensors that have none.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize(
    ("kind", "read"),
    combinations(
        ["Tree-LSTM", "DAGNN", "GAT", "from torch"],
        ["root", "mean", "max"],
        quick=[("Tree-LSTM", "root"), ("DAGNN", "max"), ("GAT", "mean"), ("from torch", "root")],
    ),
)
def test_compiled_in_training(kind, read):
    torch._dynamo.reset()
    inner, hidden = {
        "Tree-LSTM": (gr.TreeLSTM(3, 4), 4),
        "DAGNN": (gr.DAGNN(3, 4), 16),
        "GAT": (gr.GNN([gr.GATCell(3, 4)]), 4),
        "from torch": (gr.Recursive(gr.LSTMCell(3, 4)), 4),
    }[kind]
    s = gr.chain(5) if kind == "from torch" else gr.tree(BRACKETS)
    model = Whole(inner, hidden, getattr(gr.readout, read))
    compiled = torch.compile(model, backend="aot_eager")
    for _ in range(2):
        x = torch.randn(5, 3)
        expected = torch.autograd.grad(model(x, s).pow(2).sum(), list(model.parameters()))
        found = torch.autograd.grad(compiled(x, s).pow(2).sum(), list(model.parameters()))
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)


@needs_export
@pytest.mark.parametrize(
    ("strict", "is_dynamic"), combinations([False, True], [False, True], quick=[(False, True)])
)
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.filterwarnings(
    "ignore:LSTM with symbolic sizes and strides is not supported with oneDNN:UserWarning"
)
def test_chains_are_exported(kind, is_dynamic, strict):
    net = kind(3, 4, num_layers=2, bidirectional=True, batch_first=True).eval()
    x = torch.randn(2, 5, 3)
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if is_dynamic else None
    program = torch.export.export(gr.from_torch(net), (x,), dynamic_shapes=shapes, strict=strict)
    x = torch.randn(7 if is_dynamic else 2, 5, 3)
    for ours, theirs in zip(program.module()(x), net(x), strict=True):
        for one, other in zip(fields(ours), fields(theirs), strict=True):
            assert_close(one, other)


def fields(state):
    return state if isinstance(state, tuple) else (state,)


class Held(nn.Module):
    """A model with its structure."""

    def __init__(self, model, s):
        super().__init__()
        self.model, self.s = model, s

    def forward(self, x):
        return self.model(x, self.s)


@needs_export
@each_model
def test_a_model_with_its_structure_is_exported(model, structure):
    held, x = Held(model(), structure()).eval(), torch.randn(5, 3)
    program = torch.export.export(held, (x,), strict=False)
    x = torch.randn(5, 3)
    assert_close(program.module()(x), held(x))


def test_edges_as_an_input_of_an_exported_program():
    model, x = gr.DAGNN(3, 4), torch.randn(5, 3)
    program = torch.export.export(model, (torch.randn(5, 3), PLAIN), strict=False)
    assert_close(program.module()(x, PLAIN), model(x, PLAIN))


@pytest.mark.parametrize("cell", [gr.GCNCell, gr.SAGECell, gr.GINCell, gr.GATCell, gr.GGNNCell])
@pytest.mark.parametrize("rows", ["numpy", "shared", "buffer"])
def test_rounds_over_rows_that_torch_did_not_allocate(cell, rows):
    model, plain = gr.GNN([cell(4, 4), cell(4, 4)]), torch.randn(5, 4)
    x = {
        "numpy": lambda: torch.from_numpy(plain.numpy().copy()),
        "shared": lambda: plain.clone().share_memory_(),
        "buffer": lambda: torch.frombuffer(bytearray(plain.numpy().tobytes()), dtype=torch.float32).view(
            5, 4
        ),
    }[rows]()
    before = x.clone()
    found = torch.autograd.grad(model(x, PLAIN).sum(), list(model.parameters()))
    expected = torch.autograd.grad(model(plain, PLAIN).sum(), list(model.parameters()))
    assert_close(model(x, PLAIN), model(plain, PLAIN))
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
    assert torch.equal(x, before)


@pytest.mark.parametrize("way", ["numpy", ".data", "in place"])
@pytest.mark.parametrize("model", [lambda: gr.GNN([gr.SAGECell(3, 4)]), lambda: gr.DAGNN(3, 4)])
def test_edges_that_are_written_into_are_other_edges(way, model):
    model, x, other = model(), torch.randn(4, 3), torch.tensor([[1, 0, 0], [2, 1, 3]])
    array = torch.tensor([[0, 1, 2], [1, 2, 3]]).numpy()
    edges = torch.from_numpy(array)
    first = model(x, edges)
    if way == "numpy":
        array[:] = other.numpy()
    elif way == ".data":
        edges.data.copy_(other)
    else:
        edges.copy_(other)
    assert_close(model(x, edges), model(x, other))
    assert not torch.allclose(model(x, edges), first)


def test_what_is_in_use_no_more_is_freed_at_once():
    """A structure, its reverse, its schedules and what engines derive from them are no circle of references."""
    model = gr.Bidirectional(gr.TreeLSTM(3, 4), gr.TreeLSTM(3, 4))
    gc.collect()
    gc.disable()
    try:
        s = gr.tree(BRACKETS)
        h = model(torch.randn(5, 3), s)
        (gr.readout.mean(h, s).sum() + gr.GNN([gr.GCNCell(3, 4)])(torch.randn(5, 3), s).sum()).backward()
        model(torch.randn(5, 3), s, initial=[model.along.cell.State(*torch.zeros(2, 1, 4))] * 2)
        edges = PLAIN.clone()
        gr.DAGNN(3, 4)(torch.randn(5, 3), edges)
        alive = [weakref.ref(s), weakref.ref(s.reverse()), weakref.ref(gr.schedule(s)), weakref.ref(edges)]
        assert s.reverse().reverse() is s
        del s, h, edges
        assert [reference() for reference in alive] == [None] * 4
    finally:
        gc.enable()


@pytest.mark.parametrize("rule", [gr.learning.RTRL(), gr.learning.TruncatedBPTT(2)], ids=str)
def test_what_a_rule_has_run_is_freed_at_once(rule):
    gc.collect()
    gc.disable()
    try:
        model, s = gr.SRN(3, 4), gr.chain(5)
        model(torch.randn(5, 3), s, rule=rule).sum().backward()
        alive = [weakref.ref(model.cell), weakref.ref(s), weakref.ref(gr.schedule(s))]
        del model, s
        assert [reference() for reference in alive] == [None] * 3
    finally:
        gc.enable()


def test_a_reverse_outlives_what_it_is_the_reverse_of():
    reverse = gr.tree(BRACKETS).reverse()
    assert reverse.reverse() == gr.tree(BRACKETS)
    assert reverse.reverse().reverse() is reverse


# (torch 2.6 warns of constants that it lifts.)
@pytest.mark.filterwarnings(
    r"ignore:(Attempted to insert a get_attr|Node .*lifted_tensor|Additional \d+ warnings .* get_attr):UserWarning"
)
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_an_exported_layer_takes_one_initial_state_for_all(kind):
    ours, x = gr.from_torch(kind(2, 5, batch_first=True)).eval(), torch.randn(3, 4, 2)
    one = torch.randn(1, 5)
    hx = [[one, one]] if kind is nn.LSTM else [one]
    program = torch.export.export(ours, (x, hx), strict=False)
    assert_close(program.module()(x, hx)[0], ours(x, hx)[0])


@needs_export
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_an_exported_layer_refuses_what_torchs_operator_would_trust(kind):
    ours, x = gr.from_torch(kind(2, 5, batch_first=True)).eval(), torch.randn(3, 4, 2)

    def states(*shape, dtype=torch.float32):
        h = torch.zeros(*shape, dtype=dtype)
        return (h, h) if kind is nn.LSTM else h

    h = states(1, 3, 5)
    for rows, hx in (
        (x, states(1, 3, 4)),
        (x, states(1, 3, 5, dtype=torch.float64)),
        (x, states(1, 2, 5)),
        (x, h[0] if kind is nn.LSTM else (h, h)),
        (x[..., :1], h),
        (x.double(), states(1, 3, 5, dtype=torch.float64)),
    ):
        with pytest.raises(ValueError, match=r"expected (rows|initial states) of width|must have shape"):
            torch.export.export(ours, (rows, hx), strict=False)


@needs_export
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
def test_a_projected_lstm_is_exported():
    net = nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True, batch_first=True).eval()
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    x = torch.randn(2, 4, 3)
    program = torch.export.export(gr.from_torch(net), (x,), dynamic_shapes=shapes, strict=False)
    x = torch.randn(7, 4, 3)
    assert_close(program.module()(x)[0], net(x)[0])
    assert gr.from_torch(net).to("meta")(x.to("meta"))[0].shape == (7, 4, 4)


def test_tangents_of_weights_are_not_remembered():
    model, x, weight = gr.GNN([gr.GCNCell(3, 5)]), torch.randn(5, 3), torch.rand(4)
    model(x, PLAIN, edge_weight=weight)
    with forward_ad.dual_level():
        once, twice = (
            forward_ad.unpack_dual(
                model(x, PLAIN, edge_weight=forward_ad.make_dual(weight, k * torch.ones(4)))
            ).tangent
            for k in (1, 2)
        )
        assert once.abs().max() > 0.01
        assert_close(twice, 2 * once)


def test_a_structure_is_not_written_into_by_way_of_its_data():
    data = Data(edge_index=PLAIN.clone(), num_nodes=5)
    s = gr.from_pyg(data)
    data.edge_index.zero_()
    assert torch.equal(s.edge_index, PLAIN)


@pytest.mark.filterwarnings("ignore:Sparse :UserWarning")
@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_gradients_of_a_sparse_matrix_of_weights(layout):
    model, x = gr.GNN([gr.GCNCell(3, 4)]).double(), torch.randn(5, 3, dtype=torch.double)

    def rows(weight, is_matrix):
        if not is_matrix:
            return model(x, PLAIN, edge_weight=weight)
        matrix = torch.sparse_coo_tensor(PLAIN.flip(0), weight, (5, 5))
        return model(x, matrix if layout == "coo" else matrix.to_sparse_csr())

    weight = torch.rand(4, dtype=torch.double, requires_grad=True)
    found, expected = (
        torch.autograd.grad(rows(weight, is_matrix).pow(2).sum(), weight)[0] for is_matrix in (True, False)
    )
    assert_close(found, expected)


def test_what_a_call_gives_counts_for_all_entrances():
    matrix = torch.sparse_coo_tensor(PLAIN.flip(0), torch.rand(4), (5, 5))
    x = torch.randn(5, 3)
    for attempt in (
        lambda: gr.GNN([gr.GATCell(3, 3)]).rounds(x, matrix),
        lambda: gr.TreeLSTM(3, 4).state(x, matrix),
        lambda: gr.DAGNN(3, 4).graphs(x, matrix),
    ):
        with pytest.raises(ValueError, match="does not read edge_weight"):
            attempt()

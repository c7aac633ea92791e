"""Runs as operators of torch: compiled whole, exported, and right by value under every transform."""

import copy
import functools
import gc
import io
import logging
import math
import subprocess
import sys
from collections import namedtuple
from enum import Enum
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.export import Dim, export
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vmap
from torch.torch_version import TorchVersion

import graphrec as gr
from graphrec.backends.programs.operator import OperatorRun
from graphrec.backends.programs.operator.kept import _in_use
from graphrec.backends.programs.operator.runs import structure_of
from graphrec.engine.rules import differentiated_by
from graphrec.program.written import read, write
from graphrec.structure.outside import is_stand_in, structures_traced
from graphrec.structure.traced import TracedStructure
from tests.tolerances import assert_all_close, assert_close

D, H = 3, 4
N, E = Dim("N", min=2), Dim("E", min=2)
run = torch.ops.graphrec.run

pytestmark = [
    # Dynamo asks tensors that are no leaves for .grad, and torch warns it of that.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated"),
]


@pytest.fixture(autouse=True)
def nothing_compiled_yet():
    torch.compiler.reset()
    counters.clear()


def chains(size):
    return gr.chains([size - 2, 2])


def trees(size):
    """A tree in which node v hangs on one of the next three, and a leaf beside it."""
    parents = [min(v + 1 + v % 3, size - 2) for v in range(size - 2)]
    return gr.batch([gr.tree(parents=[*parents, -1]), gr.tree(parents=[-1])])


def dags(size):
    """Each node sends to the next two."""
    edges = [[v, v + step] for v in range(size) for step in (1, 2) if v + step < size]
    return gr.dag(torch.tensor(edges).t(), size)


def rings(size):
    return gr.dag([list(range(size)), [*range(1, size), 0]], size)


MODELS = {
    "SRN": (lambda: gr.SRN(D, H), chains),
    "LSTM": (lambda: gr.LSTM(D, H), chains),
    "GRU": (lambda: gr.GRU(D, H), chains),
    "both ways": (lambda: gr.Bidirectional(gr.LSTM(D, H), gr.SRN(D, H)), chains),
    "stacked": (lambda: gr.Stacked([gr.LSTM(D, H), gr.GRU(H, H)]), chains),
    "Tree-LSTM": (lambda: gr.TreeLSTM(D, H), trees),
    "Tree-GRU": (lambda: gr.TreeGRU(D, H), trees),
    "up and down": (lambda: gr.UpDown(gr.TreeLSTM(D, H), gr.TreeGRU(D + H, H)), trees),
    "D-VAE": (lambda: gr.Recursive(gr.DVAECell(D, H)), dags),
    "DAGNN": (lambda: gr.DAGNN(D, H), dags),
    "GCN and GAT": (lambda: gr.GNN([gr.GCNCell(D, H), gr.GATCell(H, H)], between=nn.Tanh()), rings),
    "rounds": (lambda: gr.Recursive(gr.TreeGRUCell(D, H), "sync", 3), rings),
}


slow = pytest.mark.slow


def quick(*names):
    """Marks all others as slow."""
    return lambda all_names: [name if name in names else pytest.param(name, marks=slow) for name in all_names]


class Net(nn.Module):
    """A model and a readout, with something around them."""

    def __init__(self, make):
        super().__init__()
        self.model = make()
        self.double()

    def forward(self, x, s):
        return torch.sin(gr.readout.mean(self.model(torch.tanh(x), s), s)).sum(-1)


def rows(size, **options):
    return torch.randn(size, D, dtype=torch.float64, **options)


def by_loop(net, x, s):
    """The value and all gradients by autograd over the loop."""
    with gr.running_on("loop"):
        return values_and_gradients(net, net, x, s)


def values_and_gradients(net, call, x, s):
    x = x.detach().requires_grad_()
    value = call(x, s)
    names = ["x", *(name for name, _ in net.named_parameters())]
    found = torch.autograd.grad(value.square().sum(), [x, *net.parameters()], allow_unused=True)
    return {"value": value.detach(), **dict(zip(names, found, strict=True))}


# ------------------------------------------------------------------------------------------------ compiled


@pytest.mark.parametrize("name", quick("Tree-LSTM", "GCN and GAT")(MODELS))
def test_compiled_in_one_graph_for_every_size(name):
    make, structures = MODELS[name]
    net = Net(make)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    for size in (5, 8, 6, 11):
        x, s = rows(size), structures(size)
        assert_all_close(values_and_gradients(net, compiled, x, s), by_loop(net, x, s))
    # One for the first size, and one for all others.
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_compiled_by_inductor(name):
    make, structures = MODELS[name]
    net = Net(make)
    compiled = torch.compile(net, fullgraph=True)
    for size in (5, 8, 6):
        x, s = rows(size), structures(size)
        assert_all_close(values_and_gradients(net, compiled, x, s), by_loop(net, x, s))
        with torch.no_grad():
            assert_close(compiled(x, s), net(x, s))


def test_dynamic_from_the_first_call_on():
    net = Net(lambda: gr.TreeLSTM(D, H))
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (7, 9, 6):
        x, s = rows(size), trees(size)
        assert_all_close(values_and_gradients(net, compiled, x, s), by_loop(net, x, s))
    assert counters["stats"]["unique_graphs"] == 1


def test_an_edge_index_is_enough():
    model = gr.GNN([gr.GATCell(D, H)]).double()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x, s = rows(6), dags(6)
    assert_close(compiled(x, s.edge_index), model(x, s))


@pytest.mark.parametrize("readout", quick("root", "max")(["root", "last", "sum", "mean", "max", "attention"]))
def test_readouts_are_compiled_with_the_model(readout):
    score = nn.Linear(H, 1).double()
    of = getattr(gr.readout, readout)
    model = gr.TreeLSTM(D, H).double()

    def net(x, s):
        return of(model(x, s), s, score) if readout == "attention" else of(model(x, s), s)

    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    for s in (trees(6), gr.batch([trees(7), gr.chains([0, 2])])):
        x = rows(s.num_nodes)
        got, right = values_and_gradients(model, compiled, x, s), by_loop(model, x, s)
        with gr.running_on("loop"):
            right = values_and_gradients(model, net, x, s)
        assert_all_close(got, right)


@slow
def test_features_and_weights_of_edges_get_gradients():
    s = dags(5)
    for model, name, shape in (
        (gr.GNN([gr.GATCell(D, H, edges=2)]), "edge_attr", (s.num_edges, 2)),
        (gr.GNN([gr.GCNCell(D, H, weighted=True)]), "edge_weight", (s.num_edges,)),
    ):
        model.double()
        x, given = rows(5), torch.rand(shape, dtype=torch.float64, requires_grad=True)
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        found = [
            torch.autograd.grad(call(x, s.replace(**{name: given})).square().sum(), given)[0]
            for call in (compiled, model)
        ]
        assert_close(*found)


def test_initial_and_final_states():
    model, s = gr.Stacked([gr.LSTM(D, H), gr.GRU(H, H)]).double(), chains(6)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    h, c, g = torch.randn(3, 2, H, dtype=torch.float64, requires_grad=True)
    x = rows(6)
    found = []
    for call in (compiled, model):
        y, states = call(x, s, initial=[(h, c), g], return_states=True)
        assert type(states[0]) is gr.LSTMCell.State
        assert type(states[1]) is gr.GRUCell.State
        fields = [field for state in states for field in state]
        # Only the last c is read: gradients of all other results are not there.
        gradients = torch.autograd.grad(states[0].c.square().sum(), [h, c])
        found.append({str(i): part for i, part in enumerate([y, *fields, *gradients])})
    assert_all_close(*found)


@slow
def test_initial_states_of_every_form():
    model, s, x = gr.LSTM(D, H).double(), chains(6), rows(6)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for count, how in (
        (2, lambda state: state),
        (1, lambda state: state),
        (6, gr.per_node),
        (2, gr.per_graph),
    ):
        initial = how(tuple(torch.randn(2, count, H, dtype=torch.float64)))
        assert_close(compiled(x, s, initial=initial), model(x, s, initial=initial))


def test_a_compiled_model_trains_its_own_parameters():
    torch.manual_seed(1)
    one, other = (gr.TreeLSTM(D, H).double() for _ in range(2))
    other.load_state_dict(one.state_dict())
    compiled = torch.compile(one, fullgraph=True, backend="aot_eager")
    for model, call in ((one, compiled), (other, other)):
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for size in (5, 7, 6):
            torch.manual_seed(size)
            optimizer.zero_grad()
            call(rows(size), trees(size)).square().sum().backward()
            optimizer.step()
    assert_all_close(one.state_dict(), other.state_dict())


class Slope:
    of_class = 1.0

    def __init__(self):
        self.factor, self.parent = 2.0, self


class Doubles:
    def of(self, rows):
        return 2 * rows


class Halves(Doubles):
    def of(self, rows):
        return rows / 2


class Shape(Enum):
    SUM = 1.0
    HALF = 0.5


class Setting(gr.Cell):
    """A cell with settings, and weights that are computed."""

    State = namedtuple("State", "h")
    of_class = 2.0
    table: ClassVar = {"scale": 1.0}

    def __init__(self):
        super().__init__(D, H)
        self.input = nn.utils.parametrizations.weight_norm(nn.Linear(D, H))
        self.factor, self.kind, self.factors, self.activation = 2.0, "sum", [1.0, 3.0], torch.tanh
        self.names, self.nested, self.slope, self.shape = {"scale": 2.0}, [[1.0], [3.0]], Slope(), Shape.SUM
        self.last = functools.partial(torch.mul, 1.0) if GUARDS_ALL else torch.tanh
        self.parts, self.choice, self.method = (
            nn.ModuleDict({"a:b|c;d": nn.Identity()}),
            Doubles(),
            self.same if GUARDS_ALL else torch.tanh,
        )
        self.log, self.library = logging.getLogger("of a cell"), math

    def forward(self, x, inbox, own):
        combine = inbox.sum if self.kind == "sum" else inbox.max
        factor = self.factor * self.factors[0] * self.names["scale"] * self.nested[1][0] * self.slope.factor
        total = self.activation(self.input(x) + factor * self.shape.value * self.of_class * combine(inbox.h))
        total = self.choice.of(self.last(total)) * self.slope.of_class * self.table["scale"]
        return self.State(self.parts["a:b|c;d"](self.method(total)))

    def same(self, rows):
        return rows

    def twice(self, rows):
        return 2 * rows


# (Dynamo of torch 2.6 guards no partial function and no bound method: its graph breaks there.)
GUARDS_ALL = torch.__version__ >= TorchVersion("2.7")
CHANGES = {
    "factor": lambda cell: setattr(cell, "factor", 0.5),
    "factors": lambda cell: setattr(cell, "factors", [-1.0, 3.0]),
    "kind": lambda cell: setattr(cell, "kind", "max"),
    "activation": lambda cell: setattr(cell, "activation", torch.sigmoid),
    "names": lambda cell: cell.names.update(scale=0.1),
    "nested": lambda cell: cell.nested[1].__setitem__(0, 0.1),
    "slope": lambda cell: setattr(cell.slope, "factor", 0.1),
    "shape": lambda cell: setattr(cell, "shape", Shape.HALF),
    "last": lambda cell: setattr(
        cell, "last", functools.partial(torch.mul, 0.5) if GUARDS_ALL else torch.relu
    ),
    "of the class": lambda cell: setattr(type(cell), "of_class", 0.1),
    "in a table of the class": lambda cell: cell.table.update(scale=0.1),
    "of an object's class": lambda cell: setattr(Slope, "of_class", 0.1),
    "an object of another class": lambda cell: setattr(cell, "choice", Halves()),
    "another method": lambda cell: setattr(cell, "method", cell.twice if GUARDS_ALL else torch.relu),
}


@pytest.mark.parametrize("name", quick("factor", "names", "slope", "of the class")(CHANGES))
def test_nothing_is_stale(name, monkeypatch):
    monkeypatch.setattr(Setting, "of_class", 2.0)
    monkeypatch.setattr(Slope, "of_class", 1.0)
    monkeypatch.setattr(Setting, "table", {"scale": 1.0})
    model, s, x = gr.Recursive(Setting()).double(), trees(6), rows(6)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    before = model(x, s)
    assert_close(compiled(x, s), before)
    CHANGES[name](model.cell)
    assert not torch.allclose(model(x, s), before)
    assert_close(compiled(x, s), model(x, s), name)
    with torch.no_grad():
        model.cell.input.parametrizations.weight.original1.mul_(3)
    assert_all_close(values_and_gradients(model, compiled, x, s), by_loop(model, x, s))


class Unseen(gr.Cell):
    """Its factor stands where dynamo does not look."""

    State = namedtuple("State", "h")

    def __init__(self, factor):
        super().__init__(hidden=D)
        self.factor = factor

    def forward(self, x, inbox, own):
        factor = getattr(self.factor, "slot", self.factor)
        factor = factor() if callable(factor) else float(factor)
        return self.State(torch.tanh(x + factor * inbox.sum(inbox.h)))


class InASlot:
    __slots__ = ("slot",)

    def __init__(self):
        self.slot = 2.0


class MoreThanANumber(float):
    pass


class Counts(gr.Model):
    """Keeps what it has computed, and counts, in a buffer and out of it."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = gr.TreeGRU(D, H), 0
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))

    def compute(self, x, s, initial, return_states):
        h = self.inner(x, s)
        self.seen, self.calls, self.last = self.seen + 1, self.calls + 1, h.detach()
        return h * self.seen * self.calls, []


class FillsATable(gr.Cell):
    """Makes a buffer in its first call."""

    State = namedtuple("State", "h")

    def __init__(self):
        super().__init__(hidden=D)
        self.register_buffer("table", None)

    def project(self, x):
        if self.table is None:
            self.table = torch.full((D,), 2.0, dtype=torch.float64)
        return x * self.table

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + inbox.sum(inbox.h)))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: gr.Recursive(Unseen(np.ones(()))), "factor of Unseen is of type ndarray"),
        (lambda: gr.Recursive(Unseen(InASlot())), "factor of Unseen is of type InASlot"),
        (lambda: gr.Recursive(Unseen(MoreThanANumber(2.0))), "factor of Unseen is of type MoreThanANumber"),
        (lambda: gr.Recursive(Unseen(functools.lru_cache(float))), "of type _lru_cache_wrapper"),
        (lambda: gr.Recursive(Unseen(torch.ones(()))), "neither a parameter nor a buffer"),
        (Counts, "makes or replaces|keeps something"),
        (lambda: gr.Recursive(FillsATable()), "makes or replaces"),
    ],
    ids=["array", "slot", "number", "cached", "tensor", "counts", "fills a table"],
)
@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=slow)])
def test_what_a_program_cannot_stand_for_runs_beside_it(make, why, backend):
    torch.manual_seed(3)
    one = make().double()
    other, x, s = copy.deepcopy(one), rows(6), trees(6)
    if torch.__version__ >= TorchVersion("2.7"):  # (dynamo of torch 2.6 does not tell the reason)
        with pytest.raises(torch._dynamo.exc.Unsupported, match=why):
            torch.compile(other, fullgraph=True, backend=backend)(x, s)
    torch.compiler.reset()
    compiled = torch.compile(other, backend=backend)
    for _ in range(3):
        assert_close(compiled(x, s), one(x, s))
    assert_all_close(other.state_dict(), one.state_dict())
    assert not any(map(is_stand_in, [*other.buffers(), getattr(other, "last", x)]))


def test_parts_that_torch_has_scripted_run_beside_it():
    cell, x, s = FillsATable(), rows(6), trees(6)
    cell.scripted = torch.jit.script(nn.Linear(D, D))
    model = gr.Recursive(cell).double()
    assert_close(torch.compile(model, backend="eager")(x, s), model(x, s))


def test_a_hook_that_came_later_is_told():
    model, x, s = gr.Recursive(Setting()).double(), rows(6), trees(6)
    compiled = torch.compile(model, backend="eager")
    compiled(x, s)
    model.cell.input.register_forward_hook(lambda module, given, made: 3 * made)
    with pytest.raises(
        RuntimeError, match=r"has changed since it was compiled.*a hook on .*torch.compiler.reset"
    ):
        compiled(x, s)
    torch.compiler.reset()
    assert_close(torch.compile(model, backend="eager")(x, s), model(x, s))


def test_models_of_one_class_are_not_taken_for_each_other():
    call = torch.compile(lambda model, x, s: model(x, s), fullgraph=True, backend="aot_eager")
    models = [gr.Recursive(gr.SRNCell(D, H, activation)).double() for activation in ("tanh", "relu")]
    x, s = rows(5), chains(5)
    for model in models:
        assert_close(call(model, x, s), model(x, s))


@slow
def test_training_and_evaluation():
    model, x, s = gr.GNN([gr.GCNCell(D, H), gr.GCNCell(H, H)], nn.Dropout(0.5)).double(), rows(6), rings(6)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert not torch.equal(compiled(x, s), compiled(x, s))
    model.eval()
    assert_close(compiled(x, s), model(x, s))


def kinds(size):
    return dags(size).replace(kind=torch.arange(size) % 2)


@pytest.mark.parametrize(
    ("make", "structures"),
    [
        (lambda: gr.Recursive(gr.PerKind([gr.TreeGRUCell(D, H), gr.DVAECell(D, H)])), kinds),
        pytest.param(
            lambda: gr.Recursive(gr.GridCell([gr.SRNCell(D, H), gr.SRNCell(H, H)])),
            lambda size: gr.grid([size], 2),
            marks=slow,
        ),
    ],
)
def test_nodes_of_several_kinds(make, structures):
    model = make().double()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for size in (4, 6):
        s = structures(size)
        x = rows(s.num_nodes)
        assert_all_close(values_and_gradients(model, compiled, x, s), by_loop(model, x, s))


class InSlots(gr.Cell):
    """A cell that reads slots, and does not say how many there are."""

    State = namedtuple("State", "h")

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + inbox.slots(2)[:, 1]))


# ------------------------------------------------------------------------------------------------ what is not compiled


class Chooses(gr.Cell):
    """A cell whose values decide what is done."""

    State = namedtuple("State", "h")

    def forward(self, x, inbox, own):
        h = x + inbox.sum(inbox.h)
        return self.State(h if bool((h > 0).any()) else -h)


@pytest.mark.parametrize(
    ("make", "structures", "why"),
    [
        (lambda: gr.Recursive(Chooses(hidden=D)), trees, "any is no operation that programs have"),
        (
            lambda: gr.Recursive(gr.TreeGRUCell(D, H), cycles="iterate", rounds=2),
            rings,
            "cycles that are iterated",
        ),
    ],
)
def test_what_cannot_be_compiled_says_why_or_runs_as_ever(make, structures, why):
    model, x, s = make().double(), rows(5), structures(5)
    # (Up to torch 2.6 dynamo does not tell the reason.)
    said = why if torch.__version__ >= TorchVersion("2.7") else "graph_break"
    with pytest.raises(torch._dynamo.exc.Unsupported, match=said):
        torch.compile(model, fullgraph=True, backend="aot_eager")(x, s)
    torch.compiler.reset()
    assert_close(torch.compile(model, backend="aot_eager")(x, s), model(x, s))


def test_a_rule_is_refused_where_gradients_are_those_of_autograd():
    model = gr.SRN(D, H).double()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x, s = rows(5), chains(5)
    compiled(x, s)
    with differentiated_by(gr.learning.BPTT()), pytest.raises(ValueError, match="call the model itself"):
        compiled(x, s)


def test_a_backend_that_runs_no_programs_is_refused():
    model, x, s = gr.SRN(D, H).double(), rows(5), chains(5)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    right = compiled(x, s)
    with gr.running_on("torch_programs"):
        assert_close(compiled(x, s), right)
    with gr.running_on("loop"), pytest.raises(ValueError, match="call the model itself"):
        compiled(x, s)


@pytest.mark.parametrize(
    ("make", "s", "message"),
    [
        (lambda: gr.TreeLSTM(D, H), rings(5), "cycle"),
        (lambda: gr.LSTM(D, H), trees(5), "the cell has 1 slot"),
        (lambda: gr.TreeLSTM(D, H), trees(6), "one row per node"),
        (lambda: gr.Recursive(InSlots(hidden=D)), dags(5).replace(slot=torch.full((7,), 2)), "2 slots"),
        (lambda: gr.Recursive(InSlots(hidden=D)), dags(5).replace(slot=torch.zeros(7).long()), "two edges"),
        (
            lambda: gr.Recursive(gr.GGNNCell(D, D, relations=2), "sync", 2),
            dags(5).replace(relation=torch.full((7,), 2)),
            "relations 0 to 1",
        ),
        (
            lambda: gr.Recursive(gr.PerKind([gr.SRNCell(D, H)])),
            chains(5).replace(kind=torch.tensor([0, 1, 0, 0, 0])),
            "nodes of kind 1",
        ),
        (
            lambda: gr.Recursive(gr.PerKind([gr.NaryTreeLSTMCell(D, H, 1)])),
            dags(5).replace(kind=torch.zeros(5).long()),
            "kind 0 has 1 slot",
        ),
    ],
)
def test_bad_structures_are_refused_when_the_program_runs(make, s, message):
    compiled = torch.compile(make().double(), fullgraph=True, backend="aot_eager")
    with pytest.raises(ValueError, match=message):
        compiled(rows(5), s)


# ------------------------------------------------------------------------------------------------ transforms

TRANSFORMS = {
    "grad": lambda f, x: grad(f)(x),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "jvp": lambda f, x: jvp(f, (x,), (x.cos(),))[1],
    "vmap": lambda f, x: vmap(f)(torch.stack([x, 2 * x])),
    "per sample": lambda f, x: vmap(grad(f))(torch.stack([x, 2 * x])),
    "second": lambda f, x: grad(lambda x: grad(f)(x).square().sum())(x),
}


@pytest.mark.parametrize("name", quick("grad", "jvp")(TRANSFORMS))
def test_transforms_within_and_around_compiled_calls(name):
    transform, s, x = TRANSFORMS[name], trees(5), rows(5)
    model = gr.TreeLSTM(D, H).double()

    def f(x):
        return torch.tanh(model(x, s)).sum()

    with gr.running_on("loop"):
        right = transform(f, x)
    assert_close(torch.compile(lambda x: transform(f, x), backend="aot_eager")(x), right, "within")
    torch.compiler.reset()
    assert_close(transform(torch.compile(f, backend="aot_eager"), x), right, "around")


def test_vmap_is_compiled_in_one_graph():
    s, net = trees(5), Net(lambda: gr.UpDown(gr.TreeLSTM(D, H), gr.TreeGRU(D + H, H)))
    compiled = torch.compile(vmap(lambda x: net(x, s)), fullgraph=True, backend="aot_eager")
    many = torch.stack([rows(5) for _ in range(3)])
    got = values_and_gradients(net, lambda x, s: compiled(x), many, s)
    with gr.running_on("loop"):
        right = values_and_gradients(net, lambda x, s: torch.stack([net(one, s) for one in x]), many, s)
    assert_all_close(got, right)


@slow
def test_weights_of_several_models_at_once():
    s, x, model = trees(5), rows(5), gr.TreeLSTM(D, H).double()
    weights = {name: torch.stack([w, 2 * w]).detach() for name, w in model.named_parameters()}

    def outputs(weights, x):
        return functional_call(model, weights, (x, s))

    compiled = torch.compile(vmap(outputs, (0, None)), fullgraph=True, backend="aot_eager")
    with gr.running_on("loop"):
        right = [outputs({name: w[i] for name, w in weights.items()}, x) for i in range(2)]
    assert_close(compiled(weights, x), torch.stack(right))


# ------------------------------------------------------------------------------------------------ the operator itself


def arguments(model, x, s):
    """Those of the operator in a run of a model with one cell."""
    parts = {name: getattr(s, name) for name in ("edge_index", "slot", "kind", "graph", "past")}
    with structures_traced():
        traced = TracedStructure.of(len(x), s.num_graphs, {**parts, "relation": None})
        made = OperatorRun.of(model.cell, gr.schedule(traced, model.mode, model.rounds), x, None)
    return [made.program, made.rows, s.edge_index, s.slot, None, s.kind, s.graph, s.past, s.num_graphs, False]


@pytest.mark.parametrize("name", quick("Tree-LSTM")(["LSTM", "Tree-LSTM", "D-VAE", "rounds"]))
def test_torchs_own_check(name):
    make, structures = MODELS[name]
    model, s, x = make().double(), structures(5), rows(5, requires_grad=True)
    args = arguments(model, x, s)
    assert set(torch.library.opcheck(run.default, args).values()) == {"SUCCESS"}
    state, memory = run(*args)
    args[1] = [row.detach() for row in args[1]]
    backward = (*args, torch.randn_like(state).detach(), memory)
    found = torch.library.opcheck(torch.ops.graphrec.run_backward.default, backward)
    assert set(found.values()) == {"SUCCESS"}


def test_torchs_own_check_of_sinks():
    s = trees(5)
    args = (s.edge_index, s.graph, 5, s.num_graphs, False)
    assert set(torch.library.opcheck(torch.ops.graphrec.sinks.default, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", quick("Tree-LSTM")(["LSTM", "Tree-LSTM", "rounds"]))
def test_first_and_second_derivatives_of_the_operator(name):
    make, structures = MODELS[name]
    model, s, x = make().double(), structures(3), rows(3, requires_grad=True)
    program, rows_given, *structure = arguments(model, x, s)

    def state(*rows_given):
        return run(program, list(rows_given), *structure)[0]

    assert torch.autograd.gradcheck(state, rows_given)
    assert torch.autograd.gradgradcheck(state, rows_given, fast_mode=True)


def test_forward_mode_is_refused_and_not_dropped():
    x, s = rows(5), trees(5)
    program, rows_given, *structure = arguments(gr.TreeLSTM(D, H).double(), x, s)

    def state(x):
        return run(program, [x, *rows_given[1:]], *structure)[0]

    with pytest.raises(ValueError, match="no forward-mode derivatives"):
        jvp(state, (x,), (x,))


def test_a_gradient_that_was_not_wanted_is_refused_and_not_dropped():
    x, s = rows(5), trees(5)
    args = arguments(gr.TreeLSTM(D, H).double(), x, s)
    args[1][0] = x.requires_grad_()
    with pytest.raises(RuntimeError, match="trace it again"):
        run(*args)[0].sum().backward()


def test_runs_before_their_reverses_in_any_order_and_twice():
    model, s = gr.TreeLSTM(D, H).double(), trees(6)
    inputs = [rows(6, requires_grad=True) for _ in range(3)]
    states = [run(*arguments(model, x, s))[0] for x in inputs]
    for number in (1, 0, 2, 1):
        (found,) = torch.autograd.grad(states[number].square().sum(), inputs[number], retain_graph=True)
        with gr.running_on("loop"):
            state = torch.cat(model.state(inputs[number], s), 1)
            assert_close(found, torch.autograd.grad(state.square().sum(), inputs[number])[0])


def test_what_is_kept_is_freed_with_the_graph():
    gc.collect()
    before = len(_in_use)
    state, memory = run(*arguments(gr.TreeLSTM(D, H), torch.randn(5, D), trees(5)))
    assert len(_in_use) == before + 1
    del memory
    assert len(_in_use) == before + 1  # the graph has it
    del state
    gc.collect()
    assert len(_in_use) == before


def test_memory_that_is_a_copy_costs_a_run_and_changes_nothing():
    args = arguments(gr.TreeLSTM(D, H).double(), rows(5), trees(5))
    args[1] = [row.detach() for row in args[1]]
    state, memory = run(*args)
    reverse = torch.ops.graphrec.run_backward
    grad = torch.randn_like(state)
    for one, other in zip(reverse(*args, grad, memory), reverse(*args, grad, memory.clone()), strict=True):
        assert_close(one, other)


def test_structures_are_made_once_whatever_is_asked_of_them():
    edges, slot, graph = (getattr(trees(5), name) for name in ("edge_index", "slot", "graph"))
    of_run, of_sinks = (edges, slot, None, None, graph, None), (edges, None, None, None, graph, None)
    first = [structure_of(parts, 5, 2, backward=False) for parts in (of_run, of_sinks)]
    again = [structure_of(parts, 5, 2, backward=False) for parts in (of_run, of_sinks)]
    assert [id(s) for s in first] == [id(s) for s in again]
    assert structure_of(of_run, 5, 2, backward=True) is first[0].reverse()


def test_structures_of_several_samples_are_refused():
    x, s = rows(5), trees(5)
    program, rows_given, _, *others = arguments(gr.TreeLSTM(D, H).double(), x, s)
    with pytest.raises(ValueError, match="one structure serves all of them"):
        vmap(lambda edges: run(program, rows_given, edges, *others)[0])(torch.stack([s.edge_index] * 2))


def test_rows_that_are_computed_anew_for_the_reverse():
    """Compilers may use the memory of what they can compute again, while they keep the operator's results."""
    model, x, s = gr.SRN(D, H), rows(5, requires_grad=True), gr.chain(5)
    nn.utils.parametrizations.weight_norm(model.cell.recurrent)
    args = arguments(model.double(), x, s)
    given = args[1] = [row.detach() for row in args[1]]
    lasting = read(args[0]).lasting
    assert lasting == (
        False,
        True,
        True,
        False,
    )  # x, the input's weight and bias, the weight that is computed
    state, memory = run(*args)
    grad = torch.randn_like(state)
    right = torch.ops.graphrec.run_backward(*args, grad, memory)
    args[1] = [row.clone() for row in given]
    for row, lasts in zip(given, lasting, strict=True):
        if not lasts:
            row.fill_(torch.nan)
    found = torch.ops.graphrec.run_backward(*args, grad, memory)
    for one, other in zip(found, right, strict=True):
        assert_close(one, other)


def test_edges_that_are_written_into_are_seen():
    model, x, s = gr.TreeLSTM(D, H).double(), rows(5), trees(5)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    edge_index = s.edge_index.clone()
    compiled(x, edge_index)
    edge_index[:] = edge_index.flip(0)
    assert_close(compiled(x, edge_index), model(x, s.reverse().edge_index))


@pytest.mark.parametrize("name", ["SRN", "GRU", "Tree-GRU", "D-VAE", "rounds"])
def test_programs_are_read_as_they_were_written(name):
    make, structures = MODELS[name]
    model = make()
    text = arguments(model, torch.randn(5, D), structures(5))[0]
    assert write(read(text)) == text


def test_programs_of_other_versions_are_refused():
    text = arguments(gr.TreeLSTM(D, H), torch.randn(5, D), trees(5))[0]
    with pytest.raises(ValueError, match="another version of graphrec"):
        read(text.replace('"version":1', '"version":0'))


@pytest.mark.parametrize(
    "text", ["", "[", "[1]", "{}", '{"version":1}', '{"version":1,"arity":{"dtype":"nn"}}', "[" * 9999]
)
def test_programs_that_are_damaged_are_refused(text):
    with pytest.raises(
        ValueError, match=r"^the text of a program is damaged \(\w+\): trace, compile or export"
    ):
        read(text)


def test_nothing_at_all():
    model = gr.TreeLSTM(D, H).double()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = rows(0, requires_grad=True)
    y = compiled(x, gr.chains([0, 0]))
    assert y.shape == (0, H)
    y.sum().backward()
    assert x.grad.shape == (0, D)


# ------------------------------------------------------------------------------------------------ exported


def exported(model, size=6, structures=dags, **options):
    example = (torch.randn(size, D, dtype=torch.float64), structures(size).edge_index)
    return export(model, example, dynamic_shapes={"x": {0: N}, "s": {1: E}}, **options)


@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=slow)])
@pytest.mark.parametrize("name", quick("Tree-LSTM")(["Tree-LSTM", "D-VAE", "up and down", "GCN and GAT"]))
def test_exported_with_edges_as_an_input(name, strict):
    model = MODELS[name][0]().double()
    program = exported(model, strict=strict)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for size in (4, 9):
        x, s = rows(size), dags(size)
        got = values_and_gradients(loaded, loaded, x, s.edge_index)
        assert_all_close(got, by_loop(model, x, s))


@slow
def test_exported_programs_run_in_another_process(tmp_path):
    model = gr.TreeLSTM(D, H).double()
    torch.export.save(exported(model), tmp_path / "model.pt2")
    x, s = rows(7), dags(7)
    torch.save((x, s.edge_index, model(x, s).detach()), tmp_path / "data.pt")
    check = (
        "import sys, torch, graphrec; x, edges, right = torch.load(sys.argv[2]); "
        "torch.testing.assert_close(torch.export.load(sys.argv[1]).module()(x, edges), right)"
    )
    files = [str(tmp_path / name) for name in ("model.pt2", "data.pt")]
    done = subprocess.run([sys.executable, "-c", check, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_compiled_ahead_of_time(tmp_path):
    model = gr.TreeLSTM(D, H).double()
    with torch.no_grad():
        path = torch._inductor.aoti_compile_and_package(
            exported(model), package_path=str(tmp_path / "model.pt2")
        )
    loaded = torch._inductor.aoti_load_package(path)
    for size in (4, 9):
        x, s = rows(size), dags(size)
        assert_close(loaded(x, s.edge_index), model(x, s).detach())

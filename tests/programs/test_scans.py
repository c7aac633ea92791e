"""Affine cells over all nodes at once are the loop: values, all gradients; what is refused, and what is told."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import graphrec as gr
from graphrec import clib
from graphrec.backends.growth import GrowthWarning
from graphrec.engine.rules import differentiated_by
from graphrec.learning import BPTT, RTRL
from graphrec.operators import recurrence_passes, recurrences
from graphrec.schedule import recurrence_edges, with_initial
from tests.strategies import acyclic, batches, chains
from tests.tolerances import GRADCHECK, assert_close
from tests.torch_threads import on_threads

D, H = 16, 4
WAYS = ["native", "torch"]


class Affine(gr.AffineCell):
    """A factor of each node."""

    def __init__(self):
        super().__init__(D, H)
        self.input = nn.Linear(D, D)

    def project(self, x):
        return self.input(x)

    def factor(self, x):
        return torch.tanh(x[:, :H])

    def term(self, x):
        return torch.sigmoid(x[:, H : 2 * H]) * x[:, 2 * H : 3 * H]


class Common(Affine):
    def __init__(self):
        super().__init__()
        self.decay = nn.Parameter(torch.randn(1, H))

    def factor(self, x):
        return torch.tanh(self.decay)


class InBlocks(Affine):
    def factor(self, x):
        return torch.tanh(x[:, : 2 * H]).view(-1, 2, 2, H // 2)


class CommonInBlocks(Affine):
    def __init__(self):
        super().__init__()
        self.rotation = nn.Parameter(torch.randn(1, 2, 2, H // 2))

    def factor(self, x):
        return torch.tanh(self.rotation)


class OfEdges(Affine):
    def edge_factor(self, x, edges):
        return torch.tanh(edges.to_edges(x[:, :H])) * (1 + edges.slot.unsqueeze(1)) / 2


class OfEdgesInBlocks(Affine):
    def edge_factor(self, x, edges):
        factor = torch.tanh(edges.to_edges(x[:, : 2 * H])) / (1 + edges.slot.unsqueeze(1))
        return factor.view(-1, 2, 2, H // 2)


CELLS = [Affine, Common, InBlocks, CommonInBlocks, OfEdges, OfEdgesInBlocks]
every_cell = pytest.mark.parametrize("kind", CELLS)


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(recurrences, "library_for", lambda *tensors: None)
    elif clib.library() is None:
        pytest.skip("there is no native library")


def oracle(cell, s, x, initial=None):
    """The equations, node by node; initial: `[N, H]`, of nodes without a source."""
    rows, states = cell.project(x), {}
    plan = gr.schedule(s)
    for v in plan.perm.tolist():
        row, inbox = rows[v : v + 1], (s.target == v).nonzero().flatten().tolist()
        sources = [(states[int(s.source[e])], int(s.slot[e])) for e in inbox]
        if not inbox and initial is not None:
            sources = [(initial[v : v + 1], 0)]
        total = torch.zeros(1, H, dtype=x.dtype)
        for h, slot in sources:
            if cell.has_edge_factor:
                edge = type(
                    "Edge", (), {"slot": torch.tensor([slot]), "to_edges": lambda self, values: values}
                )
                factor = cell.edge_factor(row, edge())
            else:
                factor = cell.factor(row)
            if factor.dim() == 4:
                first, second = h.chunk(2, 1)
                total = total + torch.cat(
                    [factor[:, a, 0] * first + factor[:, a, 1] * second for a in (0, 1)], 1
                )
            else:
                total = total + factor * h
        states[v] = total + cell.term(row)
    return torch.cat([states[v] for v in range(s.num_nodes)])


def run(cell, s, x, initial=None, backend="scans"):
    return gr.run(cell, gr.schedule(s), x, initial, backend=backend).h


def rows_of(s, dtype=torch.float64):
    return torch.randn(s.num_nodes, D, dtype=dtype, requires_grad=True)


def tree():
    return gr.tree("(a (b c d) (e (f g (h i (j k)))))")


STRUCTURES = {
    "chains": lambda: gr.chains([5, 0, 3, 7, 1]),
    "uneven chains": lambda: gr.chains([20, 1, 1]),
    "reversed chains": lambda: gr.chains([5, 3]).reverse(),
    "tree": tree,
    "tree downwards": lambda: tree().reverse(),
    "forest": lambda: gr.batch([tree(), tree().reverse(), gr.chain(4)]),
    "dag": lambda: gr.dag([[0, 1, 0, 2, 4, 4, 4], [1, 2, 3, 3, 0, 3, 3]], 6),
    "one node": lambda: gr.chain(1),
}


@every_cell
@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.usefixtures("way")
def test_it_is_the_equations_and_all_gradients_are(kind, name):
    s, cell = STRUCTURES[name](), kind().double()
    x, initial = rows_of(s), torch.randn(s.num_nodes, H, dtype=torch.float64, requires_grad=True)
    for given_state in (None, initial):
        leaves = [x, *cell.parameters()] + ([] if given_state is None else [initial])
        state = None if given_state is None else gr.per_node(given_state)
        results = []
        for h in (run(cell, s, x, state), oracle(cell, s, x, given_state)):
            first = torch.autograd.grad(h.square().sum(), leaves, create_graph=True, allow_unused=True)
            again = torch.autograd.grad(h.cos().sum(), leaves, allow_unused=True, retain_graph=True)
            total = sum(g.square().sum() for g in first if g is not None)
            second = torch.autograd.grad(total, leaves, allow_unused=True)
            results.append([h, *first, *again, *second])
        for one, other in zip(*results, strict=True):
            like = one if other is None else other
            if like is not None:
                zero = torch.zeros_like(like)
                assert_close(zero if one is None else one, zero if other is None else other)


@pytest.mark.parametrize("name", ["tree", "tree downwards"])
def test_wide_levels_go_one_by_one(name, monkeypatch):
    monkeypatch.setattr(recurrences, "library_for", lambda *tensors: None)
    s, cell = STRUCTURES[name](), OfEdgesInBlocks().double()
    x, results = rows_of(s), []
    for wide in (recurrence_passes._WIDE, -1):
        monkeypatch.setattr(recurrence_passes, "_WIDE", wide)
        h = run(cell, s, x)
        results.append((h, *torch.autograd.grad(h.square().sum(), [x, *cell.parameters()])))
    for one, other in zip(*results, strict=True):
        assert_close(one, other)


@given(s=acyclic(), which=st.sampled_from(CELLS), seed=st.integers(0, 9))
def test_random_structures(s, which, seed):
    torch.manual_seed(seed)
    cell, x = which().double(), rows_of(s)
    results = []
    for backend in ("scans", "loop"):
        h = run(cell, s, x, backend=backend)
        results.append(
            [h, *torch.autograd.grad(h.square().sum(), [x, *cell.parameters()], allow_unused=True)]
        )
    for one, other in zip(*results, strict=True):
        if one is not None and other is not None:
            assert_close(one, other)


@given(made=batches(chains(max_graphs=1)))
def test_a_batch_is_its_members(made):
    members, batch = made
    cell, x = Affine(), torch.randn(sum(s.num_nodes for s in members), D)
    alone = [
        run(cell, s, rows) for s, rows in zip(members, x.split([s.num_nodes for s in members]), strict=True)
    ]
    assert_close(run(cell, batch, x), torch.cat(alone))


@pytest.mark.parametrize("rows", ["one", "graph"])
@pytest.mark.usefixtures("way")
def test_initial_states(rows):
    s, cell = gr.chains([3, 0, 4, 1]), OfEdges().double()
    x, count = rows_of(s), 1 if rows == "one" else 4
    initial = torch.randn(count, H, dtype=torch.float64, requires_grad=True)
    of_nodes = initial.expand(4, H)[s.graph]
    one, other = run(cell, s, x, initial), oracle(cell, s, x, of_nodes)
    assert_close(one, other)
    grads = [torch.autograd.grad(h.square().sum(), [x, initial]) for h in (one, other)]
    for mine, wanted in zip(*grads, strict=True):
        assert_close(mine, wanted)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("shape", [(7, 2), (1, 2), (7, 2, 2, 1), (1, 2, 2, 1)])
@pytest.mark.parametrize("name", ["forest", "dag"])
def test_derivatives_by_finite_differences(shape, name):
    forest = gr.batch([gr.tree(parents=[2, 2, 3, -1]), gr.chain(3).reverse()])
    s = forest if name == "forest" else gr.dag([[0, 1, 0, 2, 4, 4], [1, 2, 3, 3, 0, 3]], 7)
    edges = recurrence_edges(with_initial(gr.schedule(s)))
    factor, term = torch.randn(shape, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    state = torch.randn(edges.num_given, 2, dtype=torch.float64)
    leaves = [tensor.requires_grad_() for tensor in (factor, term, state)]

    def h(*given_tensors):
        return recurrences.recurrence(*given_tensors, edges)

    assert torch.autograd.gradcheck(h, leaves, **GRADCHECK, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(h, leaves, **GRADCHECK)


# ---- numbers


class Given(gr.AffineCell):
    """Factors and terms are the input."""

    def __init__(self, hidden):
        super().__init__(2 * hidden, hidden)

    def factor(self, x):
        return x[:, : self.hidden]

    def term(self, x):
        return x[:, self.hidden :]


@pytest.mark.usefixtures("way")
def test_a_factor_of_zero_forgets_all_that_was():
    s, cell = gr.chain(50), Given(3)
    x = torch.rand(50, 6)
    x[20, :3] = 0
    other = torch.cat([torch.rand(20, 6) * torch.tensor([1, 1, 1, 1e30, 1e30, 1e30]), x[20:]])
    leaf = other.requires_grad_()
    h = run(cell, s, leaf)
    assert torch.equal(h[20:], run(cell, s, x)[20:])
    h[20].sum().backward()
    assert (leaf.grad[:20, 3:] == 0).all()
    assert (leaf.grad[:20, :3] == 0).all()
    assert leaf.grad.isfinite().all()
    assert (leaf.grad[20, :3] == h[19].detach()).all()  # as the loop has it


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_factor_that_is_no_number_stays_in_its_chain(wrong):
    s, x = gr.chains([5, 3]), torch.rand(8, 6)
    x[0, :3] = wrong
    leaf = x.requires_grad_()
    run(Given(3), s, leaf)[5:].sum().backward()
    assert leaf.grad[5:].isfinite().all()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("low", "high"), [(0.01, 0.01), (0.0, 1.0), (0.999, 1.0), (-1.0, 1.0)])
def test_100_000_steps_in_float32(low, high):
    s, cell = gr.chain(100_000), Given(2)
    x = torch.rand(100_000, 4)
    x[:, :2] = low + (high - low) * x[:, :2]
    grads, states = [], []
    for dtype in (torch.float32, torch.float64):
        leaf = x.clone().to(dtype).requires_grad_()
        h = run(cell, s, leaf)
        grads.append(torch.autograd.grad((h * x[:, 2:].to(dtype)).mean(), leaf)[0].double())
        states.append(h.double())
    for one, other in (states, grads):
        assert (one - other).norm() / other.norm() < 2e-5
        assert one.isfinite().all()


def test_float64_is_step_by_step():
    """The comparison above is with the loop's numbers."""
    x = torch.rand(2_000, 4, dtype=torch.float64)
    s, cell = gr.chain(2_000), Given(2)
    assert_close(run(cell, s, x), run(cell, s, x, backend="loop"))


@pytest.mark.slow
def test_a_million_steps():
    s, cell = gr.chain(1_000_000), Given(16)
    x = torch.rand(1_000_000, 32, requires_grad=True)
    run(cell, s, x).sum().backward()
    assert x.grad.isfinite().all()
    h, row = torch.zeros(16), x.detach()[:1_000]
    for t in range(1_000):
        h = row[t, :16] * h + row[t, 16:]
    assert_close(run(cell, s, x)[999], h)


def test_the_number_of_threads_changes_nothing():
    """Columns are shared out, or where there are few of them chains."""
    for width, lengths in ((70, [3_000]), (3, [40_000, 3, 0, 39_000, 20_000]), (3, [90_000])):
        s, cell = gr.chains(lengths), Given(width)
        x = torch.rand(s.num_nodes, 2 * width, requires_grad=True)
        initial = torch.rand(s.num_graphs, width)
        results = []
        for threads in (1, 3):
            with on_threads(threads):
                h = run(cell, s, x, initial)
                results.append((h, *torch.autograd.grad(h.sum(), x)))
        assert all(map(torch.equal, *results))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats(dtype):
    s, cell = gr.chains([9, 4]), Given(3)
    x = torch.rand(13, 6).to(dtype)
    assert_close(run(cell, s, x), run(cell, s, x, backend="loop"))


def test_autocast():
    s, cell, x = gr.chains([9, 4]), Affine(), torch.randn(13, D)
    with torch.autocast("cpu"):
        one, other = run(cell, s, x), run(cell, s, x, backend="loop")
    assert one.dtype == other.dtype == torch.float32
    torch.testing.assert_close(one, other, rtol=5e-2, atol=5e-2)


# ---- what surrounds a run


def test_modes_and_rules():
    s, cell, x = gr.chains([9, 4, 7]), Affine().double(), rows_of(gr.chains([9, 4, 7]))
    plan = gr.schedule(s)
    wanted = torch.autograd.grad(run(cell, s, x, backend="loop").square().sum(), [x, *cell.parameters()])
    for mode in (cell.train, cell.eval):
        mode()
        found = torch.autograd.grad(run(cell, s, x).square().sum(), [x, *cell.parameters()])
        for one, other in zip(found, wanted, strict=True):
            assert_close(one, other)
    for rule in (BPTT(recompute=4), RTRL()):
        with differentiated_by(rule):
            h = gr.run(cell, plan, x).h
        found = torch.autograd.grad(h.square().sum(), list(cell.parameters()))
        for one, other in zip(found, wanted[1:], strict=True):
            assert_close(one, other)


def test_transforms_run_the_loop():
    s, cell, x = gr.chains([5, 3]), Affine().double(), rows_of(gr.chains([5, 3])).detach()

    def loss(rows):
        return gr.run(cell, gr.schedule(s), rows).h.square().sum()

    leaf = x.clone().requires_grad_()
    assert_close(torch.func.grad(loss)(x), torch.autograd.grad(loss(leaf), leaf)[0])
    assert_close(torch.func.jacfwd(loss)(x), torch.func.grad(loss)(x))


def test_a_class_of_cells_is_not_kept():
    """In notebooks the same class is written again and again."""
    kind = type("Again", (Affine,), {})
    run(kind(), gr.chains([5, 3]), torch.randn(8, D))
    kept = weakref.ref(kind)
    del kind
    for _ in range(2):  # what was made of it goes first
        gc.collect()
    assert kept() is None


def test_a_cell_is_as_it_was_after_a_run():
    s, cell, x = gr.chains([5, 3]), Affine(), torch.randn(8, D)
    before = set(vars(cell))
    run(cell, s, x)
    assert set(vars(cell)) == before
    twin = copy.deepcopy(cell)
    with torch.no_grad():
        cell.input.weight.mul_(2)
    assert_close(run(cell, s, x), run(cell, s, x, backend="loop"))
    assert_close(run(twin, s, x), run(twin, s, x, backend="loop"))
    assert not torch.equal(run(twin, s, x), run(cell, s, x))


def test_weights_that_are_replaced_or_made_of_others():
    s, cell, x = gr.chains([5, 3]), Affine(), torch.randn(8, D)
    run(cell, s, x)
    weights = {name: 2 * weight for name, weight in cell.named_parameters()}
    model = gr.Recursive(cell)
    with gr.running_on("scans"):
        found = torch.func.functional_call(model, {f"cell.{name}": w for name, w in weights.items()}, (x, s))
    nn.utils.parametrizations.weight_norm(cell.input)
    assert_close(run(cell, s, x), run(cell, s, x, backend="loop"))
    twin = Affine()
    twin.load_state_dict(weights)
    assert_close(found, run(twin, s, x, backend="loop"))


class Overriding(Affine):
    def forward(self, x, inbox, own):
        return super().forward(x, inbox, own)


def _hooked():
    cell = Affine()
    cell.register_forward_hook(lambda *args: None)
    return cell


@pytest.mark.parametrize(
    ("cell", "how", "why"),
    [
        (lambda: gr.SRNCell(D, H), {}, "SRNCell is no graphrec.AffineCell"),
        (Overriding, {}, "Overriding has a step of its own"),
        (_hooked, {}, "a hook"),
        (Affine, {"mode": "sync", "rounds": 2}, "it runs in rounds"),
        (Affine, {"order": torch.arange(8)}, "in a given order"),
    ],
)
def test_what_it_does_not_take(cell, how, why):
    s = gr.chains([5, 3])
    with pytest.raises(ValueError, match=why):
        gr.run(cell(), gr.schedule(s, **how), torch.randn(8, D), backend="scans")
    gr.run(cell(), gr.schedule(s, **how), torch.randn(8, D))


@pytest.mark.chooses
def test_what_is_chosen():
    def chosen(cell, s):
        return gr.explain(gr.Recursive(cell), s)[0]

    assert chosen(Affine(), gr.chain(100)).backend == "scans"
    assert "scans" not in chosen(gr.SRNCell(D, H), gr.chain(100)).reasons
    assert "3 steps" in chosen(Affine(), gr.chain(3)).reasons["scans"]
    if clib.library() is not None:
        wide = chosen(Affine(), gr.chains([100] * 200))
        assert wide.backend == "native"
        assert "levels are 800 numbers wide" in wide.reasons["scans"]
        assert chosen(InBlocks(), gr.chains([100] * 200)).backend in ("scans", "native")
    assert "scans" in [backend.name for backend in gr.backends()]


# ---- what is refused, and told


class Wrong(gr.AffineCell):
    def __init__(self, factor, term):
        super().__init__(D, H)
        self.shapes_of = factor, term

    def factor(self, x):
        return x.new_zeros(self.shapes_of[0])

    def term(self, x):
        return x.new_zeros(self.shapes_of[1])


@pytest.mark.parametrize("backend", ["scans", "loop"])
@pytest.mark.parametrize(
    ("factor", "term", "message"),
    [
        ((5, 3), (5, 4), r"Wrong.factor must return rows as wide as the state, \[n, 4\], or blocks"),
        ((5, 2, 2, 3), (5, 4), r"\[n, k, k, 4 / k\], got shape \(5, 2, 2, 3\)"),
        ((5, 2, 1, 2), (5, 4), "Wrong.factor must"),
        ((5,), (5, 4), "Wrong.factor must"),
        ((5, 4), (5, 5), r"Wrong.term must return rows as wide as the state, \[n, 4\], got shape \(5, 5\)"),
        ((5, 4), (5,), "Wrong.term must"),
    ],
)
def test_wrong_shapes(factor, term, message, backend):
    with pytest.raises(ValueError, match=message):
        gr.run(Wrong(factor, term), gr.schedule(gr.chain(5)), torch.zeros(5, D), backend=backend)


@pytest.mark.parametrize("backend", ["scans", "loop"])
def test_what_is_no_real_tensor_is_refused(backend):
    s, x = gr.chain(5), torch.zeros(5, D)
    for value, got in ((0.5, "float"), (None, "NoneType"), (torch.ones(5, H) * 1j, "torch.complex64")):
        for name in ("factor", "term"):
            ways = {"factor": lambda self, x: x[:, :H], "term": lambda self, x: x[:, :H]}
            cell = type("Odd", (gr.AffineCell,), ways | {name: lambda self, x, value=value: value})(D, H)
            with pytest.raises(
                TypeError, match=f"Odd.{name} must return a tensor of real numbers.*, got {got}"
            ):
                gr.run(cell, gr.schedule(s), x, backend=backend)


@pytest.mark.parametrize(("factor", "term", "of"), [((3, 4), (5, 4), "factor"), ((5, 4), (3, 4), "term")])
def test_wrong_numbers_of_rows(factor, term, of):
    with pytest.raises(ValueError, match=f"Wrong.{of} must return one row for each of 5 nodes"):
        gr.run(Wrong(factor, term), gr.schedule(gr.chain(5)), torch.zeros(5, D), backend="scans")


def test_what_is_not_written_is_told():
    class Empty(gr.AffineCell):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no term"):
        gr.run(Empty(D, H), gr.schedule(gr.chain(5)), torch.zeros(5, D), backend="scans")


def grows(modulus, in_blocks=False):
    cell = (CommonInBlocks if in_blocks else Common)()
    value = torch.full((1, H), modulus)
    if in_blocks:
        angle = torch.tensor(0.3)
        one, other = modulus * angle.cos(), modulus * angle.sin()
        value = torch.stack([one, -other, other, one]).view(1, 2, 2, 1).expand(1, 2, 2, H // 2)
    kind = type("Growing", (type(cell),), {"factor": lambda self, x: value})
    return kind()


@pytest.mark.parametrize("in_blocks", [False, True])
def test_growth_is_told_once_and_from_which_length_on(in_blocks):
    cell, s, x = grows(1.1, in_blocks), gr.chain(2_000), torch.zeros(2_000, D)
    with pytest.warns(
        GrowthWarning, match=r"modulus up to 1.1, so that float32 overflows from 930 steps on, and"
    ):
        run(cell, s, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(cell, s, x)
        run(grows(1.1, in_blocks), gr.chain(900), x[:900])
        run(grows(1.0, in_blocks), s, x)


def test_growth_is_told_where_a_shorter_chain_overflows():
    x = torch.full((3_000, 6), 0.5)
    x[:1_400, :3] = 1.1
    with pytest.warns(GrowthWarning, match="from 930 steps on"):
        run(Given(3), gr.chains([1_400, 0, 1_600]), x)


def test_growth_of_factors_of_nodes_is_told_where_states_overflow():
    x = torch.ones(2_000, 6)
    x[:, :3] = 1.1
    with pytest.warns(GrowthWarning, match="from 930 steps on"):
        run(Given(3), gr.chain(2_000), x)
    x[:, 1:3] = 0.5
    x[100:, :3] = 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(Given(3), gr.chain(2_000), x)

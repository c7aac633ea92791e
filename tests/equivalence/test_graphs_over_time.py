"""GConvGRU, GConvLSTM and DCRNN are the papers' equations by dense matrices, snapshot after snapshot."""

from typing import NamedTuple

import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec import clib
from tests.oracles import graphs_over_time as oracles
from tests.tolerances import GRADCHECK, assert_close

D, H, K, N = 2, 3, 3, 5


class Case(NamedTuple):
    model: type
    oracle: object
    make: object  # from a graph to its matrices as relations
    dense: object
    fields: int


CASES = {
    "GConvGRU": Case(gr.GConvGRU, oracles.graph_gru, gr.chebyshev, oracles.polynomials, 1),
    "GConvLSTM": Case(gr.GConvLSTM, oracles.graph_lstm, gr.chebyshev, oracles.polynomials, 2),
    "DCRNN": Case(gr.DCRNN, oracles.graph_gru, gr.diffusion, oracles.walks, 1),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def weights(case, seed, size=N):
    """W `[N, N]`, the same both ways where the Laplacian wants it; the last node has no edges."""
    draw = torch.Generator().manual_seed(seed)
    W = torch.rand(size, size, generator=draw, dtype=torch.double)
    W = W * (torch.rand(size, size, generator=draw) < 0.5)
    W[-1:], W[:, -1:] = 0, 0
    return W + W.t() if case.make is gr.chebyshev else W


def graph(W):
    edges = W.nonzero().t()
    return gr.dag(edges, len(W), edge_weight=W[edges[0], edges[1]])


def series(case, Ws, k=K):
    return gr.over_time([case.make(graph(W), k) for W in Ws], carried=True)


def model_of(case, k=K):
    torch.manual_seed(0)
    return case.model(D, H, k).double()


def expected(case, model, Ws, x, state=None, k=K):
    state = state or (torch.zeros(len(Ws[0]), H, dtype=torch.double),) * case.fields
    found = case.oracle(model.cell, [case.dense(W, k) for W in Ws], x.view(len(Ws), len(Ws[0]), D), state)
    return tuple(field.flatten(0, 1) for field in found)


def rows(steps, size=N, seed=1, width=D):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(steps * size, width, generator=draw, dtype=torch.double, requires_grad=True)


@each
@pytest.mark.parametrize(("k", "steps"), [(1, 3), (3, 1), (3, 3)])
def test_the_papers_equations(case, k, steps):
    model, x, W = model_of(case, k), rows(steps), weights(case, 0)
    state = tuple(rows(1, width=H, seed=5 + n) for n in range(case.fields))
    given = tuple(torch.cat([field.new_zeros((steps - 1) * N, H), field]) for field in state)
    found = model.state(x, series(case, [W] * steps, k), initial=given)
    right = expected(case, model, [W] * steps, x, state, k)
    inputs = [x, *state, *model.parameters()]
    for one, other in zip(found, right, strict=True):
        assert_close(one, other)
    gradients = [torch.autograd.grad(sum(f.sin().sum() for f in fields), inputs) for fields in (found, right)]
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other)


@each
def test_each_snapshot_has_its_own_edges(case):
    model, x = model_of(case), rows(3)
    Ws = [weights(case, 1), torch.zeros(N, N, dtype=torch.double), weights(case, 2)]
    s = series(case, Ws)
    assert_close(model(x, s), expected(case, model, Ws, x)[0])
    assert not torch.allclose(model(x, s), model(x, series(case, Ws[::-1])))


@each
def test_every_series_of_a_batch_is_itself_alone(case):
    """The batched DCRNN of a well-known package convolves the first series alone."""
    model, steps, sizes = model_of(case), 3, (N, 3, 4)
    Ws = [weights(case, seed, size) for seed, size in enumerate(sizes)]
    xs = [rows(steps, size, seed) for seed, size in enumerate(sizes)]
    alone = [model(x, series(case, [W] * steps)) for x, W in zip(xs, Ws, strict=True)]
    for one, W, x in zip(alone, Ws, xs, strict=True):
        assert_close(one, expected(case, model, [W] * steps, x)[0])
    s = gr.batch([series(case, [W] * steps) for W in Ws])
    assert_close(model(torch.cat(xs), s), torch.cat(alone))
    # The graphs as a batch, whose rows are step after step.
    s = gr.over_time(case.make(gr.batch([graph(W) for W in Ws]), K), steps, carried=True)
    by_step = torch.cat([x.view(steps, -1, D) for x in xs], dim=1).flatten(0, 1)
    h = torch.cat([one.view(steps, -1, H) for one in alone], dim=1).flatten(0, 1)
    assert_close(model(by_step, s), h)


@each
def test_several_series_over_one_graph(case):
    model, steps = model_of(case), 3
    one = series(case, [weights(case, 0)] * steps)
    x = torch.stack([rows(steps, seed=seed) for seed in range(4)])
    h = model(x.flatten(0, 1), gr.batch([one] * 4))
    assert_close(h, torch.cat([model(part, one) for part in x]))


@each
def test_series_of_different_lengths(case):
    model, W = model_of(case), weights(case, 0)
    lengths = [2, 0, 3, 1]
    xs = [rows(t, seed=t) for t in lengths]
    members = [
        series(case, [W] * t) if t else gr.over_time(case.make(graph(W), K), 0, carried=True) for t in lengths
    ]
    alone = [model(x, s) for x, s in zip(xs, members, strict=True)]
    assert alone[1].shape == (0, H)
    assert_close(model(torch.cat(xs), gr.batch(members)), torch.cat(alone))


@each
def test_windows_continue_each_other(case):
    model, W, x = model_of(case), weights(case, 0), rows(4)
    whole = model.state(x, series(case, [W] * 4))
    first = model.state(x[: 2 * N], series(case, [W] * 2))
    second = model.state(x[2 * N :], series(case, [W] * 2), initial=first)
    for one, other, all_of_it in zip(first, second, whole, strict=True):
        assert_close(torch.cat([one, other]), all_of_it)


@each
def test_initial_states_for_a_graph_or_for_all(case):
    model, steps, sizes = model_of(case), 2, (N, 3)
    Ws = [weights(case, seed, size) for seed, size in enumerate(sizes)]
    xs = [rows(steps, size, seed) for seed, size in enumerate(sizes)]
    s = gr.batch([series(case, [W] * steps) for W in Ws])
    state = tuple(rows(1, 2, seed=5 + n, width=H) for n in range(case.fields))
    of_graph = [tuple(field[[g]].expand(size, H) for field in state) for g, size in enumerate(sizes)]
    right = [expected(case, model, [W] * steps, x, h)[0] for W, x, h in zip(Ws, xs, of_graph, strict=True)]
    for given in (state, gr.per_graph(state)):
        assert_close(model(torch.cat(xs), s, initial=given), torch.cat(right))
    for_all = tuple(field[:1] for field in state)
    assert_close(model(xs[0], series(case, Ws[:1] * steps), initial=for_all), right[0])
    if case.fields == 1:
        assert_close(model(torch.cat(xs), s, initial=state[0]), torch.cat(right))


@each
def test_the_order_of_edges_does_not_matter(case):
    """In a well-known package's DCRNN it does."""
    model, x, W = model_of(case), rows(2), weights(case, 0)
    edges = W.nonzero().t()
    shuffled = edges[:, torch.randperm(edges.shape[1])]
    h = [
        model(x, gr.over_time(case.make(gr.dag(e, N, edge_weight=W[e[0], e[1]]), K), 2, carried=True))
        for e in (edges, shuffled)
    ]
    assert_close(*h)


@each
@pytest.mark.parametrize(
    ("backend", "dtype"),
    [("native", torch.float64), ("native", torch.float32), ("torch_programs", torch.float64)],
)
def test_backends_agree(case, backend, dtype):
    if backend == "native" and clib.library() is None:
        pytest.skip(f"there is no native library: {clib.why_not()}")
    torch.manual_seed(0)
    model, W, x = case.model(D, H, K).to(dtype), weights(case, 0).to(dtype), rows(3).detach().to(dtype)
    s = series(case, [W] * 3)
    state = tuple(rows(3, width=H, seed=n).detach().to(dtype) for n in range(case.fields))
    for initial in (None, state):
        found = []
        for name in ("loop", backend):
            model.zero_grad()
            given = x.clone().requires_grad_()
            h = model(given, s, initial=initial, backend=name)
            h.sin().sum().backward()
            found.append([h.detach(), given.grad, *(p.grad for p in model.parameters())])
        for one, other in zip(*found, strict=True):
            assert_close(one, other)


@each
def test_gradcheck(case):
    """Also in the weights of the edges, which travel from the matrices into each step."""
    model, W, x = model_of(case), weights(case, 0, 3), rows(2, 3)
    made = case.make(graph(W), 2)
    weight = made.edge_weight.clone().requires_grad_()
    model = case.model(D, H, 2).double()
    state = tuple(rows(2, 3, seed=n, width=H) for n in range(case.fields))

    def run(*_):
        return model(x, gr.over_time(made.replace(edge_weight=weight), 2, carried=True), initial=state)

    assert gradcheck(run, (x, weight, *state, *model.parameters()), **GRADCHECK, fast_mode=True)


@each
def test_what_is_kept_of_a_structure_serves_training(case):
    """It is made in the first run, which may be one without gradients, or inside a transform."""
    model, W, x = model_of(case), weights(case, 0), rows(2)
    right = model(x, series(case, [W] * 2))
    (gradient,) = torch.autograd.grad(right.sum(), x)
    for first in (torch.inference_mode, torch.no_grad):
        s = series(case, [W] * 2)
        with first():
            model(x, s)
        assert_close(torch.autograd.grad(model(x, s).sum(), x)[0], gradient)
    s = series(case, [W] * 2)
    assert_close(torch.func.grad(lambda x: model(x, s).sum())(x.detach()), gradient)
    assert_close(torch.autograd.grad(model(x, s).sum(), x)[0], gradient)


@each
def test_weights_that_change_after_a_run(case):
    """What is kept of a structure has no old weights, nor weights without gradients once they want them."""
    model, W, x = model_of(case), weights(case, 0), rows(2)
    s, fresh = series(case, [W] * 2), series(case, [W] * 2)
    model(x, s)
    for one in (s, fresh):
        one.edge_weight.mul_(0.5)
    right = model(x, fresh)
    assert_close(model(x, s), right)
    assert_close(model(x, s), right)
    gradients = []
    for one in (s, fresh.replace(edge_weight=fresh.edge_weight)):
        one.edge_weight.requires_grad_()
        gradients += torch.autograd.grad(model(x, one).sum(), one.edge_weight)
    assert_close(*gradients)


@each
def test_through_pygs_loader(case):
    model = model_of(case)
    made = [series(case, [weights(case, seed)] * 3) for seed in range(3)]
    data = [gr.to_pyg(s) for s in made]
    for seed, sample in enumerate(data):
        sample.x = rows(3, seed=seed).detach()
    alone = torch.cat([model(sample.x, s) for sample, s in zip(data, made, strict=True)])
    for batch in DataLoader(data, batch_size=3):
        assert_close(model(batch.x, batch), alone)


@each
def test_nothing_at_all(case):
    model = model_of(case)
    none = torch.zeros(0, D, dtype=torch.double, requires_grad=True)
    empty = torch.zeros(0, 0, dtype=torch.double)
    for s in (
        series(case, [empty] * 2),
        gr.over_time([]),
        gr.over_time(case.make(graph(weights(case, 0)), K), 0),
    ):
        h = model(none, s)
        assert h.shape == (0, H)
        h.sum().backward()
    no_edges = torch.zeros(2, 2, dtype=torch.double)
    x = rows(3, 2)
    assert_close(model(x, series(case, [no_edges] * 3)), expected(case, model, [no_edges] * 3, x)[0])


def test_without_matrices_of_its_own_any_relations_will_do():
    """A cell of two matrices over a structure whose two relations have no names."""
    s = gr.dag([[0, 1], [1, 0]], 2, relation=torch.tensor([0, 1]))
    model = gr.GConvGRU(D, H, 2)
    assert model(torch.randn(6, D), gr.over_time(s, 3, carried=True)).shape == (6, H)


def refusals():
    W = torch.ones(2, 2, dtype=torch.double)
    spread, cheb = gr.diffusion(graph(W), K), gr.chebyshev(graph(W), K)
    x, s = torch.zeros(6, D), gr.over_time(cheb, 3, carried=True)
    s = s.replace(edge_weight=s.edge_weight.float())
    model = gr.GConvGRU(D, H, K)
    h = torch.zeros(6, H)
    return {
        "no past": (lambda: model(x, gr.over_time(cheb, 3)), "carried=True"),
        "no graph over time": (lambda: model(x[:3], gr.chain(3)), r"graphrec\.over_time"),
        "backwards": (lambda: model(x, s.reverse()), "forwards in time"),
        "without stages": (
            lambda: gr.Recursive(model.cell)(x, gr.over_time(cheb, 3)),
            r"graphrec\.OverTime\(cell\)",
        ),
        "kinds": (lambda: model(x, s.replace(kind=torch.zeros(6, dtype=torch.long))), "kind=None"),
        "features": (lambda: model(x, s.replace(edge_attr=torch.ones(s.num_edges, 2))), "edge_attr=None"),
        "other matrices": (
            lambda: model(x, gr.over_time(spread, 3, carried=True)),
            r"T_0, T_1, T_2, but .* I, forward 1.*chebyshev\(graph, 3\)",
        ),
        "fewer of them": (lambda: gr.GConvLSTM(D, H, 2)(x, s), r"chebyshev\(graph, 2\)"),
        "the wrong way round": (lambda: gr.DCRNN(D, H, K)(x, s), r"diffusion\(graph, 3\)"),
        "rows": (lambda: model(x[:4], s), "expected 6 rows, got shape"),
        "width": (lambda: model(x[:, :1], s), r"\[6, 2\] for this cell"),
        "rows of the state": (lambda: model(x, s, initial=h[:4]), r"6 rows \(one per node\)"),
        "width of the state": (lambda: model(x, s, initial=h[:, :2]), "of width 3"),
        "fields of the state": (lambda: gr.GConvLSTM(D, H, K)(x, s, initial=h), r"tensors \(h, c\)"),
        "final states": (lambda: model(x, s, return_states=True), "model.state"),
        "k": (lambda: gr.DCRNN(D, H, 0), "k must be 1 or more"),
    }


@pytest.mark.parametrize("name", refusals())
def test_refused(name):
    call, message = refusals()[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_other_cells_have_no_stages():
    with pytest.raises(TypeError, match=r"graphrec\.Recursive"):
        gr.OverTime(gr.GRUCell(D, H))

"""The norms are those of Jacobians found by hand or one row at a time, over distances as networkx counts them."""

import math
from collections import defaultdict

import networkx as nx
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

import graphrec as gr
from graphrec import dynamics
from tests import zoo
from tests.tolerances import assert_close
from tests.trials import edges_of, trial

NORMS = {"spectral": 2, "frobenius": "fro"}


def jacobian_by_rows(oracle, run, target: int, source: int) -> Tensor:
    """`[S, S]`: the equations node by node, cut at the source, and one backward pass per number of the target."""
    inbox, states = defaultdict(list), {}
    for origin, node, slot in edges_of(run.structure):
        inbox[node].append((slot, origin))
    graph = nx.MultiDiGraph(run.structure.edge_index.t().tolist())
    graph.add_nodes_from(range(run.structure.num_nodes))
    for node in nx.topological_sort(graph):
        states[node] = oracle(run.cell, run.x[node], [(slot, states[origin]) for slot, origin in inbox[node]])
        if node == source:
            states[node] = cut = tuple(field.detach().requires_grad_() for field in states[node])
    rows = []
    for number in torch.cat(states[target]):
        grads = torch.autograd.grad(number, cut, retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat([torch.zeros_like(c) if g is None else g for c, g in zip(cut, grads, strict=True)])
        )
    return torch.stack(rows)


def pairs_by_networkx(s: gr.Structure) -> dict[tuple[int, int], int]:
    """Every sink and its ancestors, and the edges of the shortest path between them."""
    graph = nx.DiGraph(s.edge_index.t().tolist())
    graph.add_nodes_from(range(s.num_nodes))
    sinks = [node for node in graph if not graph.out_degree(node)]
    length = dict(nx.all_pairs_shortest_path_length(graph))
    return {(sink, node): length[node][sink] for sink in sinks for node in graph if sink in length[node]}


def pairs_of(flow: dynamics.GradientFlow) -> dict[tuple[int, int], int]:
    return dict(
        zip(zip(flow.target.tolist(), flow.source.tolist(), strict=True), flow.distance.tolist(), strict=True)
    )


@pytest.mark.parametrize(("case", "structure"), zoo.cases(zoo.CELLS, [zoo.lagged, zoo.mixed_batch], share=2))
def test_pairs_and_norms_are_those_found_one_row_at_a_time(case, structure):
    run = trial(case.make, structure)
    expected = pairs_by_networkx(structure)
    jacobian = {pair: jacobian_by_rows(case.oracle, run, *pair) for pair in expected}
    for norm, order in NORMS.items():
        flow = dynamics.gradient_flow(run.cell, run.x, structure, norm=norm)
        assert pairs_of(flow) == expected
        norms = [torch.linalg.matrix_norm(jacobian[pair], order) for pair in pairs_of(flow)]
        assert_close(flow.norm, torch.stack(norms))


def srn(length: int = 7, hidden: int = 4) -> tuple[gr.SRN, Tensor, gr.Structure]:
    torch.manual_seed(0)
    return gr.SRN(3, hidden).double(), torch.randn(length, 3, dtype=torch.float64), gr.chain(length)


def test_of_the_srn_they_are_the_textbooks_products():
    model, x, s = srn()
    begin = torch.randn(1, 4, dtype=torch.float64)
    with torch.no_grad():
        flow = dynamics.gradient_flow(model, x, s, begin)
        h, U = model(x, s, initial=begin), model.cell.recurrent.weight
        product, norms = torch.eye(4, dtype=torch.float64), []
        for t in range(6, -1, -1):
            norms.append(torch.linalg.svdvals(product)[0])
            product = product @ torch.diag(1 - h[t] ** 2) @ U
    assert flow.measured == "spectral norm of dh_t/dh_k"
    assert flow.distances.tolist() == list(range(7))
    assert_close(flow.quantile(0.5), torch.stack(norms))


def test_error_signals_follow_the_recursion_of_bptt():
    model, x, s = srn()
    readout = nn.Linear(4, 3).double()
    y = torch.tensor([0, 1, 2, 0, 1, 2, 0])

    def loss(state, nodes):
        return nn.functional.cross_entropy(readout(state.h), y[nodes], reduction="none")

    flow = dynamics.gradient_flow(model, x, s, targets=[6, 4], loss=loss)
    h, U, V = model(x, s), model.cell.recurrent.weight, readout.weight
    expected = {}
    for t in (4, 6):
        error = torch.softmax(readout(h[t]), 0) - nn.functional.one_hot(y[t], 3)
        signal = V.t() @ error
        for k in range(t, -1, -1):
            expected[t, k] = signal.norm()
            signal = U.t() @ ((1 - h[k] ** 2) * signal)
    assert flow.measured == "norm of dL_t/dh_k"
    assert pairs_of(flow) == {(t, k): t - k for t, k in expected}
    assert_close(flow.norm, torch.stack([expected[pair] for pair in pairs_of(flow)]).detach())


def test_targets_of_one_graph_do_not_mix():
    model, x, s = srn()
    flow = dynamics.gradient_flow(model, x, s, targets=torch.arange(7))
    for t in range(7):
        alone = dynamics.gradient_flow(model, x, s, targets=[t])
        assert alone.target.tolist() == [t] * (t + 1)
        assert_close(flow.norm[flow.target == t], alone.norm)


def test_probes_estimate_the_squared_frobenius_norm_without_bias():
    model, x, s = srn(length=4)
    exact = dynamics.gradient_flow(model, x, s, norm="frobenius").norm ** 2
    single = [
        dynamics.gradient_flow(model, x, s, norm="frobenius", probes=8, seed=seed).norm ** 2
        for seed in range(300)
    ]
    estimate = torch.stack(single)
    deviation = estimate.std(0) / 300**0.5
    assert bool(((estimate.mean(0) - exact).abs() <= 4 * deviation + 1e-12).all())
    assert bool((deviation < 0.05 * exact).all())  # so that a factor would show
    assert len(estimate.unique(dim=0)) > 1


def test_probes_are_drawn_by_their_seed_alone():
    model, x, s = srn()
    state = torch.get_rng_state()
    one, same, other = (
        dynamics.gradient_flow(model, x, s, norm="frobenius", probes=2, seed=seed).norm for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_model_and_its_gradients_are_left_alone():
    model, x, s = srn()
    x.requires_grad_()
    dynamics.gradient_flow(model, x, s)
    assert x.grad is None
    assert all(p.grad is None for p in model.parameters())


def test_it_takes_cells_models_and_pyg_data():
    model, x, s = srn()
    expected = dynamics.gradient_flow(model, x, s).norm
    data = Data(edge_index=s.edge_index, num_nodes=s.num_nodes)
    assert torch.equal(dynamics.gradient_flow(model.cell, x, s).norm, expected)
    assert torch.equal(dynamics.gradient_flow(model, x, data).norm, expected)


def linear(factor: float, length: int, hidden: int = 3) -> dynamics.GradientFlow:
    """h_t = factor * R h_{t-1} with an orthogonal R: the norm after d hops is factor^d."""
    cell = gr.SRNCell(1, hidden, activation="linear").double()
    nn.init.orthogonal_(cell.recurrent.weight, factor)
    return dynamics.gradient_flow(cell, torch.zeros(length, 1, dtype=torch.float64), gr.chain(length))


@pytest.mark.parametrize(
    ("factor", "length", "words"),
    [
        (0.5, 31, ["Gradients vanish", "factor of 0.5 per hop", "after 10 hops 0.001 is left"]),
        (2.0, 31, ["Gradients explode", "factor of 2 per hop", "after 10 hops it is 1000 times as large"]),
        (1.0, 31, ["Gradients last", "factor of 1 per hop", "after 30 hops", "1 is left"]),
        (0.9, 11, ["Gradients last", "after 10 hops, the most there are here, 0.35 is left"]),
        (0.9, 31, ["Gradients vanish", "after 66 hops"]),
        (0.0, 5, ["Gradients vanish: the spectral norm of dh_t/dh_k is 0 from 1 hop on"]),
        (0.5, 1, ["Nothing flows"]),
    ],
)
def test_the_report_says_what_is_known(factor, length, words):
    flow = linear(factor, length)
    for word in words:
        assert word in str(flow)
    if length > 1:
        assert flow.rate == pytest.approx(factor, rel=1e-9)
    else:
        assert math.isnan(flow.rate)


def test_the_table_has_quantiles_over_pairs():
    flow = dynamics.GradientFlow(
        "norm",
        *(torch.tensor([0] * 6) for _ in range(2)),
        torch.tensor([3, 0, 3, 3, 3, 3]),
        torch.arange(6.0),
    )
    assert flow.distances.tolist() == [0, 3]
    assert flow.quantile(0.5).tolist() == [1, 3]
    assert str(flow).splitlines()[-1].split() == ["3", "5", "0.8", "3", "4.6"]


def test_what_overflows_is_infinite_and_leaves_the_rate_alone():
    flow = linear(1e30, 16)
    assert flow.quantile(0.5)[11:].isinf().all()
    assert flow.rate == pytest.approx(1e30, rel=1e-6)
    assert flow.verdict == "explode"
    assert "changes by a factor of 1e+30 per hop and is inf from 11 hops on" in str(flow)


def test_where_nothing_is_finite_gradients_explode():
    cell = gr.SRNCell(1, 2)
    nn.init.constant_(cell.recurrent.weight, torch.nan)
    flow = dynamics.gradient_flow(cell, torch.zeros(6, 1), gr.chains([3, 3]))
    assert flow.quantile(0.5).tolist() == [1, torch.inf, torch.inf]
    assert flow.rate == torch.inf
    assert flow.verdict == "explode"
    assert "is inf from 1 hop on" in str(flow)


def test_a_delay_network_passes_nothing_on():
    """Its nodes show their inputs: a target depends on what it reads itself, and no further."""
    cell = gr.TDNNCell(2, 3, lags=2).double()
    s = gr.lagged([7], (1, 2))
    flow = dynamics.gradient_flow(cell, torch.randn(7, 2, dtype=torch.float64), s)
    assert bool((flow.norm[flow.distance == 1] > 0).all())
    assert bool((flow.norm[flow.distance > 1] == 0).all())
    assert flow.verdict == "vanish"
    assert "and is 0 from 2 hops on" in str(flow)


CHAIN = gr.chain(3)
X = torch.zeros(3, 2)


def srn_flow(model=None, x=X, s=CHAIN, **options):
    return dynamics.gradient_flow(gr.SRN(2, 2) if model is None else model, x, s, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: srn_flow(targets=[3]), ["no node 3", "0 to 2"]),
        (lambda: srn_flow(targets=[-1]), ["no node -1", "0 to 2"]),
        (lambda: srn_flow(targets=[0.5]), ["targets", "whole numbers"]),
        (lambda: srn_flow(targets=[]), ["targets", "one or more"]),
        (lambda: srn_flow(x=X[:0], s=gr.chain(0)), ["with nodes", "without"]),
        (lambda: srn_flow(norm="max"), ["norm", "spectral, frobenius", "'max'"]),
        (lambda: srn_flow(probes=4), ["Frobenius", "norm='frobenius'", "'spectral'"]),
        (lambda: srn_flow(norm="frobenius", probes=0), ["probes", "1 or more", "0"]),
        (lambda: srn_flow(loss=lambda state, nodes: state.h.sum()), ["each of the 1 targets", "()"]),
        (lambda: srn_flow(loss=lambda state, nodes: torch.zeros(1)), ["depend on their states"]),
        (lambda: srn_flow(loss=lambda state, nodes: 1.0), ["float"]),
        (
            lambda: srn_flow(gr.Recursive(gr.SRNCell(2, 2), mode="sync", rounds=3)),
            ["async", "'sync'", "model.cell"],
        ),
        (
            lambda: srn_flow(gr.Recursive(gr.SRNCell(2, 2), cycles="iterate", rounds=3)),
            ["cycles='iterate'", "model.cell"],
        ),
        (lambda: srn_flow(gr.Recursive(gr.SRNCell(2, 2), order=gr.colouring)), ["order", "model.cell"]),
        (lambda: srn_flow(gr.Stacked([gr.SRN(2, 2), gr.SRN(2, 2)])), ["Stacked", "one by one"]),
        (lambda: srn_flow(nn.RNN(2, 2)), ["RNN", "graphrec.from_torch"]),
        (lambda: srn_flow(s=gr.dag([[0, 1], [1, 0]], 3)), ["cycle", "0 → 1 → 0"]),
        (lambda: srn_flow(x=X[:2]), ["one row per node", "3 rows"]),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    for word in words:
        assert word in str(error.value)

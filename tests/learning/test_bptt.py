"""BPTT is what the textbook derives by hand: local gradients by recursion, weights' gradients as their sums."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec.learning import BPTT, local_gradients
from tests.learning.networks import STRUCTURES, SumCell, gradients_of, outermost_first, targets
from tests.tolerances import assert_all_close, assert_close

structures = pytest.mark.parametrize("s", STRUCTURES.values(), ids=STRUCTURES)
D, H, Y = 3, 4, 2


@pytest.fixture
def network():
    model = gr.SequenceToLabels(gr.Recursive(SumCell(D, H)), H, Y).double()
    return model, model.model.cell.recurrent.weight, model.output.weight


def problem(s: gr.Structure):
    """Inputs, and the half squared error of all nodes with its derivatives L'(y_k)."""
    x, wanted = torch.randn(s.num_nodes, D).double(), torch.randn(s.num_nodes, Y).double()
    return x, lambda y: 0.5 * (y - wanted).pow(2).sum(), lambda y: y - wanted


def recorded(model, x, s):
    """What local gradients are asked of, the states and the outputs."""
    with local_gradients() as local:
        h = model.model(x, s)
    return local, h, model.output(h)


@structures
def test_local_gradients_follow_the_recursion(network, s):
    model, u, v = network
    x, loss, slope = problem(s)
    local, h, y = recorded(model, x, s)
    found = local.of(loss(y))
    assert local.runs[0].names == ("h", "z")

    dh, dz = torch.zeros_like(h), torch.zeros_like(h)
    for k in outermost_first(s):
        dh[k] = v.T @ slope(y)[k] + sum(u.T @ dz[m] for m in targets(s, k))
        dz[k] = (1 - h[k] ** 2) * dh[k]
    assert_all_close(found, {"h": dh.detach(), "z": dz.detach()})


@structures
def test_each_losss_own_local_gradients_follow_the_recursion(network, s):
    """delta_{t,t} = diag(f'(z_t)) V' L'(y_t), delta_{t,k} = diag(f'(z_k)) U' (sum of delta_{t,m} over targets m)."""
    model, u, v = network
    x, _, slope = problem(s)
    local, h, y = recorded(model, x, s)
    wanted = (y - slope(y)).detach()
    for t in range(s.num_nodes):
        found = local.of(0.5 * (y[t] - wanted[t]).pow(2).sum())["z"]
        delta = torch.zeros_like(h)
        for k in outermost_first(s):
            error = (
                v.T @ slope(y)[t] if k == t else sum((u.T @ delta[m] for m in targets(s, k)), torch.zeros(H))
            )
            delta[k] = (1 - h[k] ** 2) * error
        assert_close(found, delta.detach(), f"delta_{t}")


@structures
def test_weights_gradients_are_sums_of_local_ones(network, s):
    model, *_ = network
    x = torch.randn(s.num_nodes, D).double()
    with local_gradients() as local:
        h = model.model(x, s)
    each = [local.of(0.5 * loss_of_node)["z"] for loss_of_node in (model.output(h) - 1).pow(2).sum(1)]
    delta = torch.stack(each)  # [t, k, H]
    received = torch.zeros_like(h).index_add(0, s.target, h[s.source])
    BPTT().gradients(model, s, x, lambda y: 0.5 * (y - 1).pow(2).sum())
    cell = model.model.cell
    assert_close(cell.recurrent.weight.grad, torch.einsum("tki,kj->ij", delta, received).detach(), "U")
    assert_close(cell.input.weight.grad, torch.einsum("tki,kj->ij", delta, x), "W")
    assert_close(cell.input.bias.grad, delta.sum((0, 1)), "b")


def test_an_srn_on_a_chain_is_the_textbooks():
    model = gr.SRN(D, H, activation="logistic").double()
    s, x = gr.chain(6), torch.randn(6, D).double()
    with local_gradients() as local:
        h = model(x, s)
    found, u = local.of(h.pow(3).sum()), model.cell.recurrent.weight
    delta = torch.zeros(7, H).double()
    for k in reversed(range(6)):
        delta[k] = (h[k] * (1 - h[k]) * (3 * h[k] ** 2 + u.T @ delta[k + 1])).detach()
    assert_close(found["z"], delta[:6], "delta")


def test_an_lstms_memory_cells_have_local_gradients():
    model, s, x = gr.LSTM(D, H).double(), gr.chain(5), torch.randn(5, D).double()
    with local_gradients() as local:
        h = model(x, s)
    found = local.of(h.pow(2).sum())
    assert local.runs[0].names == ("h", "c", "z0", "z1", "z2", "z3", "z4")

    cell, states = model.cell, []
    previous = memory = torch.zeros(1, H).double()
    for row in x:
        gates = row @ cell.input.weight.T + cell.input.bias + previous @ cell.recurrent.weight.T
        i, f, g, o = gates.chunk(4, dim=1)
        memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
        previous = torch.sigmoid(o) * torch.tanh(memory)
        states.append((previous, memory, f, i, g, o))
    flat = [tensor for step in states for tensor in step]
    grads = torch.autograd.grad(sum(step[0].pow(2).sum() for step in states), flat)
    h, c, f, i, g, o = (torch.cat(grads[n::6]) for n in range(6))
    assert_all_close(
        {name: found[name] for name in ("h", "c", "z0", "z1", "z2", "z3")},
        {"h": h, "c": c, "z0": f, "z1": i, "z2": g, "z3": o},
    )


def test_rounds_have_local_gradients_each():
    s, rounds = STRUCTURES["dag"], 3
    cell = SumCell(D, H).double()
    x = torch.randn(s.num_nodes, D).double()
    with local_gradients() as local:
        h = gr.Recursive(cell, mode="sync", rounds=rounds)(x, s)
    found = local.of(h.pow(2).sum())["z"]
    assert found.shape == (rounds, s.num_nodes, H)
    states = [visit.state.h for visit in gr.steps(cell, gr.schedule(s, "sync", rounds), x)]
    delta = torch.zeros_like(found)
    for r in reversed(range(rounds)):
        for k in range(s.num_nodes):
            later = (
                sum((cell.recurrent.weight.T @ delta[r + 1, m] for m in targets(s, k)), torch.zeros(H))
                if r + 1 < rounds
                else 2 * h[k]
            )
            delta[r, k] = ((1 - states[r][k] ** 2) * later).detach()
    assert_close(found, delta, "delta")


@pytest.mark.parametrize(
    "model", [gr.LSTM(D, H), gr.GRU(D, H), gr.TreeLSTM(D, H)], ids=["LSTM", "GRU", "TreeLSTM"]
)
def test_the_rule_is_autograd(model):
    s, x = gr.chains([4, 2]), torch.randn(6, D)
    model(x, s).pow(2).sum().backward()
    expected = gradients_of(model)
    model.zero_grad()
    value = BPTT().gradients(model, s, x, lambda h: h.pow(2).sum())
    assert_all_close(gradients_of(model), expected)
    assert_close(value, model(x, s, rule=BPTT()).pow(2).sum().detach())


def test_a_loss_may_have_weights_of_its_own():
    model, head, s, x = gr.GRU(D, H), nn.Linear(H, 1), gr.chain(4), torch.randn(4, D)
    head(model(x, s)).sum().backward()
    expected = gradients_of(model), gradients_of(head)
    model.zero_grad()
    head.zero_grad()
    BPTT().gradients(model, s, x, lambda h: head(h).sum())
    assert_all_close(gradients_of(model), expected[0])
    assert_all_close(gradients_of(head), expected[1])


def test_a_stack_has_a_run_for_each_layer():
    model = gr.Stacked([gr.SRN(D, H), gr.SRN(H, H)]).double()
    s, x = gr.chain(4), torch.randn(4, D).double()
    with local_gradients() as local:
        h = model(x, s)
    below, above = (run.of(h.sum())["h"] for run in local.runs)
    u, w = (model.layers[1].cell.recurrent.weight, model.layers[1].cell.input.weight)
    dz = (1 - h**2) * above
    assert_close(above, (1 + torch.cat([dz[1:], torch.zeros(1, H)]) @ u).detach())
    first = model.layers[0](x, s)
    later = torch.zeros(5, H).double()
    for k in reversed(range(4)):
        later[k] = (
            dz[k] @ w + (1 - first[min(k + 1, 3)] ** 2) * later[k + 1] @ model.layers[0].cell.recurrent.weight
        ).detach()
    assert_close(below, later[:4])
    with pytest.raises(ValueError, match=r"2 runs.*local\.runs\[i\]"):
        local.of(h.sum())


def test_no_nodes_have_local_gradients_of_no_rows():
    model, x = gr.SRN(D, H), torch.zeros(0, D)
    with local_gradients() as local:
        h = model(x, gr.chains([0, 0]))
    assert {name: rows.shape for name, rows in local.of(h.sum()).items()} == {"h": (0, H)}

"""Truncated BPTT sends errors back so many hops, and no further: against recursions and rounds written out by hand."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

import graphrec as gr
from graphrec.learning import BPTT, TruncatedBPTT
from tests.counting import Count
from tests.learning.networks import (
    STRUCTURES,
    SumCell,
    by_hand,
    gradients_of,
    outermost_first,
    states_by_hand,
    targets,
)
from tests.tolerances import assert_all_close, assert_close

structures = pytest.mark.parametrize("s", STRUCTURES.values(), ids=STRUCTURES)
D, H = 3, 4


def loss_of(h: Tensor) -> Tensor:
    return (h * torch.arange(1, 1 + h.numel()).view(h.shape).sin()).pow(2).sum()


def found(model, s, x, rule, loss=loss_of) -> dict[str, Tensor | None]:
    """The rule's gradients, of x as well."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    rule.gradients(model, s, x, loss)
    return gradients_of(model) | {"x": x.grad}


@structures
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_each_loss_reaches_back_so_many_hops(s, depth):
    """It is the gradient of so many rounds from the states of all nodes, which count as constant."""
    model = gr.Recursive(SumCell(D, H)).double()
    x = torch.randn(s.num_nodes, D).double()
    leaf = x.clone().requires_grad_()
    h = states_by_hand(model.cell, s, x).detach()
    for _ in range(depth):
        h = by_hand(model.cell, s, leaf, h)
    loss_of(h).backward()
    expected = gradients_of(model) | {"x": leaf.grad}
    assert_all_close(found(model, s, x, TruncatedBPTT(depth)), expected)
    assert_close(model(x, s, rule=TruncatedBPTT(depth)).detach(), model(x, s).detach())


@structures
def test_one_hop_is_the_instantaneous_rule(s):
    """delta_k = diag(f'(z_k)) L'(h_k)."""
    model = gr.Recursive(SumCell(D, H)).double()
    x = torch.randn(s.num_nodes, D).double()
    h = model(x, s).detach()
    delta = (1 - h**2) * 2 * h
    received = torch.zeros_like(h).index_add(0, s.target, h[s.source])
    grads = found(model, s, x, TruncatedBPTT(1), lambda h: h.pow(2).sum())
    assert_close(grads["cell.recurrent.weight"], delta.T @ received, "U")
    assert_close(grads["cell.input.weight"], delta.T @ x, "W")
    assert_close(grads["cell.input.bias"], delta.sum(0), "b")


def deltas(cell: SumCell, s: gr.Structure, h: Tensor) -> Tensor:
    """`[t, k, H]`: delta_{t,k} of the losses h_t' h_t, by recursion."""
    delta = h.new_zeros(len(h), len(h), H)
    for t, k in product(range(len(h)), outermost_first(s)):
        error = (
            2 * h[k]
            if k == t
            else sum((cell.recurrent.weight.T @ delta[t, m] for m in targets(s, k)), h.new_zeros(H))
        )
        delta[t, k] = ((1 - h[k] ** 2) * error).detach()
    return delta


@pytest.mark.parametrize(("depth", "every"), [(1, 1), (3, 1), (2, 2), (3, 2), (3, 3), (5, 2), (6, 4), (8, 3)])
def test_errors_of_some_steps_go_back_together(depth, every):
    """The error of step t, in the k steps that end before step e, goes back to step e - h."""
    s = gr.chain(10)
    model = gr.Recursive(SumCell(D, H)).double()
    x = torch.randn(10, D).double()
    h = model(x, s).detach()
    delta = deltas(model.cell, s, h)
    total = torch.zeros_like(h)
    for t, k in product(range(10), range(10)):
        end = min((t // every + 1) * every, 10)
        if k >= end - depth:
            total[k] += delta[t, k]
    grads = found(model, s, x, TruncatedBPTT(depth, every), lambda h: h.pow(2).sum())
    assert_close(grads["cell.input.weight"], total.T @ x, "W")
    assert_close(grads["cell.recurrent.weight"], total[1:].T @ h[:-1], "U")


@structures
@pytest.mark.parametrize(("depth", "every"), [(2, 2), (3, 2), (4, 3)])
def test_errors_of_some_levels_go_back_together(s, depth, every):
    """As on chains, steps being levels; all paths count that stay among the levels of the window."""
    model = gr.Recursive(SumCell(D, H)).double()
    x = torch.randn(s.num_nodes, D).double()
    level, h = gr.levels(s), model(x, s).detach()
    u, total = model.cell.recurrent.weight.detach(), torch.zeros_like(h)
    for start in range(0, int(level.max()) + 1, every):
        end = min(start + every, int(level.max()) + 1)
        delta = torch.zeros_like(h)
        for k in outermost_first(s):
            if end - depth <= level[k] < end:
                error = sum((u.T @ delta[m] for m in targets(s, k)), 2 * h[k] * (level[k] >= start))
                delta[k] = (1 - h[k] ** 2) * error
        total += delta
    grads = found(model, s, x, TruncatedBPTT(depth, every), lambda h: h.pow(2).sum())
    received = torch.zeros_like(h).index_add(0, s.target, h[s.source])
    assert_close(grads["cell.input.weight"], total.T @ x, "W")
    assert_close(grads["cell.recurrent.weight"], total.T @ received, "U")


CELLS = {
    "SRN": gr.SRNCell,
    "LSTM": gr.LSTMCell,
    "GRU": gr.GRUCell,
    "ChildSumTreeLSTM": gr.ChildSumTreeLSTMCell,
    "TreeGRU": gr.TreeGRUCell,
}
cells = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)


@cells
@pytest.mark.parametrize("depth", [1, 3])
def test_every_cell_is_truncated_as_rounds_are(make, depth):
    cell = make(D, H).double()
    s = gr.chains([7, 5]) if cell.arity == 1 else STRUCTURES["tree"]
    x = torch.randn(s.num_nodes, D).double()
    state = gr.run(cell, gr.schedule(s), x)
    start = gr.per_node(cell.State(*(field.detach() for field in state)))
    loss_of(gr.run(cell, gr.schedule(s, "sync", depth), x, start).h).backward()
    expected = {f"cell.{name}": grad for name, grad in gradients_of(cell).items()}
    model = gr.Recursive(cell)
    grads = found(model, s, x, TruncatedBPTT(depth))
    assert_all_close({name: grads[name] for name in expected}, expected)


@cells
@pytest.mark.parametrize("every", [1, 3])
def test_what_is_within_reach_is_as_by_bptt(make, every):
    """The losses of the first levels, whose paths are short, though the structure is deeper than the reach."""
    model = gr.Recursive(make(D, H)).double()
    s = gr.chains([9, 6]) if model.cell.arity == 1 else STRUCTURES["tree"]
    x = torch.randn(s.num_nodes, D).double()
    near = gr.levels(s) < 3

    def loss(h: Tensor) -> Tensor:
        return loss_of(h[near])

    assert int(gr.levels(s).max()) >= 3
    assert_all_close(found(model, s, x, TruncatedBPTT(3, every), loss), found(model, s, x, BPTT(), loss))


@structures
def test_a_reach_as_deep_as_the_structure_is_bptt(s):
    model = gr.Recursive(SumCell(D, H)).double()
    x, depth = torch.randn(s.num_nodes, D).double(), int(gr.levels(s).max()) + 1
    for every in (1, depth):
        assert_all_close(found(model, s, x, TruncatedBPTT(depth, every)), found(model, s, x, BPTT()))


@pytest.mark.parametrize("every", [1, 2])
def test_in_sync_mode_hops_are_rounds(every):
    cell, s = SumCell(D, H).double(), STRUCTURES["dag"]
    x = torch.randn(s.num_nodes, D).double()
    model = gr.Recursive(cell, mode="sync", rounds=6)
    h = torch.zeros(s.num_nodes, H).double()
    for number in range(6):
        h = by_hand(cell, s, x, h.detach() if number == 3 else h)
    loss_of(h).backward()
    expected = gradients_of(model)
    grads = found(model, s, x, TruncatedBPTT(3, every))
    assert_all_close({name: grads[name] for name in expected}, expected)


@pytest.mark.parametrize("every", [1, 2])
def test_initial_states_within_reach_get_their_gradient(every):
    model, s = gr.LSTM(D, H).double(), gr.chains([5, 4])
    x = torch.randn(9, D).double()
    early = torch.tensor([0, 1, 5, 6])
    for last, nodes in ((True, early), (False, early + 2)):
        start = gr.LSTMCell.State(*(torch.randn(2, H).double().requires_grad_() for _ in "hc"))
        truncated, whole = (
            torch.autograd.grad(
                loss_of(model(x, s, initial=gr.per_graph(start), rule=rule)[nodes]),
                list(start),
                allow_unused=True,
            )
            for rule in (TruncatedBPTT(2, every), BPTT())
        )
        assert any(grad.abs().sum() > 0 for grad in whole)
        for one, other in zip(truncated, whole, strict=True):
            assert_close(
                torch.zeros_like(other) if one is None else one, other if last else torch.zeros_like(other)
            )


def written(length: int, rule: TruncatedBPTT) -> int:
    model, x = gr.SRN(D, H), torch.randn(length, D)
    s = gr.chain(length)
    gr.schedule(s)
    with Count() as count:
        rule.gradients(model, s, x, lambda h: h.pow(2).sum())
    return count.written


@pytest.mark.parametrize("every", [1, 4])
def test_cost_grows_with_the_length_and_with_the_depth(every):
    lengths = [written(length, TruncatedBPTT(4, every)) for length in (40, 80, 160)]
    assert lengths[2] - lengths[1] < 2.1 * (lengths[1] - lengths[0])
    depths = [written(80, TruncatedBPTT(depth, every)) for depth in (4, 8, 16)]
    assert depths[2] - depths[1] < 2.1 * (depths[1] - depths[0])


def test_no_gradient_is_asked_for_where_there_is_none():
    model, s, x = gr.SRN(D, H), gr.chain(5), torch.randn(5, D)
    with torch.no_grad():
        assert_close(model(x, s, rule=TruncatedBPTT(2)), model(x, s))
    model.requires_grad_(False)
    assert not model(x, s, rule=TruncatedBPTT(2)).requires_grad
    assert model(torch.zeros(0, D), gr.chains([0]), rule=TruncatedBPTT(2)).shape == (0, H)

"""The gradients are those that finite differences find, in float64, in everything that requires grad.

`gradcheck` and, for second derivatives, `gradgradcheck` for every cell on a DAG, a batch of a chain, a
tree and a DAG, and in rounds on a graph with cycles.
"""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import graphrec as gr
from tests.tolerances import GRADCHECK
from tests.trials import trial
from tests.zoo import ALL_CELLS, CELLS, by_turns, cases, chain, cyclic, dag, mixed_batch, tree

# A cell that keeps a gradient back on purpose has another gradient than finite differences find.
DIFFERENTIABLE = [case for case in ALL_CELLS if case.name != "WithoutGrad"]


def assert_gradcheck(check, run):
    # The checks perturb the inputs where they are, so the run need not be handed them.
    assert check(run.run, tuple(run.inputs.values()), **GRADCHECK, fast_mode=True)


@pytest.mark.parametrize(("case", "structure"), cases(DIFFERENTIABLE, [dag, mixed_batch], share=2))
def test_async(case, structure):
    assert_gradcheck(gradcheck, trial(case.make, structure, "per graph"))


@pytest.mark.parametrize(("case", "structure"), cases(DIFFERENTIABLE, [cyclic]))
def test_sync(case, structure):
    assert_gradcheck(gradcheck, trial(case.make, structure, "per node", mode="sync", rounds=2))


@pytest.mark.parametrize(("case", "structure", "mode"), by_turns(CELLS, [dag], ["async", "sync"]))
def test_second_derivatives(case, structure, mode):
    rounds = 2 if mode == "sync" else None
    assert_gradcheck(gradgradcheck, trial(case.make, structure, "per graph", mode=mode, rounds=rounds))


@pytest.mark.slow
@pytest.mark.parametrize(("case", "structure"), cases(CELLS, [chain, tree, mixed_batch]))
def test_second_derivatives_on_other_families(case, structure):
    assert_gradcheck(gradgradcheck, trial(case.make, structure, "per graph"))


@pytest.mark.slow
@pytest.mark.parametrize(("case", "structure"), cases(CELLS, [cyclic]))
def test_second_derivatives_in_rounds(case, structure):
    assert_gradcheck(gradgradcheck, trial(case.make, structure, "per node", mode="sync", rounds=2))


def test_second_derivatives_by_hand():
    """For one node h = tanh(W x + b): d2h/dx2 = -2 h (1 - h^2) W^2."""
    cell = gr.SRNCell(1, 1).double()
    x = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    h = gr.run(cell, gr.schedule(gr.chain(1)), x).h
    (first,) = torch.autograd.grad(h, x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    expected = -2 * h * (1 - h**2) * cell.input.weight**2
    torch.testing.assert_close(second, expected.detach())


def test_backward_a_second_time():
    run = trial(gr.ChildSumTreeLSTMCell, gr.chains([3, 2]))
    loss = run.run().h.sum()
    first = torch.autograd.grad(loss, run.x, retain_graph=True)
    again = torch.autograd.grad(loss, run.x)
    assert torch.equal(first[0], again[0])
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        torch.autograd.grad(loss, run.x)


def test_gradients_accumulate_as_they_do_in_torch():
    run = trial(gr.SRNCell, gr.chain(4))
    run.run().h.sum().backward()
    once = run.cell.recurrent.weight.grad.clone()
    run.run().h.sum().backward()
    assert torch.equal(run.cell.recurrent.weight.grad, 2 * once)

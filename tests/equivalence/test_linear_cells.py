"""Linear recurrences beyond those of the zoo: their papers' equations, finite differences, gates at their limits."""

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import graphrec as gr
from tests import oracles
from tests.tolerances import GRADCHECK, assert_all_close, assert_close
from tests.trials import assert_agrees_with_oracle, trial
from tests.zoo import CellCase, cases, cyclic, dag, family, isolated_nodes, lagged, mixed_batch, one_node


class DiagonalGLACell(gr.AffineCell):
    """As users write it: gated linear attention with a gate for each key, one head, and a state of keys by values.

    S_t = diag(alpha_t) S_{t-1} + k_t v_t^T,  alpha_t = sigmoid(W x_t + b)^(1 / tau)

    Yang, Wang, Shen, Panda & Kim, *Gated linear attention transformers with hardware-efficient training*, ICML 2024.
    """

    State = namedtuple("State", "h")

    def __init__(self, inputs, keys, values):
        super().__init__(inputs, keys * values)
        self.keys, self.values = keys, values
        self.key, self.value, self.gate = (nn.Linear(inputs, n) for n in (keys, values, keys))

    def project(self, x):
        alpha = torch.sigmoid(self.gate(x)) ** (1 / 16)
        return torch.cat([alpha, self.key(x), self.value(x)], dim=-1)

    def factor(self, x):
        return x[:, : self.keys].repeat_interleave(self.values, dim=-1)

    def term(self, x):
        _, k, v = x.split([self.keys, self.keys, self.values], dim=-1)
        return (k.unsqueeze(-1) * v.unsqueeze(-2)).flatten(1)


def diagonal_gla(cell, x, inbox):
    alpha, k, v = (layer.weight @ x + layer.bias for layer in (cell.gate, cell.key, cell.value))
    before = sum((h.view(cell.keys, cell.values) for _, (h,) in inbox), torch.outer(k, v) * 0)
    return ((torch.diag(torch.sigmoid(alpha) ** (1 / 16)) @ before + torch.outer(k, v)).flatten(),)


CELLS = [
    CellCase("MinGRU-positive", lambda d, h: gr.MinGRUCell(d, h, "positive"), oracles.min_gru_positive),
    CellCase("MinLSTM", gr.MinLSTMCell, oracles.min_lstm),
    CellCase("MinLSTM-positive", lambda d, h: gr.MinLSTMCell(d, h, "positive"), oracles.min_lstm_positive),
    CellCase("PLSTM", lambda d, h: gr.PLSTMCell(h, 1, 2, arity=2), oracles.plstm),
    CellCase("PLSTM-alike", lambda d, h: gr.PLSTMCell(h, 1, 2), oracles.plstm_alike),
    CellCase("GLA", lambda d, h: DiagonalGLACell(d, h, 3), diagonal_gla),
]


@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize(
    ("case", "structure"), cases(CELLS, [one_node, isolated_nodes, dag, lagged, mixed_batch])
)
def test_cells_agree_with_their_papers_equations(case, structure, initial):
    run = trial(case.make, structure, initial)
    assert_agrees_with_oracle(run, case.oracle)


@pytest.mark.parametrize(("case", "structure"), cases(CELLS, [mixed_batch]))
def test_gradients_are_those_of_finite_differences(case, structure):
    run = trial(case.make, structure, "per graph")
    for check in (gradcheck, gradgradcheck):
        assert check(run.run, tuple(run.inputs.values()), **GRADCHECK, fast_mode=True)


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
def test_rounds_agree_with_the_equations(case):
    run = trial(case.make, family(cyclic, case.arity), "per node", mode="sync", rounds=3)
    assert_agrees_with_oracle(run, case.oracle)


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
def test_all_are_run_by_scans(case):
    cell = case.make(3, 2)
    (choice,) = gr.explain(gr.Recursive(cell), gr.chains([30, 20]))
    assert choice.backend == "scans"
    run = trial(case.make, gr.grid([8, 5], 4), "per node")
    with gr.running_on("loop"):
        expected = run.outcome()
    with gr.running_on("scans"):
        assert_all_close(run.outcome(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gates_that_are_both_zero_still_share(dtype):
    """sigmoid(-1000) / (sigmoid(-1000) + sigmoid(-1000)) is 0 / 0, and 1 / 2 in the limit."""
    cell = gr.MinLSTMCell(1, 3).to(dtype)
    with torch.no_grad():
        cell.input.weight.zero_()
        cell.input.bias.copy_(torch.tensor([-1000, -1000, -1000, -1000, -1001, -1000 + 40, 1, 1, 1]))
    before = cell.State(torch.full((1, 3), 3.0, dtype=dtype))
    h = gr.run(cell, gr.schedule(gr.chain(1)), torch.ones(1, 1, dtype=dtype), before).h
    keep = torch.sigmoid(torch.tensor([0, 1, -40], dtype=dtype))
    assert_close(h[0], 3 * keep + (1 - keep))
    h.sum().backward()
    assert cell.input.bias.grad.isfinite().all()
    assert_close(cell.input.bias.grad[:3], 2 * keep * (1 - keep))  # of f, whose sigmoid has a slope of 1 here


def test_a_minimal_unit_moves_slowly():
    """In float32 z = 1e-8 is small and not zero, and neither is 1 - z where z is so near to 1."""
    cell = gr.MinGRUCell(1, 2)
    with torch.no_grad():
        cell.input.weight.zero_()
        cell.input.bias.copy_(torch.tensor([-18.4, 18.4, 1, 1]))
    before = cell.State(torch.tensor([[0.0, 1e9]]))
    h = gr.run(cell, gr.schedule(gr.chain(1)), torch.zeros(1, 1), before).h
    z = torch.sigmoid(torch.tensor(-18.4))
    assert_close(h[0] / z, torch.stack([torch.ones(()), 1e9 + 1 / z]))


def test_positive_candidates_keep_states_positive():
    cell = gr.MinGRUCell(3, 4, "positive")
    assert (gr.run(cell, gr.schedule(gr.chain(50)), 9 * torch.randn(50, 3)).h > 0).all()


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"activation must be one of .*positive, or a function, got 'log'"):
        gr.MinLSTMCell(3, 4, "log")

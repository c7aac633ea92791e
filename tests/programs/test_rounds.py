"""Rounds by the native executor: what they keep, where weights' gradients are summed, whose rows are read in place."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

import graphrec as gr
from graphrec import clib
from graphrec.backends.programs import lower, runner
from tests.tolerances import assert_close

pytestmark = pytest.mark.skipif(clib.library() is None, reason=f"no native library: {clib.why_not()}")

N, H = 130, 7  # (more rows than two tiles have)


class Reading(gr.GRUCell):
    """A recurrent unit that reads x, too, and so has something that is projected once for all rounds."""

    reads_edges = ("edge_weight",)
    arity = None

    def forward(self, x, inbox, own):
        state = super().forward(x, inbox, own)
        return self.State(state.h + own.h * inbox.mean(inbox.h))


CELLS = [gr.GGNNCell, lambda inputs, hidden: gr.GGNNCell(inputs, hidden, relations=2), gr.GATv2Cell, Reading]


def graph(seed: int = 0) -> gr.Structure:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(N, (2, 5 * N), generator=generator)
    return gr.dag(edges, N, relation=torch.randint(2, (5 * N,), generator=generator))


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def made(kind):
    torch.manual_seed(0)
    return kind(H, H).double()


def gradients(cell, plan, x, upstream, backend):
    h = gr.run(cell, plan, x, backend=backend).h
    return (h, *torch.autograd.grad(h, [x, *cell.parameters()], upstream))


@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_keep_what_the_reverse_reads(executions, rounds):
    """The sum of messages, both gates, the candidate, what r multiplies, and h - n; h and W h of each round."""
    plan, x = gr.schedule(graph(), "sync", rounds=rounds), rows(N, H).requires_grad_()
    gr.run(made(gr.GGNNCell), plan, x, backend="native").h.sum().backward()
    frame = executions[0].frame
    slots = 1 if rounds == 1 else rounds + 1
    assert frame.forward.size <= (6 * rounds + 2 * slots) * N * H + 16 * 10
    assert frame.reverse.size <= 2 * slots * N * H + 16 * 10


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("small", [0, 60, 2**16])
def test_gradients_of_weights_in_the_sweep_and_after_it(kind, rounds, small, monkeypatch, executions):
    """None, some, or all of them, as small as they are."""
    monkeypatch.setattr(lower, "_SMALL", small)
    monkeypatch.setattr(runner, "_PREPARED", OrderedDict())
    cell, plan, x = made(kind), gr.schedule(graph(), "sync", rounds=rounds), rows(N, H).requires_grad_()
    found, right = (gradients(cell, plan, x, rows(N, H).cos(), backend) for backend in ("native", "loop"))
    for one, other in zip(found, right, strict=True):
        assert_close(one, other)
    lowered = executions[0].frame.lowered.values()
    assert small == 60 or any(one.outer_jobs for one in lowered) == (small > 0)
    assert small == 60 or any(one.weight_jobs for one in lowered) == (small == 0)


@pytest.mark.parametrize("kind", CELLS)
def test_one_round_reads_rows_as_the_caller_has_them(kind):
    """One row for all, every other column; and gradients so."""
    cell, plan = made(kind), gr.schedule(graph(), "sync", rounds=1)
    for x in (rows(1, H).expand(N, H), rows(N, 2 * H)[:, ::2], rows(H, N).T):
        for upstream in (rows(1, H).sin().expand(N, H), rows(N, 2 * H)[:, 1::2]):
            found, right = (
                gradients(cell, plan, x.detach().requires_grad_(), upstream, backend)
                for backend in ("native", "loop")
            )
            for one, other in zip(found, right, strict=True):
                assert_close(one, other)


def test_x_has_no_other_gradient_than_that_of_the_initial_state():
    """Nothing else of the cell reads it: zeros where the initial state is not x."""
    cell, plan = made(gr.GGNNCell), gr.schedule(graph(), "sync", rounds=1)
    x, other = rows(N, H).requires_grad_(), gr.per_node(cell.State(rows(N, H).sin()))
    found, right = (
        torch.autograd.grad(gr.run(cell, plan, x, backend=backend).h.square().sum(), x)[0]
        for backend in ("native", "loop")
    )
    assert_close(found, right)
    h = gr.run(cell, plan, x, other, backend="native").h
    assert not torch.autograd.grad(h.square().sum(), x)[0].any()


def test_the_input_is_not_written_into():
    plan, x = gr.schedule(graph(), "sync", rounds=1), rows(N, H)
    before, cell = x.clone(), made(gr.GGNNCell)
    h = gr.run(cell, plan, x, backend="native").h
    h.zero_()
    assert torch.equal(x, before)
    assert_close(gr.run(cell, plan, x, backend="native").h, gr.run(cell, plan, x, backend="loop").h)


class Matrices(gr.Cell):
    """A row and a matrix, which an edge multiplies: by one number, by one for each row, or by one for each entry."""

    State = gr.LSTMCell.State

    def __init__(self, numbers: tuple[int, int]) -> None:
        super().__init__(4, 4)
        self.numbers = numbers

    def shapes(self):
        return [(4,), (2, 2)]

    def forward(self, x, inbox, own):
        weighted = inbox.c * inbox.edge_attr.view(-1, *self.numbers)
        return self.State(x.tanh(), torch.tanh(inbox.sum(weighted)) + x.view(-1, 2, 2))


@pytest.mark.parametrize("numbers", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_edges_multiply_matrices(numbers):
    attr = rows(5 * N, numbers[0] * numbers[1])
    plan = gr.schedule(graph().replace(edge_attr=attr), "sync", rounds=2)
    x = rows(N, 4).requires_grad_()
    cell = Matrices(numbers)
    found = {
        backend: gr.run(cell, plan, x, backend=backend).c for backend in ("loop", "native", "torch_programs")
    }
    of_x = {backend: torch.autograd.grad(c.square().sum(), x)[0] for backend, c in found.items()}
    for backend in ("native", "torch_programs"):
        assert_close(found[backend], found["loop"])
        assert_close(of_x[backend], of_x["loop"])

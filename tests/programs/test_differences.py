"""Runs by programs that once differed from the loop: found by comparing random cells on random structures."""

import random
from collections import namedtuple
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import graphrec as gr
from graphrec import clib
from graphrec.backends.programs import NativePrograms, native_runner
from graphrec.backends.programs.native_layout import Layout
from graphrec.backends.request import Request
from graphrec.cprogram import GLOBAL
from graphrec.engine.validate import validate
from tests.tolerances import assert_all_close, assert_close

H = namedtuple("H", "h")
TREE = gr.tree(parents=[2, 2, 4, 4, 5, 6, 7, -1])
EDGES = [[2, 2, 1, 2, 2, 3, 3, 2, 6], [6, 1, 3, 3, 4, 4, 5, 5, 5]]
GRAPH = gr.dag(EDGES, 7).replace(relation=torch.tensor([0, 1, 0, 1, 0, 2, 1, 2, 2]))
BACKENDS = ["torch_programs", *(["native"] if clib.library() is not None else [])]


class Written(gr.Cell):
    """A cell whose step is a function of the cell, x, inbox and own."""

    State = H

    def __init__(self, step, state: type = H):
        super().__init__(3, 3)
        torch.manual_seed(0)
        self.State, self.step = state, step
        self.U, self.V, self.R = nn.Linear(3, 3), nn.Linear(3, 3, bias=False), nn.Linear(9, 3)
        self.W = nn.Parameter(torch.randn(3, 4))
        self.double()

    def forward(self, x, inbox, own):
        return self.State(self.step(self, x, inbox, own))


def rows(s):
    made = torch.randn(s.num_nodes, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return made.requires_grad_()


def all_of(cell, s, backend, twice=False, initial=None):
    x = rows(s)
    (h,) = gr.run(cell, gr.schedule(s), x, initial, backend=backend)
    inputs = {"x": x, **dict(cell.named_parameters())}
    weight = torch.arange(1.0, h.numel() + 1, dtype=h.dtype).sin().view_as(h)
    grads = torch.autograd.grad(
        (h * weight).sum(), list(inputs.values()), allow_unused=True, create_graph=twice
    )
    found = {"h": h.detach(), **dict(zip(inputs, grads, strict=True))}
    if twice:
        total = sum(grad.square().sum() for grad in grads if grad is not None and grad.requires_grad)
        seconds = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
        found |= {f"second {name}": grad for name, grad in zip(inputs, seconds, strict=True)}
    return found


STEPS = {
    "a column for all": lambda c, x, i, o: torch.tanh(i.sum(i.h) + x.sum(1, keepdim=True)),
    "sums of a column for all": lambda c, x, i, o: torch.tanh(c.U(i.sum(i.h[:, :1].expand(-1, 3))) + x),
    "only columns for all": lambda c, x, i, o: x.sum(1, keepdim=True).expand(-1, 3).tanh() + i.sum(i.h),
    "a product of a product": lambda c, x, i, o: torch.tanh(x + i.sum(c.U(c.V(i.h)).sin())),
    "part of what has slots": lambda c, x, i, o: torch.tanh(
        c.R(i.by_slot(i.h, 3).flatten(1)) + x + i.sum(i.h[:, :1].sin())
    ),
    "part of what has relations": lambda c, x, i, o: torch.tanh(
        c.R(i.sum_by_relation(i.h, 3).flatten(1)) + x + i.sum(i.h[:, :1].sin())
    ),
    "every other column of a product": lambda c, x, i, o: torch.tanh(
        i.sum(i.h) + (x @ c.W)[:, ::2].sum(1, keepdim=True)
    ),
    "a sum of parameters": lambda c, x, i, o: torch.tanh(
        x + i.sum(torch.maximum(i.to_edges(o.h), c.U.bias)) + i.sum(i.h)
    ),
    "a narrow end": lambda c, x, i, o: torch.tanh(i.sum(i.h) + x.narrow(1, -2, 2).sum(1, keepdim=True)),
    "where as a method": lambda c, x, i, o: torch.tanh(i.sum(i.h) + x.where(x > 0, x.sin())),
    "hardtanh at its bounds": lambda c, x, i, o: i.sum(i.h) + F.hardtanh(x / x.detach()),
    "one factor for equal inboxes": lambda c, x, i, o: torch.tanh(
        x + i.sum(i.h * i.to_edges(x[:, :1].sigmoid()))
    ),
    "a row of numbers for nodes and for edges": lambda c, x, i, o: torch.tanh(
        x
        + i.sum(i.h)
        + c.U(torch.ones_like(x))
        + i.sum(torch.relu(c.U(i.to_edges(torch.ones_like(x)))) * i.h)
    ),
    "numbers meet edges": lambda c, x, i, o: torch.tanh(
        x + i.sum(i.h + torch.maximum(torch.zeros_like(i.h), c.U.bias))
    ),
    "a softmax over columns": lambda c, x, i, o: torch.tanh(
        x + i.sum(torch.softmax(i.h, 1)) + F.softmax(input=c.U(x), dim=-1)
    ),
    "a softmax of several dimensions": lambda c, x, i, o: torch.tanh(
        x + (x @ c.W).unflatten(1, (2, 2)).softmax(-2).flatten(1)[:, :3] + i.sum(F.log_softmax(i.h, dim=1))
    ),
    "three operations one after the other along edges": lambda c, x, i, o: torch.tanh(
        x + i.sum(i.h.tanh().expm1())
    ),
    "own scores that are narrower than those of edges": lambda c, x, i, o: torch.tanh(
        x + i.sum(i.h) + i.softmax_with_own(i.h, x[:, :1])[1].sum(1, keepdim=True)
    ),
    "a logarithm of a sigmoid": lambda c, x, i, o: torch.tanh(
        x + i.sum(F.logsigmoid(i.h)) + torch.special.expit(x)
    ),
    "a view as another": lambda c, x, i, o: torch.tanh(
        (x @ c.W).view_as((x @ c.W).unflatten(1, (2, 2))).mT.reshape_as(x @ c.W)[:, :3] + i.sum(i.h)
    ),
    "edges that are asked for": lambda c, x, i, o: torch.tanh(
        (x if i.num_edges else -x) + i.sum(i.h.new_ones(i.num_edges, 3).view(i.num_edges, 3) * i.h)
    ),
    "a fraction": lambda c, x, i, o: torch.tanh(
        i.sum(i.h) + 2 / (1 - F.relu(x, inplace=False).reshape(-1, 3) - 9)
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", STEPS)
def test_is_the_loop(name, backend):
    cell = Written(STEPS[name])
    assert_all_close(all_of(cell, GRAPH, backend), all_of(cell, GRAPH, "loop"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["a fraction", "where as a method", "a product of a product"])
def test_second_derivatives(name, backend):
    cell = Written(STEPS[name])
    assert_all_close(all_of(cell, TREE, backend, twice=True), all_of(cell, TREE, "loop", twice=True))


def reading_some(c, x, i, o):
    """The gradient of x is a sum whose terms have other columns, and lies where that of the input belongs."""
    return torch.tanh(F.linear(x, c.U.weight) + torch.cat([x[:, :2], i.sum(i.h)[:, :1]], 1) + i.sum(i.h))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("s", [TREE, GRAPH], ids=["tree", "graph"])
def test_rows_of_a_kind_that_are_not_consecutive(s, backend):
    """Uninitialised memory was part of a gradient where the nodes of a kind lie in several levels."""
    s = s.replace(kind=torch.arange(s.num_nodes) % 2)
    cell = gr.PerKind([Projecting(reading_some), Written(reading_some)])
    initial = gr.per_node(H(rows(s) * 2))
    with uninitialised_is_nan():
        found, expected = (all_of(cell, s, which, initial=initial) for which in (backend, "loop"))
    assert_all_close(found, expected)


class Projecting(Written):
    def project(self, x):
        return torch.tanh(x + (x > 0).to(x.dtype) @ self.V.weight.t())


@contextmanager
def uninitialised_is_nan():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # (then torch fills what it does not initialise)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def test_a_message_asks_for_the_shape_of_its_rows():
    """Second derivatives play the record back, in which the number of nodes was one of an inbox."""

    class Sending(Written):
        Message = namedtuple("Message", "m")

        def as_message(self, state):
            return self.Message(state.h.reshape(state.h.shape[0], 3).sin())

    cell = Sending(lambda c, x, i, o: torch.tanh(c.U(i.sum(i.m)) + x))
    for backend in BACKENDS:
        assert_all_close(all_of(cell, TREE, backend, twice=True), all_of(cell, TREE, "loop", twice=True))


@pytest.mark.skipif(clib.library() is None, reason="there is no native library")
def test_gradients_of_weights_are_summed_from_what_outlives_the_sweep():
    """What a row's part in a slot's gradient lies beside was a tile's, which is gone by then."""
    cell = Written(lambda c, x, i, o: torch.tanh(c.U(x) + i.by_slot(i.h, 3)[:, 1] + i.sum(i.h)))
    x = rows(GRAPH)
    run, initial = validate(cell, gr.schedule(GRAPH), x, None)
    program = NativePrograms.take(Request(run, x, initial)).prepared
    jobs = program.nodes.weight_jobs
    assert jobs
    assert {program.buffers.specs[buffer].place for job in jobs for buffer in (job.a, job.g)} == {GLOBAL}
    assert_all_close(all_of(cell, GRAPH, "native"), all_of(cell, GRAPH, "loop"))


@pytest.mark.skipif(clib.library() is None, reason="there is no native library")
def test_a_cell_whose_numbers_change_keeps_some_frames():
    """A new program in each step of training: a layout that kept them all would grow without end."""
    cell, plan, x = (
        Written(lambda c, x, i, o: torch.tanh(i.sum(i.h) + c.number * x)),
        gr.schedule(TREE),
        rows(TREE),
    )
    with mock.patch.object(native_runner, "_MOST_FRAMES", 3):
        for cell.number in range(2, 8):
            h = gr.run(cell, plan, x, backend="native").h
            assert_close(h, gr.run(cell, plan, x, backend="loop").h)
    (layout,) = [kept for kept in plan.cache.values() if isinstance(kept, Layout)]
    assert len(layout.frames) == 3


def swallowing(c, x, i, o):
    try:
        y = torch.logcumsumexp(x, 1)
    except Exception:
        y = x
    return torch.tanh(i.sum(i.h) + y)


REFUSED = {
    "to integers": lambda c, x, i, o: torch.tanh(i.sum(i.h) + (3 * x).long()),
    "to another precision": lambda c, x, i, o: torch.tanh(i.sum(i.h) + x.float()).double(),
    "Python's random numbers": lambda c, x, i, o: torch.tanh(i.sum(i.h) * random.random() + x),
    "numpy's random numbers": lambda c, x, i, o: torch.tanh(i.sum(i.h) * np.random.rand() + x),  # noqa: NPY002
    "a refusal that is caught": swallowing,
    "as many edges as nodes": lambda c, x, i, o: x * (2 if i.num_edges == i.num_nodes else 1) + i.sum(i.h),
    "a sum over all": lambda c, x, i, o: torch.tanh(i.sum(i.h) + x.sum(dim=())),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name):
    with pytest.raises(ValueError, match="does not run Written here"):
        gr.run(Written(REFUSED[name]), gr.schedule(TREE), rows(TREE), backend="torch_programs")


def test_a_generator_of_its_own_is_refused_and_put_back():
    cell = Written(
        lambda c, x, i, o: torch.tanh(i.sum(i.h) * torch.rand(3, generator=c.g, dtype=x.dtype) + x)
    )
    cell.g = torch.Generator().manual_seed(0)
    expected = gr.run(cell, gr.schedule(TREE), rows(TREE), backend="loop").h
    cell.g.manual_seed(0)
    assert_close(gr.run(cell, gr.schedule(TREE), rows(TREE)).h, expected)


def test_what_is_counted_outside_the_cell_is_refused():
    count = [0]

    def step(c, x, i, o):
        count[0] += 1
        return torch.tanh(i.sum(i.h) + count[0] * x)

    with pytest.raises(ValueError, match="Written computes something else in each call"):
        gr.run(Written(step), gr.schedule(TREE), rows(TREE), backend="torch_programs")


def test_what_draws_in_training_is_recorded_outside_it():
    def step(c, x, i, o):
        return torch.tanh(i.sum(i.h) + (x * torch.rand(3, dtype=x.dtype) if c.training else x))

    cell = Written(step)
    for _ in range(3):
        with pytest.raises(ValueError, match="draws random numbers"):
            gr.run(cell, gr.schedule(TREE), rows(TREE), backend="torch_programs")
    gr.run(cell.eval(), gr.schedule(TREE), rows(TREE), backend="torch_programs")


def test_a_cache_that_the_first_call_fills():
    def step(c, x, i, o):
        if c.kept is None:
            c.kept = [2.0]
        return torch.tanh(i.sum(i.h) + c.kept[0] * x)

    cell = Written(step)
    cell.kept = None
    expected = gr.run(cell, gr.schedule(TREE), rows(TREE)).h  # by the loop, which fills it
    assert cell.kept == [2.0]
    assert_close(gr.run(cell, gr.schedule(TREE), rows(TREE), backend="torch_programs").h, expected)


def test_a_hook_on_gradients_of_outputs_is_refused():
    cell = Written(lambda c, x, i, o: torch.tanh(c.U(i.sum(i.h)) + x))
    cell.U.register_full_backward_pre_hook(lambda module, grads: None)
    with pytest.raises(ValueError, match="a hook on Linear"):
        gr.run(cell, gr.schedule(TREE), rows(TREE), backend="torch_programs")


@pytest.mark.parametrize("backend", BACKENDS)
def test_fields_of_other_names(backend):
    """Programs that are alike but for the names of fields are not each other's."""
    for state in (H, namedtuple("Other", "z")):
        cell = Written(lambda c, x, i, o: torch.tanh(x), state)
        assert_close(gr.run(cell, gr.schedule(TREE), rows(TREE), backend=backend)[0], rows(TREE).tanh())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_after_inference_mode(backend):
    cell = Written(STEPS["a column for all"])
    for _ in range(6):
        with torch.inference_mode():
            gr.run(cell, gr.schedule(GRAPH), rows(GRAPH).detach(), backend=backend)
    assert_all_close(all_of(cell, GRAPH, backend), all_of(cell, GRAPH, "loop"))


def test_a_largest_value_of_zero_keeps_its_gradient_in_the_loop():
    """Torch shares it with the zeros that stand for empty inboxes."""
    cell = Written(lambda c, x, i, o: i.max(i.h) + x)
    s = gr.dag([[0, 1, 2, 0, 1], [3, 3, 3, 4, 4]], 5)
    x = torch.tensor([-1.0, -2.0, 0.0, 0.0, 0.0], dtype=torch.float64)[:, None].repeat(1, 3).requires_grad_()
    h = gr.run(cell, gr.schedule(s), x, backend="loop").h
    (found,) = torch.autograd.grad(h[3].sum(), x)
    assert found[:, 0].tolist() == [0, 0, 1, 1, 0]

"""What a native run keeps: little, and right as often as it is differentiated."""

import gc
import weakref

import numpy as np
import pytest
import torch

import graphrec as gr
from graphrec import clib
from graphrec.backends.programs.buffers import Buffers
from graphrec.backends.programs.native import NativeExecution
from graphrec.backends.programs.postponed import postpone
from graphrec.cprogram import INSTRUCTION, MICRO_OP, NODES, PRODUCT, TILE_NODES
from tests.tolerances import assert_close

pytestmark = pytest.mark.skipif(clib.library() is None, reason=f"no native library: {clib.why_not()}")

H = 6
FOREST = gr.batch([gr.tree(parents=[2, 2, 4, 4, -1]), gr.tree(parents=[1, 2, 3, -1])])
FORKS = gr.dag([[0, 0, 1, 1, 2, 3, 4, 0], [1, 2, 3, 4, 4, 5, 5, 5]], 6)
CELLS = [
    gr.ChildSumTreeLSTMCell,
    gr.NaryTreeLSTMCell,
    gr.TreeGRUCell,
    gr.GRUCell,
    gr.LSTMCell,
    gr.SRNCell,
]


def made(kind=gr.ChildSumTreeLSTMCell):
    torch.manual_seed(0)
    return kind(H, H).double()


def rows(s):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(s.num_nodes, H, dtype=torch.float64, generator=generator).requires_grad_()


def structure_of(kind):
    return gr.chains([4, 2, 7]) if kind in (gr.GRUCell, gr.LSTMCell, gr.SRNCell) else FOREST


def first_field(s, x):
    """A model that hands out h alone."""
    torch.manual_seed(0)
    model = gr.TreeLSTM(H, H).double()
    with gr.running_on("native"):
        return model(x, s)


def test_gradients_take_the_place_of_what_is_done(executions):
    """For c, i, o, u and f, with all gradients and that of x: as much as h, 8 times by node and once by edge.

    h itself lies where the caller has it, and nowhere else.
    """
    s = gr.batch([gr.tree(parents=[2, 2, 4, 4, -1])] * 20)
    x = rows(s)
    h = first_field(s, x)
    (execution,) = executions
    frame, (of_caller,) = execution.frame, execution._states
    size = frame.forward.size + frame.reverse.size + frame.result.size
    assert size <= (8 * s.num_nodes + s.num_edges) * H + 16 * 20
    assert execution._states[of_caller][0].data_ptr() == h.data_ptr()
    place = execution._result.data_ptr()
    (of_x,) = torch.autograd.grad(h.sum(), x)
    assert of_x.data_ptr() == place
    assert of_x.untyped_storage().nbytes() == of_x.nbytes  # (and it keeps nothing else alive)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("times", [1, 2])
def test_states_that_are_written_into(kind, which, times):
    """The reverse reads them, so the run is done from the inputs again: with the loop's gradients, once and again."""
    cell, s = made(kind), structure_of(kind)
    x = rows(s)
    found = []
    for backend in ("native", "loop"):
        state = gr.run(cell, gr.schedule(s), x, backend=backend)
        first = [torch.autograd.grad(state[0].sum(), x, retain_graph=True)[0] for _ in range(times - 1)]
        state[which].mul_(2)
        with torch.no_grad():
            state[which].add_(3)
        loss = torch.cat(list(state)).square().sum()
        found.append((*first, *torch.autograd.grad(loss, [x, *cell.parameters()])))
    for one, other in zip(*found, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_have_a_graph_where_it_is_asked_for(create_graph):
    """And else none: it would keep the run alive as long as there is a gradient."""
    x = rows(FOREST)
    h = first_field(FOREST, x)
    many = torch.ones(2, *h.shape, dtype=h.dtype)
    (of_x,) = torch.autograd.grad(
        h, x, many, is_grads_batched=True, retain_graph=True, create_graph=create_graph
    )
    assert of_x.requires_grad == create_graph
    h.detach().zero_()
    (of_x,) = torch.autograd.grad(h.sum(), x, create_graph=create_graph)
    assert of_x.requires_grad == create_graph


def test_what_is_run_again_is_kept_as_long_as_the_graph(executions):
    """Once for all reverses; it lets go of its memory, as the first run would, and so has the first."""
    h = first_field(FOREST, rows(FOREST))
    with torch.no_grad():
        h.mul_(2)
    h.sum().backward(retain_graph=True)
    h.sum().backward(retain_graph=True)
    first, again = executions
    assert not again.is_spent
    assert h.grad_fn.next_functions[0][0].done.execution is again
    h.sum().backward()
    assert again.is_spent
    assert len(executions) == 2
    executions.clear()
    gone = weakref.ref(first)
    del first
    assert gone() is None


def test_gradients_on_in_inference_mode():
    """Autograd sees nothing there, and tensors have no versions."""
    x, cell, s = rows(FOREST), made(), FOREST
    with torch.inference_mode(), torch.enable_grad():
        found, right = (gr.run(cell, gr.schedule(s), x, backend=name) for name in ("native", "loop"))
    for one, other in zip(found, right, strict=True):
        assert_close(one, other)
        assert not one.requires_grad


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("wanted", ["all", "x", "initial", "weights", "all but weights"])
def test_any_of_the_gradients(kind, wanted):
    """Where states are given, too, whose gradients come of what others have left until all is done."""
    cell, s = made(kind), structure_of(kind)
    x = rows(s)
    initial = [torch.randn(s.num_graphs, H, dtype=torch.float64) for _ in cell.State._fields]
    of = {"x": [x], "initial": initial, "weights": list(cell.parameters())}
    if wanted in of:
        inputs = of[wanted]
    else:
        inputs = [tensor for name, some in of.items() if name not in wanted for tensor in some]
    for tensor in (x, *initial, *cell.parameters()):
        tensor.requires_grad_(any(tensor is one for one in inputs))
    found = []
    for backend in ("native", "loop"):
        state = gr.run(cell, gr.schedule(s), x, cell.State(*initial), backend=backend)
        found.append(torch.autograd.grad(torch.cat(list(state)).square().sum(), inputs))
    for one, other in zip(*found, strict=True):
        assert_close(one, other)


def test_a_run_goes_with_its_states(monkeypatch):
    """At once: what is handed out, and known to the run, does not keep it alive; nor does a loss keep states."""
    done = []
    begin = NativeExecution.__init__

    def beginning(self, *args):
        begin(self, *args)
        done.append(weakref.ref(self))

    monkeypatch.setattr(NativeExecution, "__init__", beginning)
    gc.collect()
    gc.disable()
    try:
        h = first_field(FOREST, rows(FOREST))
        assert done[0]() is not None
        del h
        assert done[0]() is None
        loss = first_field(FOREST, rows(FOREST)).sum()
        loss.backward()
        assert done[1]() is not None
        assert not done[1]()._states
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("programs", "waiting"),
    [
        ([[("g", "d.x", None)]], [1]),
        ([[("g", "tile", None), ("g", "d.x", "tile")]], [2]),
        ([[("g", "d.x", None)], [("tile", "d.x", None)]], []),  # what it is made of is there for a moment
        ([[("g", "d.x", "h")]], []),
        ([[("g", "tile", None), ("g", "h", "tile"), ("g", "d.x", "tile")]], []),  # others want it at once
        ([[("short", "d.x", None)]], []),
        ([[], [("g", "d.x", None)]], [0, 1]),
    ],
)
def test_what_of_a_reverse_waits(programs, waiting):
    """Of products `(A, C, what it begins with)`, those for d.x, if all they read is there to the end."""
    buffers = Buffers()
    numbers: dict[str | None, int] = {None: -1}
    numbers |= {name: buffers.number(name, 4) for name in ("d.x", "g", "h", "short")}
    numbers["tile"] = buffers.number("tile", 4, TILE_NODES)
    reverse = [
        (
            np.array(
                [
                    (PRODUCT, NODES, 4, 0, 0, numbers[a], 0, 0, numbers[c], 0, numbers[i], 0)
                    for a, c, i in one
                ],
                INSTRUCTION,
            ),
            np.zeros(0, MICRO_OP),
        )
        for one in programs
    ]
    lasting = {(numbers["g"], column) for column in range(4)} | {
        (numbers["short"], column) for column in range(3)
    }
    late = postpone(reverse, [lasting] * len(programs), buffers, [4])
    assert [len(instructions) for instructions, _ in late] == waiting
    left = sum(map(len, programs)) - sum(waiting)
    assert sum(len(instructions) for instructions, _ in reverse) == left


@pytest.mark.parametrize("kind", CELLS)
def test_kept_graphs_are_differentiated_again(kind, executions):
    """Though the first reverse would write into what the second one reads."""
    cell, s = made(kind), structure_of(kind)
    x = rows(s)
    wanted = [x, *cell.parameters()]
    state = gr.run(cell, gr.schedule(s), x, backend="native")
    expected = gr.run(cell, gr.schedule(s), x, backend="loop")
    for field, right in zip(state, expected, strict=True):
        for _ in range(2):
            found = torch.autograd.grad(field.square().sum(), wanted, retain_graph=True)
            of_loop = torch.autograd.grad(right.square().sum(), wanted, retain_graph=True)
            for one, other in zip(found, of_loop, strict=True):
                assert_close(one, other)
    assert not executions[0].is_spent


@pytest.mark.parametrize(
    "plan", [gr.schedule(FOREST), gr.schedule(FOREST, "sync", rounds=2)], ids=["async", "sync"]
)
def test_a_spent_run_says_so(plan, executions):
    """And has given its memory back, though the caller holds the result."""
    h = gr.run(made(), plan, rows(FOREST), backend="native").h
    h.sum().backward()
    assert executions[0].is_spent
    with pytest.raises(RuntimeError, match="second time"):
        h.sum().backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        executions[0].backward({}, {})


def test_the_first_field_alone_is_handed_out(executions):
    """A model that gives h alone: the other field has no copy and no gradient."""
    torch.manual_seed(0)
    model, s = gr.TreeLSTM(H, H).double(), FOREST
    x = rows(s)
    found, of_loop = [], []
    for backend, grads in (("native", found), ("loop", of_loop)):
        with gr.running_on(backend):
            h = model(x, s)
        grads += torch.autograd.grad(
            h.square().sum(), [x, *model.parameters()], create_graph=backend == "native"
        )
    for one, other in zip(found, of_loop, strict=True):
        assert_close(one, other)
    with gr.running_on("native"):
        assert torch.autograd.gradgradcheck(lambda x: model(x, s), (x,))


@pytest.mark.parametrize("s", [FOREST, FORKS], ids=["forest", "dag"])
@pytest.mark.parametrize("backend", ["native", "torch_programs"])
def test_gradients_of_any_layout(s, backend):
    """One row for all, every other column, none of some fields."""
    cell, x = made(), rows(s)
    one = torch.randn(1, H, dtype=torch.float64)
    for upstream in (
        one.expand(s.num_nodes, H),
        torch.randn(s.num_nodes, 2 * H, dtype=torch.float64)[:, ::2],
    ):
        for name in ("h", "c"):
            found, right = (
                torch.autograd.grad(
                    getattr(gr.run(cell, gr.schedule(s), x, backend=which), name), x, upstream
                )[0]
                for which in (backend, "loop")
            )
            assert_close(found, right)

"""What a native run keeps: little, and right as often as it is differentiated."""

import pytest
import torch

import graphrec as gr
from graphrec import clib
from graphrec.backends.programs.native import NativeExecution
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
    gr.SRNCell,
]


@pytest.fixture
def executions(monkeypatch):
    found = []
    begin = NativeExecution.__init__

    def beginning(self, *args):
        begin(self, *args)
        found.append(self)

    monkeypatch.setattr(NativeExecution, "__init__", beginning)
    return found


def made(kind=gr.ChildSumTreeLSTMCell):
    torch.manual_seed(0)
    return kind(H, H).double()


def rows(s):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(s.num_nodes, H, dtype=torch.float64, generator=generator).requires_grad_()


def structure_of(kind):
    return gr.chains([4, 2, 7]) if kind in (gr.GRUCell, gr.SRNCell) else FOREST


def test_the_gradients_of_gates_take_the_place_of_gates(executions):
    """For h, c, i, o, u and f, with the gradients of all: as much as h, 9 times by node and once by edge."""
    s = gr.batch([gr.tree(parents=[2, 2, 4, 4, -1])] * 20)
    gr.run(made(), gr.schedule(s), rows(s), backend="native").h.sum().backward()
    frame = executions[0].frame
    assert (frame.forward.size + frame.reverse.size) <= (9 * s.num_nodes + s.num_edges) * H + 16 * 20


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

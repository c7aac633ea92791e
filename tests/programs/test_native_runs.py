"""Native runs wherever runs may happen: side by side, twice, after a fork, on rows of any layout."""

import gc
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import DataLoader, Dataset

import graphrec as gr
from graphrec import clib
from graphrec.backends.programs import pool
from tests.tolerances import assert_all_close, assert_close
from tests.torch_threads import on_threads

pytestmark = pytest.mark.skipif(clib.library() is None, reason=f"no native library: {clib.why_not()}")

D, H = 5, 6
FOREST = gr.batch([gr.tree(parents=[2, 2, 4, 4, -1]), gr.tree(parents=[-1]), gr.tree(parents=[1, 2, 3, -1])])
FORKS = gr.dag([[0, 0, 1, 1, 2, 3, 4, 0], [1, 2, 3, 4, 4, 5, 5, 5]], 6)


def made(kind=gr.ChildSumTreeLSTMCell, dtype=torch.float64):
    torch.manual_seed(0)
    return kind(D, H).to(dtype)


def rows(s=FOREST, dtype=torch.float64):
    return torch.randn(
        s.num_nodes, D, dtype=dtype, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()


def all_of(cell, s, x, backend, **how):
    """The state, and the gradients of its sum of squares."""
    state = gr.run(cell, gr.schedule(s, **how), x, backend=backend)
    loss = sum(field.square().sum() for field in state)
    found = dict(zip(state._fields, state, strict=True))
    wanted = {"x": x, **dict(cell.named_parameters())}
    grads = torch.autograd.grad(loss, list(wanted.values()))
    return {**found, **dict(zip(wanted, grads, strict=True))}


def assert_is_the_loop(cell, s, x, **how):
    assert_all_close(all_of(cell, s, x, "native", **how), all_of(cell, s, x, "loop", **how))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("s", [FOREST, FORKS, gr.chains([4, 2, 7])], ids=["forest", "dag", "chains"])
def test_any_number_of_threads(s, threads):
    with on_threads(threads):
        assert_is_the_loop(made(), s, rows(s))
        many = gr.batch([s] * 40)
        first = all_of(made(), many, rows(many), "native")
        second = all_of(made(), many, rows(many), "native")
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert_all_close(first, all_of(made(), many, rows(many), "loop"))


def test_a_second_run_before_the_first_is_differentiated():
    cell, plan, x, y = made(), gr.schedule(FOREST), rows(), rows() * 2
    first, second = gr.run(cell, plan, x).h, gr.run(cell, plan, y).h
    third = gr.run(cell, plan, x).h
    assert torch.equal(first, third)
    for state in (second, first, third):
        (found,) = torch.autograd.grad(state.square().sum(), cell.forget.weight)
        expected = gr.run(cell, plan, y if state is second else x, backend="loop").h
        assert_close(found, torch.autograd.grad(expected.square().sum(), cell.forget.weight)[0])


def test_blocks_that_the_collector_hands_back_while_others_are_taken():
    class Holder:
        def __init__(self):
            self.block, self.itself = pool.take(1000), self

        def __del__(self):
            pool.give(self.block)

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        worker = threading.Thread(target=lambda: any(Holder() is None for _ in range(500)), daemon=True)
        worker.start()
        worker.join(10)
    finally:
        gc.set_threshold(*before)
    assert not worker.is_alive()


def test_a_graph_that_is_kept_is_differentiated_twice():
    cell, x = made(), rows()
    h = gr.run(cell, gr.schedule(FOREST), x).h
    first = torch.autograd.grad(h.sum(), (x, cell.iou.weight), retain_graph=True)
    kept = [grad.clone() for grad in first]
    second = torch.autograd.grad(2 * h.sum(), (x, cell.iou.weight))
    for before, one, two in zip(kept, first, second, strict=True):
        assert torch.equal(before, one)  # nobody has written into it since
        assert_close(two, 2 * one)


def test_the_result_may_be_written_into():
    cell, plan, x = made(), gr.schedule(gr.chains([3])), rows(gr.chains([3]))
    h = gr.run(cell, plan, x).h
    h.mul_(2).add_(1)
    expected = gr.run(cell, plan, x, backend="loop").h * 2 + 1
    assert_close(torch.autograd.grad(h.sum(), x)[0], torch.autograd.grad(expected.sum(), x)[0])


@pytest.mark.parametrize("changed", ["x", "weight"])
def test_what_was_written_into_since_is_refused(changed):
    cell, x = made(), rows()
    h = gr.run(cell, gr.schedule(FOREST), x).h
    with torch.no_grad():
        (x if changed == "x" else cell.forget.weight).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


def layouts():
    x = rows().detach()
    yield "every other column", torch.stack([x, x], dim=-1).flatten(1)[:, ::2]
    yield "transposed", x.t().contiguous().t()
    yield "expanded", x[:1].expand(len(x), D)
    yield "shared memory", x.clone().share_memory_()
    yield "a slice", torch.cat([x, x])[len(x) :]


@pytest.mark.parametrize(
    ("name", "x"), list(layouts()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_rows_of_any_layout(name, x):
    cell, plan = made(), gr.schedule(FOREST)
    assert_close(gr.run(cell, plan, x).h, gr.run(cell, plan, x, backend="loop").h)


def test_weights_of_any_layout():
    cell = made()
    with torch.no_grad():
        cell.iou.weight = nn.Parameter(cell.iou.weight.t().contiguous().t())
        cell.forget.weight = nn.Parameter(torch.cat([cell.forget.weight] * 2)[::2].clone()[:H])
        cell.input.bias = nn.Parameter(torch.stack([cell.input.bias] * 2, 1)[:, 0])
    assert_is_the_loop(cell, FOREST, rows())


def test_one_weight_in_two_places():
    cell = gr.SeriesCell([gr.SRNCell(H, H), gr.SRNCell(H, H)]).double()
    cell.cells[1].recurrent = cell.cells[0].recurrent
    s = gr.chains([3, 2])
    x = torch.randn(5, H, dtype=torch.float64, requires_grad=True)
    assert_is_the_loop(cell, s, x)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=str)
@pytest.mark.parametrize("where", ["x", "weight"])
def test_nan_and_infinity_travel(where, value):
    cell, x = made(), rows().detach()
    with torch.no_grad():
        (x if where == "x" else cell.forget.weight)[1, 0] = value
    found, expected = (
        gr.run(cell, gr.schedule(FOREST), x, backend=backend) for backend in ("native", "loop")
    )
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.isnan(), other.isnan())
        assert_close(one.nan_to_num(), other.nan_to_num())


def test_threads_of_python():
    cells = [made(kind) for kind in (gr.ChildSumTreeLSTMCell, gr.TreeGRUCell, gr.NaryTreeLSTMCell)] * 3
    expected = [all_of(cell, FOREST, rows(), "loop") for cell in cells]

    def work(number):
        return [all_of(cells[number], FOREST, rows(), "native") for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(work, range(len(cells))), expected, strict=True):
            for one in found:
                assert_all_close(one, right)


def in_child(queue):
    queue.put(gr.run(made(), gr.schedule(FOREST), rows(), backend="native").h.detach().numpy())


def test_after_a_fork():
    with on_threads(2):
        many = gr.batch([FOREST] * 50)
        expected = gr.run(made(), gr.schedule(FOREST), rows()).h.detach()
        gr.run(made(), gr.schedule(many), rows(many))  # the pool has threads now
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=in_child, args=(queue,))
        child.start()
        found = torch.from_numpy(queue.get(timeout=60))
        child.join(timeout=60)
    assert child.exitcode == 0
    assert_close(found, expected)


class Trees(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, number):
        return gr.run(made(), gr.schedule(FOREST), rows(), backend="native").h.detach()


def test_in_workers_of_a_loader():
    expected = gr.run(made(), gr.schedule(FOREST), rows(), backend="loop").h
    for batch in DataLoader(Trees(), batch_size=None, num_workers=2):
        assert_close(batch, expected)


def test_autocast_is_refused_or_right():
    cell, plan, x = made(dtype=torch.float32), gr.schedule(FOREST), rows(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(ValueError, match="autocast is on"):
            gr.run(cell, plan, x, backend="native")
        assert_close(gr.run(cell, plan, x).h, gr.run(cell, plan, x, backend="loop").h)


@pytest.mark.parametrize("kind", [gr.ChildSumTreeLSTMCell, gr.NaryTreeLSTMCell, gr.TreeGRUCell])
def test_single_precision(kind):
    cell, x = made(kind, torch.float32), rows(dtype=torch.float32)
    assert_is_the_loop(cell, FOREST, x)


@pytest.mark.parametrize("how", [{}, {"mode": "sync", "rounds": 2}], ids=["levels", "rounds"])
def test_second_derivatives(how):
    s = FORKS
    cell, x = made(gr.TreeGRUCell), rows(s)

    assert torch.autograd.gradgradcheck(
        lambda x: gr.run(cell, gr.schedule(s, **how), x, backend="native").h, (x,), fast_mode=True
    )


def test_one_cell_over_many_structures_and_widths():
    """Programs and workspaces are used again, and never mistaken for each other."""
    for count in (3, 1, 7, 2, 30):
        for kind in (gr.ChildSumTreeLSTMCell, gr.TreeGRUCell):
            s = gr.batch([FOREST] * count)
            assert_is_the_loop(made(kind), s, rows(s))
            assert_is_the_loop(made(kind), s, rows(s), mode="sync", rounds=3)


def test_a_tensor_without_numbers_is_refused():
    cell = gr.SRNCell(3, 4)
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(cell.recurrent.weight)
    cell.recurrent.weight = torch.nn.Parameter(fake)
    with pytest.raises(RuntimeError, match=r"has no numbers: .* Load or make the model anew"):
        gr.run(cell, gr.schedule(gr.chain(3)), torch.ones(3, 3), backend="native")

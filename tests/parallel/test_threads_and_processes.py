"""Models compute the same in many threads at once, after a fork, and on what processes of loaders have made."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import graphrec as gr
from tests.parallel.runs import MODELS, Chains, Trees, made, results, results_of, run_plan, with_schedule
from tests.tolerances import assert_close
from tests.torch_threads import on_threads

SECONDS = 300  # after which a test that waits for others fails
METHODS = ["fork", pytest.param("spawn", marks=pytest.mark.slow)]
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"nothing has come for {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def at_once(calls: int, call: Callable[[], Any]) -> list[Any]:
    """The results of so many threads that begin together."""
    barrier = threading.Barrier(calls)

    def wait_and_call(_: int) -> Any:
        barrier.wait(SECONDS)
        return call()

    with ThreadPoolExecutor(calls) as pool:
        return list(pool.map(wait_and_call, range(calls)))


def assert_all_same(found: list[Any], expected: list[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert_close(torch.as_tensor(one), torch.as_tensor(other))


@pytest.mark.parametrize("name", MODELS)
def test_threads_share_a_structure_of_which_nothing_is_known(name):
    """All of them find the caches empty."""
    expected = results(*made(name))
    for _ in range(2):
        model, s, x = made(name)
        for found in at_once(4, lambda model=model, s=s, x=x: results(model, s, x)):
            assert_all_same(found, expected)


def test_threads_with_models_and_structures_of_their_own():
    expected = {name: results(*made(name)) for name in MODELS}
    calls = [(name, made(name)) for name in MODELS] * 2
    with ThreadPoolExecutor(4) as pool:
        for (name, _), found in zip(calls, pool.map(lambda call: results(*call[1]), calls), strict=True):
            assert_all_same(found, expected[name])


def test_threads_with_a_schedule_and_one_that_forgets_it():
    """Derived objects go with the structure, also while others are being derived."""
    model, _, x = made("levels")
    expected = results(*made("levels"))

    def work() -> list[list[torch.Tensor]]:
        found = [results(model, made_anew(), x) for _ in range(5)]
        gc.collect()
        return found

    def made_anew() -> gr.Structure:
        return MODELS["levels"]()[1].reverse().reverse()

    for several in at_once(4, work):
        for found in several:
            assert_all_same(found, expected)


@pytest.mark.slow
def test_many_threads_for_long():
    for _ in range(100):
        for name in MODELS:
            model, s, x = made(name)
            expected = results(*made(name))
            for found in at_once(16, lambda model=model, s=s, x=x: results(model, s, x)):
                assert_all_same(found, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("name", MODELS)
def test_a_child_of_fork_goes_on_with_what_the_parent_has_used(name):
    """The parent has run and differentiated the model on several threads; the child does the same with the same."""
    model, s, x = made(name)
    big = gr.batch([s] * 200)
    with on_threads(2):
        expected = results(model, s, x)
        results(model, big, x.repeat(200, 1))  # (large enough for threads)
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a child that hangs is killed, and its status tells
            torch.set_num_threads(
                1
            )  # as torch's loaders do: its own threads do not survive a fork, and it waits for them
            status = 1
            try:
                assert_all_same(results(model, s, x), expected)
                results(model, big, x.repeat(200, 1))
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert_all_same(results(model, s, x), expected)


@pytest.mark.parametrize("method", METHODS)
def test_other_processes_compute_the_same(method):
    with on_threads(2):
        expected = {name: results_of(name) for name in MODELS}
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, context, torch.set_num_threads, (1,)) as pool:
            for name, found in zip(MODELS, pool.map(results_of, MODELS, timeout=SECONDS), strict=True):
                assert_all_same(found, expected[name])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", [{}, {"mode": "sync", "rounds": 3}], ids=["levels", "rounds"])
def test_a_schedule_goes_to_another_process(method, how):
    s = gr.batch([gr.tree("(1 (2 a b) (3 c))"), gr.dag([[0, 0, 1, 2], [1, 2, 3, 3]], 5)])
    plan = gr.schedule(s, **how)
    expected = run_plan(plan)
    with ProcessPoolExecutor(1, multiprocessing.get_context(method), torch.set_num_threads, (1,)) as pool:
        assert_all_same([pool.submit(run_plan, plan).result(SECONDS)], [expected])


def loader_options(method: str, persistent: bool) -> dict[str, Any]:
    return {
        "num_workers": 2,
        "multiprocessing_context": method,
        "persistent_workers": persistent,
        "pin_memory": False,
        "timeout": 60,
    }


@pytest.mark.parametrize("persistent", [False, True], ids=["anew", "persistent"])
@pytest.mark.parametrize("method", METHODS)
def test_structures_and_schedules_made_by_processes_of_a_loader(method, persistent):
    model = gr.Recursive(gr.TreeGRUCell(3, 4))
    loader = DataLoader(
        Chains(), batch_size=3, collate_fn=with_schedule, **loader_options(method, persistent)
    )
    members = [Chains()[number] for number in range(7)]
    for _epoch in range(2):
        for number, (s, plan) in enumerate(loader):
            expected = gr.batch(members[3 * number : 3 * number + 3])
            assert s == expected
            assert plan == gr.schedule(expected)
            x = torch.randn(s.num_nodes, 3)
            assert_close(model(x, s), model(x, expected))
            assert_close(gr.run(model.cell, plan, x).h, model(x, expected))


@pytest.mark.parametrize("persistent", [False, True], ids=["anew", "persistent"])
@pytest.mark.parametrize("method", METHODS)
def test_data_made_by_processes_of_a_loader(method, persistent):
    model = gr.TreeGRU(3, 4)
    loader = gr.DataLoader(Trees(), 3, **loader_options(method, persistent))
    alone = list(gr.DataLoader(Trees(), 3))
    for _epoch in range(2):
        for data, expected in zip(loader, alone, strict=True):
            assert gr.from_pyg(data) == gr.from_pyg(expected)
            assert data.level.tolist() == expected.level.tolist()
            assert_all_same(results(model, data, data.x), results(model, expected, expected.x))

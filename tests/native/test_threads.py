"""The same numbers however often, on torch's threads or the library's own, from several at once, and after fork."""

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from graphrec import clib
from graphrec.backends.programs.native import Library
from tests.native.case import Call
from tests.native.interpreter import Interpreter
from tests.native.libraries import loaded
from tests.native.random_sweeps import RandomSweep, random_dags
from tests.tolerances import assert_close


@pytest.fixture(params=["torch's threads", "its own threads"])
def threaded(request):
    """The library as it is in use, and a copy that was told of no threads."""
    if clib.library() is None:
        pytest.skip(f"there is no native library: {clib.why_not()}")
    if request.param == "its own threads":
        return loaded(clib.instruction_set())
    if not clib.shares_threads():
        pytest.skip("torch does not run on OpenMP's threads here")
    return Library.get()


def large_case(parts, seed=3):
    """Enough work for two threads."""
    structure = random_dags(np.random.default_rng(seed), parts, 2, most=1200 // parts)
    return RandomSweep(seed, np.float64, structure).case


def run(library, case, threads=2):
    call = Call(case)
    assert call.sweep(library, threads=threads) == 0
    assert call.weight_gradients(library, threads) == 0
    return call.results()


def assert_same(one, other):
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("parts", [1, 4])
def test_results_are_the_same_every_time(threaded, parts):
    case = large_case(parts)
    expected = Interpreter(case)
    expected.sweep()
    expected.weight_gradients()
    first = run(threaded, case)
    for one, other in zip(first, expected.results(), strict=True):
        assert_close(
            torch.from_numpy(np.ascontiguousarray(one)), torch.from_numpy(np.ascontiguousarray(other))
        )
    for _ in range(5):
        assert_same(run(threaded, case), first)


def test_parts_give_the_same_on_any_number_of_threads(threaded):
    case = large_case(4)
    one = run(threaded, case, threads=1)
    assert_same(run(threaded, case, threads=2), one)
    assert_same(run(threaded, case, threads=3), one)


def test_callers_in_several_threads(threaded):
    cases = [large_case(parts, seed) for seed, parts in enumerate([1, 4, 1, 2])]
    expected = [run(threaded, case) for case in cases]
    found: list = [None] * len(cases)

    def work(q):
        found[q] = [run(threaded, cases[q], threads) for threads in (2, 1, 2, 2)]

    callers = [threading.Thread(target=work, args=(q,)) for q in range(len(cases))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for results, first in zip(found, expected, strict=True):
        assert_same(results[0], first)
        assert_same(results[2], first)
        assert_same(results[3], first)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_child_of_fork_runs_on_threads_of_its_own(threaded):
    case = large_case(4)
    expected = run(threaded, case)
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(a, b) for a, b in zip(run(threaded, case), expected, strict=True))
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_same(run(threaded, case), expected)


COUNT_THREADS = """
import os, torch
from graphrec.backends.programs.native import Library
from tests.native.test_threads import assert_same, large_case, run

torch.set_num_threads(2)
torch.ones(1 << 20).exp()  # (now torch has as many)
before = len(os.listdir("/proc/self/task"))
case = large_case(4)
assert_same(run(Library.get(), case, threads=2), run(Library.get(), case, threads=1))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(
    not clib.shares_threads(), reason="there is no library, or torch has no threads of OpenMP"
)
@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="this system does not list a process's threads"
)
@pytest.mark.parametrize(
    ("limit", "started"),
    [pytest.param("2", 0, id="enough", marks=pytest.mark.slow), pytest.param("1", 1, id="too few")],
)
def test_threads_are_started_where_torch_has_too_few(limit, started):
    done = subprocess.run(
        [sys.executable, "-c", COUNT_THREADS],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "2", "OMP_THREAD_LIMIT": limit},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == started


IMPORT_AFTER_FORK = """
import os, signal, torch

torch.set_num_threads(2)
torch.ones(1 << 20).exp()  # (now torch has as many, and a child of fork has one)
child = os.fork()
if child == 0:
    signal.alarm(30)
    from graphrec import clib
    from graphrec.backends.programs.native import Library
    from tests.native.test_threads import assert_same, large_case, run

    case = large_case(4)
    assert_same(run(Library.get(), case, threads=2), run(Library.get(), case, threads=1))
    assert not clib.shares_threads()
    os._exit(0)
raise SystemExit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


@pytest.mark.skipif(
    not clib.shares_threads(), reason="there is no library, or torch has no threads of OpenMP"
)
@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="this system does not say which processes are forked"
)
def test_a_child_of_fork_may_be_the_first_to_load_the_library():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AFTER_FORK],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    not clib.shares_threads(), reason="there is no library, or torch has no threads of OpenMP"
)
def test_inside_a_parallel_region_threads_are_the_library_s_own():
    case, found = large_case(4), []
    expected = run(Library.get(), case)

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def region(_):
        found.append(run(Library.get(), case, threads=2))

    ctypes.CDLL(torch._C.__file__).GOMP_parallel(region, None, 2, 0)
    assert len(found) == 2
    for results in found:
        assert_same(results, expected)

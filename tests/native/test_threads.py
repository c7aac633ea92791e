"""The same numbers however often, from several threads at once, and after fork."""

import os
import threading

import numpy as np
import pytest
import torch

from tests.native.case import Call
from tests.native.interpreter import Interpreter
from tests.native.random_sweeps import RandomSweep, random_dags
from tests.tolerances import assert_close


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
def test_results_are_the_same_every_time(library, parts):
    case = large_case(parts)
    expected = Interpreter(case)
    expected.sweep()
    expected.weight_gradients()
    first = run(library, case)
    for one, other in zip(first, expected.results(), strict=True):
        assert_close(
            torch.from_numpy(np.ascontiguousarray(one)), torch.from_numpy(np.ascontiguousarray(other))
        )
    for _ in range(5):
        assert_same(run(library, case), first)


def test_parts_give_the_same_on_any_number_of_threads(library):
    case = large_case(4)
    one = run(library, case, threads=1)
    assert_same(run(library, case, threads=2), one)
    assert_same(run(library, case, threads=3), one)


def test_callers_in_several_threads(library):
    cases = [large_case(parts, seed) for seed, parts in enumerate([1, 4, 1, 2])]
    expected = [run(library, case) for case in cases]
    found: list = [None] * len(cases)

    def work(q):
        found[q] = [run(library, cases[q], threads) for threads in (2, 1, 2, 2)]

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
def test_a_child_of_fork_runs_on_threads_of_its_own(library):
    case = large_case(4)
    expected = run(library, case)
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(a, b) for a, b in zip(run(library, case), expected, strict=True))
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_same(run(library, case), expected)

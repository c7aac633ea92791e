"""Sweeps over random forests, DAGs and rounds against the interpreter; threads; bad programs."""

import numpy as np
import pytest
import torch

from tests.native.case import Call
from tests.native.interpreter import Interpreter
from tests.native.random_sweeps import RandomSweep, random_dags, random_rounds
from tests.tolerances import assert_close

SEEDS = {"many parts": range(1)}  # (tests/fuzz has more of them)


def structure_of(family: str, seed: int):
    random = np.random.default_rng(seed)
    if family == "rounds of a graph":
        return random_rounds(random, 1, 3)
    if family == "rounds of graphs":
        return random_rounds(random, 4, 2)
    if family == "chains":
        return random_dags(random, 3, 2, most=1)
    if family == "a forest":
        return random_dags(random, 5, 3, most=30)
    if family == "many parts":
        return random_dags(random, 70, 2, most=2)
    if family == "a hub":
        return random_dags(random, 1, 2, most=20, hub=True)
    return random_dags(random, 1, 3, most=250)


FAMILIES = ["rounds of a graph", "rounds of graphs", "chains", "a forest", "many parts", "a hub", "a DAG"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_sweep_and_gradients(library, family, reverse, dtype):
    for seed in SEEDS.get(family, range(2)):
        case = RandomSweep(seed, dtype, structure_of(family, seed), reverse).case
        expected = Interpreter(case)
        expected.sweep(reverse)
        expected.weight_gradients()
        for threads in (1, 2, 3):
            call = Call(case)
            assert call.check(library) == ""
            assert call.sweep(library, reverse, threads) == 0
            assert call.weight_gradients(library, threads) == 0
            for q, (one, other) in enumerate(zip(call.results(), expected.results(), strict=True)):
                what = f"seed {seed}, {threads} threads, result {q}"
                size = max(1.0, np.abs(other).max(initial=0))  # of sums over rows, whose terms cancel
                one, other = (one / size).astype(dtype), (other / size).astype(dtype)
                assert_close(torch.from_numpy(one), torch.from_numpy(other), what)

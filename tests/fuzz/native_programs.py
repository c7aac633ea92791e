"""Random native programs, of no cell: against the interpreter in numpy, and against that of stress.cpp."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from random import Random

import numpy as np
import torch

from tests.native.case import Call, Structure
from tests.native.interpreter import Interpreter
from tests.native.libraries import ISAS, loaded
from tests.native.random_sweeps import RandomSweep, random_dags, random_rounds
from tests.tolerances import assert_close

# How many cases of stress.cpp one seed stands for: starting it takes a moment.
TOGETHER = 1000


def random_structure(random: Random, draws: np.random.Generator) -> Structure:
    """Graphs in rounds, chains, or DAGs of narrow and wide levels."""
    family = random.randrange(4)
    if family == 0:
        return random_rounds(draws, random.randint(1, 3), random.randint(2, 3))
    if family == 1:
        return random_dags(draws, random.randint(1, 3), 2, most=1)
    return random_dags(draws, random.randint(1, 4), random.randint(2, 3), most=random.choice([3, 60]))


def check_programs(seed: int) -> Counter[str]:
    """One case: a program on one instruction set and some threads."""
    random, draws = Random(seed), np.random.default_rng(seed)
    structure = random_structure(random, draws)
    while min(structure.rows, structure.num_edges) < 2:  # (a buffer's one row is taken for one of all)
        structure = random_structure(random, draws)
    reverse = random.random() < 0.5
    case = RandomSweep(seed, random.choice([np.float32, np.float64]), structure, reverse).case
    expected = Interpreter(case)
    expected.sweep(reverse)
    expected.weight_gradients()
    library = random.choice([found for isa in ISAS if (found := loaded(isa)) is not None])
    threads = random.randint(1, 4)
    call = Call(case)
    assert call.check(library) == ""
    assert call.sweep(library, reverse, threads) == 0
    assert call.weight_gradients(library, threads) == 0
    for number, (one, other) in enumerate(zip(call.results(), expected.results(), strict=True)):
        size = max(1.0, np.abs(other).max(initial=0))  # of sums over rows, whose terms cancel
        if case.dtype == np.float32:
            size *= 10  # (what cancels on the way there shows in no result: two seeds of 5,000 are 2e-5 off)
        one, other = (one / size).astype(case.dtype), (other / size).astype(case.dtype)
        assert_close(torch.from_numpy(one), torch.from_numpy(other), f"{threads} threads, result {number}")
    return Counter(cases=1)


def check_sweeps(seed: int) -> Counter[str]:
    """As many cases as TOGETHER, by the program that STRESS names, on one instruction set; most of them small."""
    stress, isa = os.environ["STRESS"], ISAS[seed % len(ISAS)]
    done = subprocess.run(
        [stress, str(TOGETHER), str(seed * TOGETHER), *(["small"] if seed % 64 else [])],
        env={**os.environ, "GRAPHREC_ISA": isa}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (
        f"GRAPHREC_ISA={isa} {' '.join(done.args)}: {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return Counter(cases=TOGETHER)

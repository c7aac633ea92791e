"""Sweeps over random forests, DAGs and rounds against the interpreter; threads; bad programs."""

import numpy as np
import pytest
import torch

from graphrec.cprogram import GLOBAL, IN_EDGES, NODES, Op
from tests.native.case import Call, Case, Structure, chain, micro, product
from tests.native.interpreter import Interpreter
from tests.native.random_sweeps import RandomSweep, random_dags, random_rounds
from tests.tolerances import assert_close

BAD_PROGRAM = 2
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
    if family == "stages":
        return random_dags(random, 6, 3, most=20, stages=3)
    if family == "many parts":
        return random_dags(random, 70, 2, most=2)
    if family == "a hub":
        return random_dags(random, 1, 2, most=20, hub=True)
    return random_dags(random, 1, 3, most=250)


FAMILIES = [
    "rounds of a graph",
    "rounds of graphs",
    "chains",
    "a forest",
    "stages",
    "many parts",
    "a hub",
    "a DAG",
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_sweep_and_gradients(library, family, reverse, dtype):
    for seed in SEEDS.get(family, range(2)):
        case = RandomSweep(seed, dtype, structure_of(family, seed), reverse).case
        expected = Interpreter(case)
        expected.sweep(reverse)
        expected.weight_gradients()
        for threads, shuffled in ((1, False), (2, False), (3, False), (1, True), (2, True)):
            call = Call(case, shuffled)
            assert call.check(library) == ""
            assert call.sweep(library, reverse, threads) == 0
            assert call.weight_gradients(library, threads) == 0
            for q, (one, other) in enumerate(zip(call.results(), expected.results(), strict=True)):
                what = f"seed {seed}, {threads} threads, result {q}, shuffled: {call.shuffled}"
                size = max(1.0, np.abs(other).max(initial=0))  # of sums over rows, whose terms cancel
                one, other = (one / size).astype(dtype), (other / size).astype(dtype)
                assert_close(torch.from_numpy(one), torch.from_numpy(other), what)


def test_a_product_between_rows_in_the_callers_order(library):
    """Of more rows than a tile has; into columns beside others, which stay as they are."""
    rows, random = 101, np.random.default_rng(0)
    case = Case(np.float64, Structure(rows, np.zeros((2, 0), int), [0], [rows], [0], [0], [0, 1]))
    for width in (5, 9, 7):
        case.add(GLOBAL, width, random.standard_normal((1, rows, width)))
    case.weights.append(random.standard_normal((4, 7)))
    case.programs.append(([product(NODES, 0, 1, 0, 1, 2, 2, 0)], []))
    call = Call(case, shuffled=True)
    assert call.shuffled == [0, 1, 2]
    assert call.check(library) == ""
    assert call.sweep(library) == 0
    a, c, i = (b.numbers[0] for b in case.buffers)
    c = c.copy()
    c[:, 2:] = a[:, 1:] @ case.weights[0] + i
    assert_close(torch.from_numpy(call.results()[1][0]), torch.from_numpy(c))


def test_an_order_is_for_rows_of_nodes_alone(library):
    """A buffer of nodes that edges read as their own is refused by the call, and by the check, which says why."""
    edges = np.array([[0, 1], [1, 2]])
    case = Case(np.float64, Structure(3, edges, [0, 1, 2], [1, 2, 3], [0] * 3, [0, 1, 2], [0, 3]))
    case.add(GLOBAL, 1, np.zeros((1, 3, 1)))
    case.add(GLOBAL, 1, np.zeros((1, 2, 1)))
    case.programs.append(([chain(IN_EDGES, 1, 0, 1)], [micro(Op.COPY, (1, 0, 0, 0), (0, 0, 0, 0))]))
    call = Call(case)
    assert call.check(library) == ""
    call.buffers[0]["order"] = call.order.ctypes.data
    assert "an order of nodes" in call.check(library)
    assert call.sweep(library) == BAD_PROGRAM
    call.order[:] = 1
    assert "row 1 twice in its order" in call.check(library)


def test_an_index_says_where_rows_lie_in_the_callers_order(library):
    """Of a node's own row its order says so: each adds the row of its source to its own."""
    edges = np.array([[0, 1], [1, 2]])
    case = Case(np.float64, Structure(3, edges, [0, 1, 2], [1, 2, 3], [0] * 3, [0, 1, 2], [0, 3]))
    case.add(GLOBAL, 1, np.array([[[100.0], [1.0], [10.0]]]))
    order = np.array([1, 2, 0], np.int32)
    source, target = case.index(order[edges[0]]), case.index(order[edges[1]])
    case.programs.append(
        ([chain(IN_EDGES, 1, 0, 1)], [micro(Op.ACCUMULATE, (0, 0, target, 0), (0, 0, source, 0))])
    )
    call = Call(case)
    call.buffers[0]["order"] = order.ctypes.data
    assert call.check(library) == ""
    assert call.sweep(library) == 0
    assert call.results()[0].ravel().tolist() == [111, 1, 11]

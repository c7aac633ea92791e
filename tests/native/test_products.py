"""Products with packed weights, and gradients of weights, against numpy."""

import numpy as np
import pytest
import torch

from graphrec.cprogram import GLOBAL, IN_EDGES, NODES, SUM
from tests.native.case import Call, Case, Structure, outer, product
from tests.tolerances import assert_close

SIZES = [(1, 1, 1), (1, 64, 150), (2, 5, 65), (3, 17, 33), (5, 150, 31), (7, 1, 200), (12, 64, 64),
         (13, 33, 16), (47, 40, 48), (2, 20, 100), (1, 9, 110), (49, 600, 40),
         (97, 1030, 70), (200, 128, 8), (48, 0, 20)]  # fmt: skip


def rows_only(rows, kind):
    """So many nodes, or so many edges of one node."""
    edges = np.zeros((2, rows if kind == IN_EDGES else 0), int)
    nodes = 1 if kind == IN_EDGES else rows
    return Structure(nodes, edges, [0], [nodes], [0], [0], [0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("begin", ["nothing", "C", "a row", "another"])
@pytest.mark.parametrize("kind", [NODES, IN_EDGES])
def test_product(library, dtype, begin, kind):
    random = np.random.default_rng(0)
    for m, k, n in SIZES:
        case = Case(dtype, rows_only(m, kind))
        a, c = random.normal(size=(1, m, k + 5)), random.normal(size=(1, m, n + 3))
        wide = (random.normal(size=(n, k + 2)) / np.sqrt(k + 1)).astype(dtype)
        weight = [wide[:, :k].T, np.ascontiguousarray(wide[:, :k].T)][m % 2]  # either order in memory
        row, other = random.normal(size=(1, 1, n + 1)), random.normal(size=(1, m, n))
        buffers = [case.add(GLOBAL, x.shape[2], x) for x in (a, c, row, other)]
        case.weights.append(weight)
        add = {
            "nothing": (-1, 0),
            "C": (buffers[1], 2),
            "a row": (buffers[2], 1),
            "another": (buffers[3], 0),
        }[begin]
        case.programs.append(([product(kind, buffers[0], 4, 0, buffers[1], 2, *add)], []))
        call = Call(case)
        assert call.check(library) == ""
        assert call.sweep(library) == 0
        a64, c64, row64, other64 = (case.buffers[b].numbers[0].astype(np.float64) for b in buffers)
        begins = {"nothing": 0, "C": c64[:, 2 : 2 + n], "a row": row64[:, 1:], "another": other64}
        expected = c64.copy()
        expected[:, 2 : 2 + n] = a64[:, 4 : 4 + k] @ weight.astype(np.float64) + begins[begin]
        assert_close(
            torch.from_numpy(call.numbers[1][0]), torch.from_numpy(expected.astype(dtype)), f"{m} {k} {n}"
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_weight_gradient(library, dtype, threads):
    random = np.random.default_rng(0)
    for rows, m, n in [
        (1, 1, 1),
        (3, 150, 40),
        (300, 70, 33),
        (700, 13, 600),
        (257, 200, 8),
        (40, 400, 520),
        (0, 4, 4),
    ]:
        case = Case(dtype, rows_only(rows, NODES))
        a, b = (
            case.add(GLOBAL, w + 2, random.normal(size=(1, rows, w + 2)) / (rows + 1) ** 0.25) for w in (m, n)
        )
        begin = random.normal(size=(m, n + 4)).astype(dtype)
        case.programs.append(([], []))
        case.gradients.append((NODES, 0, a, 1, m, b, 2, n, begin))
        call = Call(case)
        assert call.check(library) == ""
        assert call.weight_gradients(library, threads) == 0
        left, right = (case.buffers[q].numbers[0].astype(np.float64) for q in (a, b))
        expected = begin.astype(np.float64)
        expected[:, :n] += left[:, 1 : 1 + m].T @ right[:, 2 : 2 + n]
        assert_close(
            torch.from_numpy(call.totals[0]), torch.from_numpy(expected.astype(dtype)), f"{rows} {m} {n}"
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_outer_products(library, dtype, threads):
    """Of some columns of rows, or of one row for all; the sum is as large as it is, and begins with zeros."""
    random = np.random.default_rng(0)
    for rows, m, n in [(1, 1, 1), (48, 150, 40), (301, 70, 33), (20_000, 13, 60), (49, 200, 8), (96, 64, 64)]:
        case = Case(dtype, rows_only(rows, NODES))
        a = case.add(GLOBAL, m + 2, random.normal(size=(1, rows, m + 2)) / (rows + 1) ** 0.25)
        b = case.add(GLOBAL, n + 3, random.normal(size=(1, rows, n + 3)) / (rows + 1) ** 0.25)
        one = case.add(GLOBAL, m, random.normal(size=(1, 1, m)) / (rows + 1) ** 0.5)
        totals = [case.add(SUM, m * n, np.full(m * n, np.nan)) for _ in range(2)]
        instructions = [outer(NODES, a, 1, b, 2, n, totals[0]), outer(NODES, one, 0, b, 2, n, totals[1])]
        case.programs.append((instructions, []))
        call = Call(case)
        assert call.check(library) == ""
        assert call.sweep(library, threads=threads) == 0
        left, right, row = (case.buffers[q].numbers[0].astype(np.float64) for q in (a, b, one))
        sides = left[:, 1 : 1 + m], np.repeat(row, rows, 0)[:rows]
        for total, side in zip(totals, sides, strict=True):
            expected = (side.T @ right[:, 2 : 2 + n]).reshape(-1).astype(dtype)
            found = call.numbers[total].reshape(-1)
            assert_close(torch.from_numpy(found), torch.from_numpy(expected), f"{rows} {m} {n}")

"""Products whose operands are rounded to bfloat16 and added up in float32, against such operands in numpy."""

import numpy as np
import pytest
import torch

from graphrec import clib
from graphrec.cprogram import FLOATS_BY_BF16, GLOBAL, IN_EDGES, NODES, SUM
from tests.native.case import Call, Case, Structure, outer, product
from tests.native.libraries import loaded
from tests.native.test_products import SIZES, rows_only
from tests.tolerances import assert_close

pytestmark = pytest.mark.skipif(not clib.has_bf16(), reason="no library, or no processor with AVX-512 BF16")


def rounded(numbers: np.ndarray) -> np.ndarray:
    return torch.from_numpy(np.ascontiguousarray(numbers)).bfloat16().double().numpy()


def by_bf16(case: Case) -> Call:
    call = Call(case)
    call.numbers_are = FLOATS_BY_BF16
    return call


def close(found, expected, what):
    size = max(1.0, np.abs(expected).max(initial=0))
    one, other = (torch.from_numpy((numbers / size).astype(np.float32)) for numbers in (found, expected))
    assert_close(one, other, what)


@pytest.mark.parametrize("begin", ["nothing", "a row", "another"])
@pytest.mark.parametrize("kind", [NODES, IN_EDGES])
def test_product(begin, kind):
    """Odd depths, widths beside those of panels, no depth at all; what is added is not rounded."""
    library, random = loaded("avx512"), np.random.default_rng(0)
    for m, k, n in [*SIZES, (13, 513, 33), (50, 1025, 17)]:
        case = Case(np.float32, rows_only(m, kind))
        a, c = random.normal(size=(1, m, k + 3)), np.full((1, m, n + 3), 7.0)
        wide = (random.normal(size=(n, k + 2)) / np.sqrt(k + 1)).astype(np.float32)
        case.weights.append(
            [wide[:, :k].T, np.ascontiguousarray(wide[:, :k].T)][m % 2]
        )  # either order in memory
        i = {
            "nothing": None,
            "a row": random.normal(size=(1, 1, n)),
            "another": random.normal(size=(1, m, n)),
        }[begin]
        buffers = [case.add(GLOBAL, x.shape[2], x) for x in (a, c, i) if x is not None]
        add = () if i is None else (buffers[2], 0)
        case.programs.append(([product(kind, buffers[0], 1, 0, buffers[1], 2, *add)], []))
        call = by_bf16(case)
        assert call.sweep(library) == 0
        expected = rounded(case.buffers[0].numbers[0][:, 1 : 1 + k]) @ rounded(case.weights[0])
        expected = expected + (0 if i is None else case.buffers[2].numbers[0])
        close(call.numbers[1][0][:, 2 : 2 + n], expected, f"{m} {k} {n}")
        assert (call.numbers[1][0][:, [0, 1, n + 2]] == 7).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_of_weights(threads):
    """Of rows in ranges of odd lengths, so that pairs are of rows that are no neighbours."""
    library, random = loaded("avx512"), np.random.default_rng(0)
    for lengths, m, n in [
        ((1,), 1, 1),
        ((7, 3, 1, 258), 37, 65),
        ((255, 1, 300), 330, 20),
        ((5, 600), 17, 333),
    ]:
        gaps = np.cumsum([0, *(length + 2 for length in lengths)])
        rows = int(gaps[-1])
        first = [int(gap) for gap in gaps[:-1]]
        last = [one + length for one, length in zip(first, lengths, strict=True)]
        count = len(lengths)
        structure = Structure(rows, np.zeros((2, 0), int), first, last, [0] * count, [0] * count, [0, count])
        case = Case(np.float32, structure)
        a, b = (case.add(GLOBAL, width + 1, random.normal(size=(1, rows, width + 1))) for width in (m, n))
        total = random.normal(size=(m, n)).astype(np.float32)
        case.programs.append(([], []))
        case.gradients.append((NODES, 0, a, 1, m, b, 0, n, total))
        call = by_bf16(case)
        assert call.weight_gradients(library, threads) == 0
        mine = np.concatenate([np.arange(one, other) for one, other in zip(first, last, strict=True)])
        left, right = (rounded(case.buffers[which].numbers[0][mine]) for which in (a, b))
        close(call.totals[0], total + left[:, 1:].T @ right[:, :n], f"{lengths} {m} {n}")


def test_outer_products():
    """Of odd numbers of rows, so that the last one has no pair."""
    library, random = loaded("avx512"), np.random.default_rng(0)
    for rows, m, n in [(1, 1, 1), (49, 37, 65), (301, 130, 20), (95, 64, 96)]:
        case = Case(np.float32, rows_only(rows, NODES))
        a, b = (case.add(GLOBAL, width + 1, random.normal(size=(1, rows, width + 1))) for width in (m, n))
        total = case.add(SUM, m * n, np.full(m * n, np.nan))
        case.programs.append(([outer(NODES, a, 1, b, 0, n, total)], []))
        call = by_bf16(case)
        assert call.sweep(library) == 0
        left, right = (rounded(case.buffers[which].numbers[0]) for which in (a, b))
        close(call.numbers[total].reshape(m, n), left[:, 1:].T @ right[:, :n], f"{rows} {m} {n}")


def test_nan_and_infinity_travel():
    case = Case(np.float32, rows_only(3, NODES))
    a = case.add(GLOBAL, 3, np.array([[[1, 2, np.nan], [np.inf, 1, 1], [1, 1, 1]]]))
    c = case.add(GLOBAL, 1, np.zeros((1, 3, 1)))
    case.weights.append(np.ones((3, 1), np.float32))
    case.programs.append(([product(NODES, a, 0, 0, c, 0)], []))
    call = by_bf16(case)
    assert call.sweep(loaded("avx512")) == 0
    assert np.array_equal(call.numbers[c].flatten(), [np.nan, np.inf, 3], equal_nan=True)


@pytest.mark.parametrize("isa", ["avx2", "base"])
def test_without_the_instructions_nothing_is_rounded(isa):
    library = loaded(isa)
    assert not library.graphrec_has_bf16()
    random = np.random.default_rng(0)
    case = Case(np.float32, rows_only(20, NODES))
    a, c = case.add(GLOBAL, 9, random.normal(size=(1, 20, 9))), case.add(GLOBAL, 5, np.zeros((1, 20, 5)))
    case.weights.append(random.normal(size=(9, 5)).astype(np.float32))
    case.programs.append(([product(NODES, a, 0, 0, c, 0)], []))
    rounding, plain = by_bf16(case), Call(case)
    assert rounding.sweep(library) == plain.sweep(library) == 0
    assert np.array_equal(rounding.numbers[c], plain.numbers[c])

"""Elementary functions: their largest errors, as `functions.h` states them, and what becomes of NaN and infinities."""

import numpy as np
import pytest
import torch

from graphrec.cprogram import GLOBAL, NODES, Op
from tests.native.case import Call, Case, Structure, chain, micro

# As stated in functions.h: in units in the last place, float32 and float64.
LARGEST = {
    Op.EXP: (2, 2),
    Op.LOG: (2, 2),
    Op.SIGMOID: (3, 3),
    Op.TANH: (3, 3),
    Op.EXPM1: (3, 3),
    Op.LOG1P: (3, 3),
    Op.SOFTPLUS: (4, 4),
}


def softplus(x):
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 21))))


EXACT = {
    Op.EXP: np.exp,
    Op.LOG: np.log,
    Op.SIGMOID: lambda x: 1 / (1 + np.exp(-x)),
    Op.TANH: np.tanh,
    Op.EXPM1: np.expm1,
    Op.LOG1P: np.log1p,
    Op.SOFTPLUS: softplus,
}
IN_TORCH = {
    Op.EXP: torch.exp,
    Op.LOG: torch.log,
    Op.SIGMOID: torch.sigmoid,
    Op.TANH: torch.tanh,
    Op.SIN: torch.sin,
    Op.COS: torch.cos,
    Op.ERF: torch.erf,
    Op.SOFTPLUS: torch.nn.functional.softplus,
    Op.EXPM1: torch.expm1,
    Op.LOG1P: torch.log1p,
}


def apply(library, op, values):
    """One operation on a row of numbers."""
    values = np.ascontiguousarray(values)
    rows = Structure(1, np.zeros((2, 0), int), [0], [1], [0], [0], [0, 1])
    case = Case(values.dtype.type, rows)
    x, y = (case.add(GLOBAL, values.size, numbers[None, None]) for numbers in (values, np.zeros_like(values)))
    case.programs.append(([chain(NODES, values.size, 0, 1)], [micro(op, (y, 0, 0, 0), (x, 0, 0, 0))]))
    call = Call(case)
    assert call.sweep(library) == 0
    return call.numbers[y][0, 0]


def arguments(dtype, op):
    """Of all sizes that are numbers there, denser near zero and one; for exp down to where its results are denormal."""
    random = np.random.default_rng(0)
    info = np.finfo(dtype)
    parts = [random.normal(size=20_000), random.uniform(-40, 40, 20_000)]
    parts += [random.uniform(np.log(info.tiny), np.log(info.max), 20_000)]
    exponents = random.uniform(info.minexp, info.maxexp - 1, 20_000)
    parts += [np.exp2(exponents) * random.choice([-1.0, 1.0], exponents.size)]
    near = 1 + random.normal(size=20_000) * np.exp2(random.uniform(-20, 0, 20_000))
    parts += [near, near - 1, np.linspace(-2, 2, 4097)]
    x = np.concatenate(parts).astype(dtype)
    if op == Op.LOG:
        x = np.abs(x)
        x = x[x > 0]
    if op == Op.LOG1P:
        x = x[x > -1]
    if op == Op.SIGMOID:
        x = x[x > -np.log(info.max)]
    return x


def error_in_ulp(actual, exact, dtype):
    """Where the exact result is a normal number; a result below may be off by one of the smallest steps."""
    spacing = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    finite = np.isfinite(spacing)
    return np.abs(actual[finite].astype(np.longdouble) - exact[finite]) / spacing[finite], finite


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", LARGEST)
def test_error(library, op, dtype):
    x = arguments(dtype, op)
    with np.errstate(all="ignore"):
        exact = EXACT[op](x.astype(np.longdouble))
        error, finite = error_in_ulp(apply(library, op, x), exact, dtype)
    assert finite.mean() > 0.4
    worst = error.argmax()
    assert error[worst] <= LARGEST[op][dtype == np.float64], (x[finite][worst], exact[finite][worst])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", IN_TORCH)
def test_nan_infinities_and_zeros_as_in_torch(library, op, dtype):
    info = np.finfo(dtype)
    special = [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1.0,
        -1.0,
        1e30,
        -1e30,
        info.max,
        info.min,
        info.tiny,
        -info.tiny,
    ]
    special += [info.smallest_subnormal, 89.0, -105.0, 750.0, -750.0, 20.0, 20.5, -2.0]
    x = np.array(special, dtype)
    if op in (Op.SIN, Op.COS):
        x = x[~(np.abs(x) > 1e10) | ~np.isfinite(x)]  # torch's own are off there
    expected = IN_TORCH[op](torch.from_numpy(x)).numpy()
    actual = apply(library, op, x)
    same = (
        (np.isnan(actual) & np.isnan(expected))
        | (actual == expected)
        | np.isclose(actual, expected, rtol=1e-6, atol=info.tiny)
    )
    assert same.all(), (x[~same], actual[~same], expected[~same])
    for n in range(1, 20):  # in tails, too
        shorter = apply(library, op, x[:n])
        assert np.array_equal(shorter, actual[:n], equal_nan=True)

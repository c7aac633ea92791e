"""Series of numbers, against their definitions in plain Python, and against a solver of another kind."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from data.series import mackey_glass, narma


@pytest.mark.parametrize("order", [1, 2, 10])
def test_narma_is_its_equation(order: int) -> None:
    u, y = (series.flatten().tolist() for series in narma(300, order, seed=2))
    assert len(u) == len(y) == 300

    def at(series: list[float], t: int) -> float:
        return series[t] if t >= 0 else 0.0

    for t in range(300):
        past = sum(at(y, t - i) for i in range(1, order + 1))
        expected = 0.3 * at(y, t - 1) + 0.05 * at(y, t - 1) * past + 1.5 * at(u, t - order + 1) * u[t] + 0.1
        assert y[t] == pytest.approx(expected, abs=1e-5)
    assert min(u) >= 0
    assert max(u) <= 0.5
    assert sum(u) / 300 == pytest.approx(0.25, abs=0.03)


def test_the_same_seed_draws_the_same_series() -> None:
    one, again, other = narma(50, seed=1), narma(50, seed=1), narma(50, seed=2)
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])


def test_inputs_that_drive_the_output_to_infinity_are_drawn_again() -> None:
    first_inputs = [
        float(0.5 * torch.rand(1000, generator=torch.Generator().manual_seed(seed), dtype=torch.double)[0])
        for seed in range(20)
    ]
    drawn = [narma(1000, 11, seed) for seed in range(20)]
    again = sum(u[0] != pytest.approx(first) for (u, _), first in zip(drawn, first_inputs, strict=True))
    assert 0 < again < 20
    assert all(y.max() < 10 for _, y in drawn)
    with pytest.raises(ValueError, match=r"order 60 grows without bound .*take a lower order"):
        narma(2000, 60)


def euler(until: float, delay: float, start: float, step: float) -> float:
    """x at one time, by Euler's method."""
    lag = round(delay / step)
    x = [start] * (lag + 1)
    for n in range(round(until / step)):
        x.append(x[-1] + step * (0.2 * x[n] / (1 + x[n] ** 10) - 0.1 * x[-1]))
    return x[-1]


@pytest.mark.parametrize(("delay", "start"), [(17.0, 1.2), (5.0, 0.4)])
def test_mackey_glass_is_what_ever_smaller_steps_of_euler_tend_to(delay: float, start: float) -> None:
    series = mackey_glass(61, delay, start=start, discard=0).flatten().tolist()
    assert series[0] == pytest.approx(start)
    for time in (3, 20, 60):
        coarse, fine = (euler(time, delay, start, step) for step in (0.002, 0.001))
        assert series[time] == pytest.approx(
            2 * fine - coarse, abs=1e-5
        )  # Richardson: the error halves with the step


def test_the_beginning_has_a_closed_form() -> None:
    # While the past is constant, x decays to the fixed point of dx/dt = c - 0.1 x.
    goal = 10 * 0.2 * 1.2 / (1 + 1.2**10)
    series = mackey_glass(18, discard=0).flatten().tolist()
    for time, x in enumerate(series):
        assert x == pytest.approx(goal + (1.2 - goal) * math.exp(-0.1 * time), abs=1e-6)


def test_a_finer_step_changes_little_while_errors_have_not_grown() -> None:
    fine = mackey_glass(200, discard=0, step=0.025)
    torch.testing.assert_close(mackey_glass(200, discard=0), fine, atol=1e-6, rtol=0)


def test_values_are_taken_every_so_often_and_after_a_while() -> None:
    whole = mackey_glass(61, discard=0)
    assert torch.equal(mackey_glass(11, every=6, discard=0), whole[::6])
    assert torch.equal(mackey_glass(31, discard=30), whole[30:])


def test_it_is_chaotic() -> None:
    one, other = mackey_glass(1500), mackey_glass(1500, start=1.2 + 1e-6)
    apart = (one - other).abs().flatten()
    assert apart[:20].max() < 0.05 * apart[-300:].max()
    assert 0.2 < one.min() < one.max() < 1.4


@pytest.mark.parametrize(
    ("series", "arguments", "message"),
    [
        (narma, {"length": 0}, r"length and order must be 1 or more, got 0 and 10"),
        (narma, {"length": 5, "order": 0}, r"length and order must be 1 or more, got 5 and 0"),
        (mackey_glass, {"length": 0}, r"length must be 1 or more, got 0"),
        (mackey_glass, {"length": 5, "step": 0.0}, r"step must be greater than 0, got 0\.0"),
        (mackey_glass, {"length": 5, "step": math.nan}, r"step must be greater than 0, got nan"),
        (
            mackey_glass,
            {"length": 5, "delay": 0.0},
            r"delay must be a whole multiple of the step 0\.1, 1 or more",
        ),
        (mackey_glass, {"length": 5, "every": 0.25}, r"every must be a whole multiple .*, got 0\.25"),
        (mackey_glass, {"length": 5, "discard": -1.0}, r"discard must be .*, 0 or more, got -1\.0"),
    ],
)
def test_bad_options_are_refused(series: Callable[..., Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        series(**arguments)

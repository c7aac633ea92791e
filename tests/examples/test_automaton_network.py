"""Automata as second-order networks: every state on long strings, the gain that it takes, and what happens below."""

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from data.automaton import Automaton
from data.tomita import Tomita
from scipy.optimize import brentq

from tests.tolerances import assert_close

LENGTH = 10_000


def automaton_named(example, name: str) -> Automaton:
    kind, number = name.split()
    if kind == "Tomita":
        return Tomita(int(number), [1], 1).automaton
    return example.funnel(int(number)) if kind == "funnel" else example.random_automaton(9, 3, int(number))


# Each takes a second or two: three in every run, the others among the slow tests.
QUICK, MORE = (
    ("Tomita 4", "Tomita 6", "random 0"),
    ("Tomita 2", "Tomita 3", "Tomita 5", "Tomita 7", "funnel 6", "random 1"),
)
NAMES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]


@pytest.mark.parametrize("name", ["Tomita 3", "random 0", "funnel 4"])
def test_the_network_computes_its_equations(example, name):
    automaton, gain = automaton_named(example, name), 3.7
    strings = example.long_strings(automaton, 30, 3, seed=1)
    x = example.signals(example.network_of(automaton, gain), strings)
    for string, row in zip(strings.tolist(), x, strict=True):
        now = [1.0] + [0.0] * (len(automaton.step) - 1)
        for symbol, after in zip(string, row, strict=True):
            delta = [row[symbol] for row in automaton.step]
            sums = [
                sum(now[i] for i in range(len(delta)) if delta[i] == k)
                - (now[k] if delta[k] != k else 0)
                - 0.5
                for k in range(len(delta))
            ]
            now = [1 / (1 + math.exp(-gain * z)) for z in sums]
            assert_close(after, torch.tensor(now, dtype=torch.float64))


@pytest.mark.parametrize("name", NAMES)
def test_with_the_stable_gain_every_state_of_long_strings_is_right(example, name):
    automaton = automaton_named(example, name)
    n, m = len(automaton.step), len(automaton.step[0])
    gain = example.automaton_gain.stable_gain(automaton)
    strings = example.long_strings(automaton, LENGTH, 3, seed=0)
    x = example.signals(example.network_of(automaton, gain), strings)
    bounds = example.automaton_gain.bounds_by_transition(automaton, gain)
    accepted = 0
    for string, signal in zip(strings.tolist(), x, strict=True):
        path = automaton.path(string)
        after = torch.tensor(path[1:])
        assert torch.equal(signal.argmax(dim=1), after)
        # And each signal is within the bounds of the transition that it comes after.
        row = n + m * torch.tensor(path[:-1]) + torch.tensor(string)
        must = torch.arange(n) == after.unsqueeze(1)
        assert (signal[must] >= bounds.high[row]).all()
        assert (signal <= bounds.low[row]).logical_or(must).all()
        accepted += sum(state in automaton.accepting for state in path)
    assert 0 < accepted < 3 * LENGTH  # the strings go in and out


@pytest.mark.slow
def test_parity_of_a_million_symbols_needs_no_more(example):
    ones = torch.randint(2, (100, LENGTH), generator=torch.Generator().manual_seed(0))
    gain = example.automaton_gain.stable_gain(example.PARITY)
    x = example.signals(example.network_of(example.PARITY, gain), ones)
    assert torch.equal(x.argmax(dim=2), ones.cumsum(dim=1) % 2)


@pytest.mark.parametrize("name", NAMES)
def test_below_the_stable_gain_long_strings_are_misjudged(example, name):
    automaton = automaton_named(example, name)
    strings = example.long_strings(automaton, LENGTH, 8, seed=0)
    path = example.paths(automaton, strings)
    gain = example.automaton_gain.stable_gain(automaton)
    reading = example.read(automaton, gain, strings, path)
    assert (reading.wrong_states, reading.misjudged) == (0, 0)
    reading = example.read(automaton, {"Tomita 6": 0.98}.get(name, 0.84) * gain, strings, path)
    assert reading.misjudged > 0
    assert reading.wrong_states > 0
    assert reading.high < 0.5 or reading.low > 0.5


def test_parity_forgets_one_string_as_a_whole(example):
    # 0101… is lost at a gain of 5.08 and kept at 5.6: the answer to all 10,000 symbols, in plain numpy.
    answers = {}
    for gain in (5.08, 5.6):
        even, odd = 1.0, 0.0
        for symbol in [0, 1] * (LENGTH // 2):
            kept = np.array([even, odd]) if symbol == 0 else np.array([odd - even, even - odd])
            even, odd = 1 / (1 + np.exp(-gain * (kept - 0.5)))
        answers[gain] = max(even, odd) > 0.5
    assert answers == {5.08: False, 5.6: True}
    strings = torch.tensor([[0, 1] * (LENGTH // 2)])
    path = example.paths(example.PARITY, strings)
    assert example.read(example.PARITY, 5.08, strings, path).high < 0.5
    assert example.read(example.PARITY, 5.6, strings, path).high > 0.8


@pytest.mark.parametrize("name", ["Tomita 4", "Tomita 7", "funnel 6", "random 0"])
def test_a_step_leads_from_bounds_into_bounds(example, name):
    automaton = automaton_named(example, name)
    n, m = len(automaton.step), len(automaton.step[0])
    gain = example.automaton_gain.stable_gain(automaton)
    low, high = (b.numpy() for b in example.automaton_gain.bounds_by_transition(automaton, gain))
    rng = np.random.default_rng(0)
    rows = [
        *enumerate(range(n)),
        *((n + m * c + a, automaton.step[c][a]) for c in range(n) for a in range(m)),
    ]
    for row, state in rows:
        for symbol in range(m):
            delta = np.array([line[symbol] for line in automaton.step])
            for corner in (True, False):
                x = low[row] * (rng.integers(2, size=n) if corner else rng.random(n))
                x[state] = high[row] if corner else rng.uniform(high[row], 1)
                sums = np.array([x[delta == k].sum() - (delta[k] != k) * x[k] for k in range(n)])
                x = 1 / (1 + np.exp(-gain * (sums - 0.5)))
                to, after = n + m * state + symbol, delta[state]
                assert x[after] >= high[to]
                assert (np.delete(x, after) <= np.delete(low[to], after)).all()


@pytest.mark.parametrize("name", ["Tomita 5", "funnel 6", "random 1"])
def test_a_larger_gain_is_enough_too_and_a_smaller_one_is_not(example, name):
    automaton, gains = automaton_named(example, name), example.automaton_gain
    stable = gains.stable_gain(automaton)
    assert stable <= gains.gain_by_fan_in(gains.fan_in(automaton)) + 2e-3
    for more in (0.0, 0.1, 1.0, 30.0):
        assert gains.bounds_by_transition(automaton, stable + more).are_apart
    for less in (0.02, 0.5, 3.0):
        assert gains.bounds_by_transition(automaton, stable - less) is None


@pytest.mark.parametrize("fan_in", [1, 2, 7, 50])
def test_the_gain_by_fan_in_is_where_fixed_points_vanish(example, fan_in):
    def low(gain: float) -> float | None:
        """The smaller root of low = f(gain (r low - 1/2)), left of where the slope of the right side is 1."""
        slope_one = (1 - math.sqrt(max(0.0, 1 - 4 / (gain * fan_in)))) / 2
        tip = (0.5 + math.log(slope_one / (1 - slope_one)) / gain) / fan_in  # there f(…) = slope_one
        if gain * fan_in < 4 or slope_one > tip:
            return None
        root: Any = brentq(lambda e: e - 1 / (1 + math.exp(-gain * (fan_in * e - 0.5))), 0, tip, xtol=1e-15)
        return root

    def is_enough(gain: float) -> bool:
        """Whether high = f(gain (high - low - 1/2)) has a root above 1/2: at its slope of 1 from above, it does."""
        smallest = low(gain)
        if smallest is None or gain < 4:
            return False
        value = (1 + math.sqrt(1 - 4 / gain)) / 2
        at = 0.5 + smallest + math.log(value / (1 - value)) / gain
        return value >= at

    scanned = np.arange(3.5, 30, 1e-3)
    least = next(gain for gain in scanned if is_enough(gain))
    assert abs(example.automaton_gain.gain_by_fan_in(fan_in) - least) < 3e-3


def test_the_fan_in_counts_states_that_one_symbol_leads_to_one(example):
    fan_in = example.automaton_gain.fan_in
    assert fan_in(example.PARITY) == 1
    assert [fan_in(example.funnel(n)) for n in (3, 8)] == [2, 7]
    assert fan_in(Automaton(((1, 0), (1, 0), (1, 0), (1, 2)), frozenset({0}))) == 3  # all four go to 1 on 0
    rng = random.Random(0)
    for seed in range(20):
        n, m = rng.randint(2, 6), rng.randint(1, 3)
        automaton = example.random_automaton(n, m, seed)
        counts = [sum(automaton.step[j][a] == k for j in range(n)) for k in range(n) for a in range(m)]
        assert fan_in(automaton) == max([c for c in counts if c < n], default=1)


def test_strings_are_long_and_do_not_die_at_once(example):
    automaton = Tomita(2, [1], 1).automaton  # (10)*: state 1 is never left
    strings = example.long_strings(automaton, 500, 20, seed=3)
    assert strings.shape == (20, 500)
    assert torch.equal(strings, example.long_strings(automaton, 500, 20, seed=3))
    died = [(path == 1).long().argmax().item() for path in example.paths(automaton, strings)]
    assert max(died) > 250


def test_gains_that_are_none_are_refused(example):
    for gain in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="gain must be a positive number, got"):
            example.network_of(example.PARITY, gain)
    with pytest.raises(ValueError, match=r"a gain of 2\.0 is not enough: give a larger one"):
        example.automaton_gain.bracket(lambda gain: gain > 3, enough=2.0)
    with pytest.raises(SystemExit):
        example.main(["--symbols", "10"])
    assert example.automaton_gain.bracket(lambda gain: gain > 3, enough=8.0, within=2.0) == (2.0, 4.0)


@pytest.mark.slow
def test_the_example_writes_its_picture(example, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(example, "FUNNELS", (3, 6))
    example.main(["--out", str(tmp_path), "--symbols", "2000"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "of 16" in line]
    assert len(rows) == 11
    for row in rows:
        fails, stable, by_fan_in = float(row[-6]), float(row[-2]), float(row[-1])
        assert 1 < fails < stable <= by_fan_in + 0.01
    assert (tmp_path / "automaton_network.png").stat().st_size > 10_000

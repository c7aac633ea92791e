"""How large the weights of an automaton's network must be for its signals to stay apart on strings of any length.

In `automaton_network.network_of` the neuron of state k sums, on symbol a, the signals of all states that a leads to
k; it loses its own signal if a leads away from k, and a half; and the gain multiplies the result:

    x_k' = f(gain (sum_{j: delta(j, a) = k} x_j  -  [delta(k, a) ≠ k] x_k  -  1/2)),  f logistic

One neuron, of the state that the automaton is in, must stay high (above 1/2), and all others low (below 1/2).

*By fan-in only*, after Omlin and Giles. Let no low signal exceed `low`, let the high one be at least `high`, and let
at most r states lead to the same one on any symbol. A neuron that must become low adds up r low signals at most; one
that must become high receives the high signal, and may lose its own low one. So both bounds hold forever if

    f(gain (r low - 1/2)) <= low < 1/2    and    f(gain (high - low - 1/2)) >= high > 1/2

*By the automaton itself*: a bound for each neuron after each transition, instead of two bounds for all. Those after
transition (c, a), from state c on symbol a, are the widest that one step on a makes of the bounds after any transition
that ends in c.

Bounds that a step maps into themselves are an invariant, by induction over the string. They remain one at every
larger gain, which drives all signals further away from 1/2: so bisection finds the least gain that has such bounds.

C. Omlin and C. Giles, "Constructing deterministic finite-state automata in recurrent neural networks", Journal of the
ACM 43, 1996.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from data.automaton import Automaton
from torch import Tensor

SLACK = 1e-5  # by how much bounds are wider than necessary: more than round-off, and enough to end the search


class Bounds(NamedTuple):
    """No signal that must be low exceeds `low`, and none that must be high falls below `high`."""

    low: Tensor
    high: Tensor

    @property
    def are_apart(self) -> bool:
        """Whether 1/2 lies between low and high signals."""
        return bool(self.low.max() < 0.5) and bool(self.high.min() > 0.5)


def bounds_by_fan_in(fan_in: int, gain: float) -> Bounds | None:
    """The bounds by fan-in only, two numbers; None where there are none."""

    def step(bounds: Bounds) -> Bounds:
        low = torch.sigmoid(gain * (fan_in * bounds.low - 0.5))
        return Bounds(low, torch.sigmoid(gain * (bounds.high - bounds.low - 0.5)))

    zero = torch.zeros((), dtype=torch.float64)
    return invariant(step, Bounds(zero, zero + 1))


def bounds_by_transition(automaton: Automaton, gain: float) -> Bounds | None:
    """The bounds after each transition; None where there are none.

    A string may begin in any state. So for n states and m symbols there are R = n + n m rows: first each state as a
    start, where signals are 0 and 1, then the transitions (0, 0), (0, 1), …

    Returns:
        `low` `[R, n]`, zero for the neuron that must be high, and `high` `[R]`.
    """
    after = torch.tensor(automaton.step)  # [n, m]
    n, m = after.shape
    now = torch.cat([torch.arange(n), after.flatten()])  # the state that each row is about
    is_now = torch.nn.functional.one_hot(now, n).bool()
    leads = torch.nn.functional.one_hot(after, n).double()  # [from, symbol, to]
    leaves = (after != torch.arange(n).unsqueeze(1)).double().t()  # [symbol, from]
    is_after = leads[now].bool()  # [R, m, n]

    def per_transition(images: Tensor, widest: str) -> Tensor:
        """`[R, m, ·]` to `[n m, ·]`: the widest bounds over all rows about the same state."""
        place = now.reshape(-1, 1, 1).expand_as(images)
        start = images[:n]  # each state's own row as a start, so that no state is without rows
        return start.scatter_reduce(0, place, images, widest).flatten(0, 1)

    def step(bounds: Bounds) -> Bounds:
        upper = torch.where(is_now, 1.0, bounds.low)
        lower = torch.where(is_now, bounds.high.unsqueeze(1), 0.0)
        most = torch.einsum("rj,jak->rak", upper, leads) - leaves * lower.unsqueeze(1) - 0.5
        least = torch.einsum("rj,jak->rak", lower, leads) - leaves * upper.unsqueeze(1) - 0.5
        low = torch.sigmoid(gain * most).masked_fill(is_after, 0)
        high = torch.sigmoid(gain * least)[is_after].reshape(len(now), m, 1)
        return Bounds(
            torch.cat([bounds.low[:n], per_transition(low, "amax")]),
            torch.cat([bounds.high[:n], per_transition(high, "amin").flatten()]),
        )

    start = Bounds(torch.zeros(len(now), n).double(), torch.ones(len(now)).double())
    return invariant(step, start)


def invariant(step: Callable[[Bounds], Bounds], bounds: Bounds) -> Bounds | None:
    """Bounds that a step maps into themselves: widened until they do, or None if they meet at 1/2 before."""
    while bounds.are_apart:
        image = step(bounds)
        if (image.low <= bounds.low).all() and (image.high >= bounds.high).all():
            return bounds
        bounds = Bounds(
            torch.where(image.low > bounds.low, image.low + SLACK, bounds.low),
            torch.where(image.high < bounds.high, image.high - SLACK, bounds.high),
        )
    return None


def fan_in(automaton: Automaton) -> int:
    """How many states at most lead to the same one on one symbol.

    Where all n do, that one is always the next, and its neuron never has to become low: this does not count.
    """
    states = range(len(automaton.step))
    columns = list(zip(*automaton.step, strict=True))
    counts = [column.count(state) for column in columns for state in states]
    return max((count for count in counts if count < len(states)), default=1)


def bracket(
    is_enough: Callable[[float], bool], enough: float = 64.0, within: float = 1e-3
) -> tuple[float, float]:
    """Two gains near each other, by bisection: one that is not enough, or zero, and one that is.

    Raises:
        ValueError: not even `enough` is.
    """
    if not is_enough(enough):
        raise ValueError(f"a gain of {enough} is not enough: give a larger one.")
    too_small = 0.0
    while enough - too_small > within:
        middle = (too_small + enough) / 2
        if is_enough(middle):
            enough = middle
        else:
            too_small = middle
    return too_small, enough


def gain_by_fan_in(fan_in: int) -> float:
    """The least gain at which the bounds by fan-in hold, to within 0.001."""
    return bracket(lambda gain: bounds_by_fan_in(fan_in, gain) is not None)[1]


def stable_gain(automaton: Automaton) -> float:
    """The least gain at which the automaton's own bounds hold, to within 0.001: enough for strings of any length."""
    return bracket(lambda gain: bounds_by_transition(automaton, gain) is not None)[1]

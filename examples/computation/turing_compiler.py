"""Compiles a Turing machine's table into the weights of a recurrent network.

The network is an SRN whose activation is saturated-linear, σ(z) = min(max(z, 0), 1):

    h_t = σ(W x_t + U h_{t-1} + b)

The tape is two stacks, the cells left of the head and those right of it, the nearest on top. Let there be K symbols,
numbered from 0 (the blank) to K - 1, and let B be the smallest power of two with B >= 2K. The stack a_1, a_2, … a_n,
from the top, is one unit with the value

    s = (2 a_1 + 1) / B + (2 a_2 + 1) / B² + … + (2 a_n + 1) / Bⁿ.

All digits are odd, so the values of stacks with different tops are at least 1/B apart, and σ can separate them.
The empty stack is 0, and reads as a blank. With two symbols B is 4, and the values lie in a Cantor set.

One step of the machine takes two steps of the network. Its units form two groups, and while one group is active the
other is zero. The *configuration* has a unit for each state q with the symbol a under the head, of which one is 1,
and the two stacks. The *change* has the next state and, for each stack, what the move makes of it. With

    away = [the head moves away from this stack, and writes w],  towards = [it moves towards it],

each a sum of units (q, a), and so 0 or 1, the change is

    next_q = σ(sum of the units (p, a) whose rule leads to q)
    push   = σ(s/B + (1 + (2w + 1)/B) away - 1)                  the stack with w on top, or 0
    pop_k  = σ(B s + B towards - B - (2k + 1)),  k = 0, …, K-1   the rest where the top is k, 1 where it is more, or 0
    top_k  = σ(B s + B towards - B - 2k),        k = 1, …, K-1   [the top is k or more], or 0

and the next configuration, with top_0 = 1 and top_K = 0,

    s      = σ(push + Σ_k pop_k - Σ_k top_k)                     each top_k takes off a pop that is 1
    (q, a) = σ(next_q + top_a - top_{a+1} - 1)                   next_q and a; each top is the sum of both stacks'

One step of the network is not enough with these units: a product of control and stack, or of next state and symbol,
needs a σ of its own. Halting states have no rules, so the network is zero after a halt and stays there; it is also zero
until the input x_1, the first configuration, starts it.

Exactness. All weights are dyadic. If stacks have at most n cells, then the terms of a unit's sum, and their partial
sums in any order, are multiples of B^-n of size at most 2 (push), multiples of B^-(n-1) of size at most 2B (pop, top),
or simpler ones. A floating-point number with 53 bits holds them if 2 Bⁿ <= 2^53: 26 cells for B = 4, 17 for B = 8.
(A full stack that is not pushed has s/B - 1 < 0, which may be rounded, but not to 0 or above.)

H. Siegelmann and E. Sontag, "Turing computability with neural nets", Applied Mathematics Letters 4, 1991, and "On the
computational power of neural nets", Journal of Computer and System Sciences 50, 1995: the stacks and σ. The gates and
their number are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from turing_machines import Machine

SIDES = ("L", "R")  # of the head


@dataclass(frozen=True)
class At:
    """(q, a): this state, with this symbol under the head."""

    state: str
    symbol: str


@dataclass(frozen=True)
class Stack:
    """s: what is on this side of the head."""

    side: str


@dataclass(frozen=True)
class Next:
    """next_q."""

    state: str


@dataclass(frozen=True)
class Push:
    """push, of this side's stack."""

    side: str


@dataclass(frozen=True)
class Pop:
    """pop_k, of this side's stack."""

    side: str
    k: int


@dataclass(frozen=True)
class Top:
    """top_k, of this side's stack."""

    side: str
    k: int


Unit = At | Stack | Next | Push | Pop | Top


class Sum(NamedTuple):
    """What σ is applied to in one unit."""

    weights: dict[Unit, float]
    bias: float


def compile_table(machine: Machine) -> dict[Unit, Sum]:
    """The sum of each unit, as in the equations above; the units of the configuration come first."""
    stacks: dict[Unit, Sum] = {}
    change: dict[Unit, Sum] = {Next(q): _next(machine, q) for q in machine.states}
    numbers = range(len(machine.symbols))
    for side in SIDES:
        pops: dict[Unit, Sum] = {Pop(side, k): _pop_above(machine, side, 2 * k + 1) for k in numbers}
        tops: dict[Unit, Sum] = {Top(side, k): _pop_above(machine, side, 2 * k) for k in numbers[1:]}
        change |= {Push(side): _push(machine, side)} | pops | tops
        weights = {Push(side): 1.0} | dict.fromkeys(pops, 1.0) | dict.fromkeys(tops, -1.0)
        stacks[Stack(side)] = Sum(weights, 0.0)
    return {At(q, a): _at(machine, q, a) for q in machine.states for a in machine.symbols} | stacks | change


def digit_base(machine: Machine) -> int:
    """B, the smallest power of two with B >= 2K."""
    return 1 << (2 * len(machine.symbols) - 1).bit_length()


def exact_cells(base: int) -> int:
    """How many cells a stack may have so that float64 computes exactly: the largest n with 2 Bⁿ <= 2^53."""
    return 52 // (base.bit_length() - 1)


def encode(symbols: Sequence[int], base: int) -> Fraction:
    """The value of a stack, its symbols' numbers given from the top."""
    value = Fraction(0)
    for a in reversed(symbols):
        value = (value + 2 * a + 1) / base
    return value


def decode(value: float | Fraction, base: int) -> list[int]:
    """The symbols' numbers, from the top, of a stack's value.

    Raises:
        ValueError: it is no stack's value.
    """
    numerator, denominator = value.as_integer_ratio()
    cells = (denominator.bit_length() - 1) // (base.bit_length() - 1)
    digits = [numerator // base**i % base for i in reversed(range(cells))]
    if not 0 <= value < 1 or denominator != base**cells or any(digit % 2 == 0 for digit in digits):
        raise ValueError(f"{value} is no stack: expected a fraction with odd digits in base {base}.")
    return [digit // 2 for digit in digits]


def _at(machine: Machine, state: str, symbol: str) -> Sum:
    a = machine.symbols.index(symbol)
    is_a = {Top(side, a): 1.0 for side in SIDES if a > 0}
    is_more = {Top(side, a + 1): -1.0 for side in SIDES if a + 1 < len(machine.symbols)}
    return Sum({Next(state): 1.0, **is_a, **is_more}, -1.0 if a > 0 else 0.0)


def _next(machine: Machine, state: str) -> Sum:
    return Sum({At(*read): 1.0 for read, rule in machine.rules.items() if rule.state == state}, 0.0)


def _push(machine: Machine, side: str) -> Sum:
    base = digit_base(machine)
    away = {
        At(*read): 1 + (2 * machine.symbols.index(rule.write) + 1) / base
        for read, rule in machine.rules.items()
        if rule.move != side
    }
    return Sum({Stack(side): 1 / base, **away}, -1.0)


def _pop_above(machine: Machine, side: str, threshold: int) -> Sum:
    """B s - threshold, where the head moves towards the stack; below 0 elsewhere."""
    base = digit_base(machine)
    towards = {At(*read): float(base) for read, rule in machine.rules.items() if rule.move == side}
    return Sum({Stack(side): float(base), **towards}, float(-base - threshold))

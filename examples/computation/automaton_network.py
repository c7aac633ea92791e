"""Any deterministic finite automaton as a second-order network, and the gain that it needs for strings of any length.

    python examples/computation/automaton_network.py --out FOLDER    # a few minutes; writes automaton_network.png

A neuron for each state, high (near 1) when the automaton is in it and low (near 0) otherwise; symbols are one-hot.
With delta(x_i, u_j) = x_k, the next state k of state i on symbol j, the weights of `graphrec.SecondOrderCell` are

    w_kij = +gain                  state i on symbol j switches k on
    w_iij = -gain   if k ≠ i       and itself off
    b_k   = -gain / 2              neither: low

Signals are never exactly 0 and 1, and each step may move them further towards 1/2. Above a certain gain they stay
apart forever: `automaton_gain.py` computes such a gain in two ways, the second of which is sharper. Not far below it,
signals meet on some strings, and the network loses the automaton's state. The example looks for a gain at which the
network misjudges one of its long strings, and shows all three gains.

Of Tomita's languages the first, 1*, is left out: its network errs only where signals are equal bit for bit.

C. Omlin and C. Giles, "Constructing deterministic finite-state automata in recurrent neural networks", Journal of the
ACM 43, 1996.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import NamedTuple

import automaton_gain
import automaton_pictures
import torch
from data.automaton import Automaton
from data.tomita import Tomita
from torch import Tensor

import graphrec as gr

PARITY = Automaton(((0, 1), (1, 0)), frozenset({1}))  # is the number of ones odd?
FUNNELS = (3, 6, 12, 24, 48)
COUNT = 16  # strings
GAINS = [3.5 + 0.2 * i for i in range(28)]  # of the curves


def network_of(automaton: Automaton, gain: float) -> gr.SecondOrderCell:
    """The second-order network of an automaton, in float64.

    Raises:
        ValueError: the gain is no positive number.
    """
    if not 0 < gain < float("inf"):
        raise ValueError(f"the gain must be a positive number, got {gain}.")
    states, symbols = len(automaton.step), len(automaton.step[0])
    cell = gr.SecondOrderCell(symbols, states).double()
    weight = torch.zeros(states, states, symbols, dtype=torch.float64)  # to, from, symbol
    for i, row in enumerate(automaton.step):
        for j, k in enumerate(row):
            weight[k, i, j] = gain
            if k != i:
                weight[i, i, j] = -gain
    with torch.no_grad():
        cell.pairs.weight.copy_(weight.flatten(1))
        cell.pairs.bias.fill_(-gain / 2)
    return cell


@torch.no_grad()
def signals(cell: gr.SecondOrderCell, strings: Tensor) -> Tensor:
    """`[B, T]` symbols to `[B, T, n]`, all neurons after each symbol of each string."""
    count, length = strings.shape
    symbols = cell.pairs.in_features // cell.hidden
    u = torch.nn.functional.one_hot(strings.flatten(), symbols).double()
    start = cell.State(torch.eye(1, cell.hidden, dtype=torch.float64))
    h = gr.run(cell, gr.schedule(gr.chains([length] * count)), u, start).h
    return h.reshape(count, length, cell.hidden)


def paths(automaton: Automaton, strings: Tensor) -> Tensor:
    """`[B, T]`: the automaton's own state after each symbol."""
    return torch.tensor([automaton.path(string)[1:] for string in strings.tolist()])


class Reading(NamedTuple):
    """How one network does on strings."""

    low: float  # the largest signal of a neuron that must be low, anywhere
    high: float  # the smallest of one that must be high
    wrong_states: int  # the number of symbols after which the state's own neuron is not the highest
    misjudged: int  # the number of strings in which the highest neuron is wrong after some symbol


def high_and_low(x: Tensor, path: Tensor) -> tuple[Tensor, Tensor]:
    """`[B, T]` each: the signal that must be high, and the largest of those that must be low."""
    must = torch.nn.functional.one_hot(path, x.shape[2]).bool()
    return x[must].reshape(path.shape), x.masked_fill(must, -1).amax(dim=2)


def read(automaton: Automaton, gain: float, strings: Tensor, path: Tensor) -> Reading:
    """Run the network with this gain on strings that lead the automaton along these paths.

    A string is judged by its highest neuron, whether that is of an accepting state; a tie is a wrong answer.
    """
    x = signals(network_of(automaton, gain), strings)  # [B, T, n]
    high, low = high_and_low(x, path)
    accepts = torch.tensor([state in automaton.accepting for state in range(x.shape[2])])
    agrees = accepts == accepts[path].unsqueeze(2)  # whether a neuron's answer would be the right one
    right, wrong = x.masked_fill(~agrees, -1).amax(dim=2), x.masked_fill(agrees, -1).amax(dim=2)
    misjudged = (right <= wrong).any(dim=1)
    return Reading(low.max().item(), high.min().item(), int((high <= low).sum()), int(misjudged.sum()))


def long_strings(automaton: Automaton, length: int, count: int, seed: int) -> Tensor:
    """`[count, length]`: short words, each repeated many times.

    A word is 1 to 3 symbols; how often it is repeated is drawn from 1 to `length`, on a logarithmic scale. Signals
    drift while a word is repeated, and the drift shows when the word changes. Up to a random place, a word is cut off
    before it would lead into a state that is never left, so that other states are visited for long enough.
    """
    rng = random.Random(seed)
    symbols = range(len(automaton.step[0]))
    is_trap = [set(row) == {state} for state, row in enumerate(automaton.step)]

    def one() -> list[int]:
        string: list[int] = []
        state, free = 0, rng.random() * length
        while len(string) < length:
            word = rng.choices(symbols, k=rng.randint(1, 3)) * round(length ** rng.random())
            for symbol in word:
                after = automaton.step[state][symbol]
                can_escape = len(string) < free and not all(is_trap[to] for to in automaton.step[state])
                if is_trap[after] and can_escape:
                    break
                string.append(symbol)
                state = after
        return string[:length]

    return torch.tensor([one() for _ in range(count)])


def random_automaton(states: int, symbols: int, seed: int) -> Automaton:
    """Transitions drawn uniformly; every second state accepts."""
    rng = random.Random(seed)
    step = tuple(tuple(rng.randrange(states) for _ in range(symbols)) for _ in range(states))
    return Automaton(step, frozenset(range(0, states, 2)))


def funnel(states: int) -> Automaton:
    """On 0 all states but the first lead to one of them, on 1 each leads to the next: the fan-in is states - 1."""
    step = tuple((min(state, 1), (state + 1) % states) for state in range(states))
    return Automaton(step, frozenset({0}))


class Finding(NamedTuple):
    """The three gains of an automaton."""

    fails: float  # the largest tried that misjudges a string, or 0 where none above 1 does
    misjudged: int  # how many of the strings, with that gain
    stable: float  # enough for strings of any length, by bounds from the automaton itself
    by_fan_in: float  # the same by Omlin's and Giles's bounds


def find(automaton: Automaton, strings: Tensor) -> Finding:
    """Compute the two gains that are enough, and search below them, 2% at a time, for one that fails."""
    path = paths(automaton, strings)
    stable = automaton_gain.stable_gain(automaton)
    by_fan_in = automaton_gain.gain_by_fan_in(automaton_gain.fan_in(automaton))
    gain = stable
    while gain > 1:
        misjudged = read(automaton, gain, strings, path).misjudged
        if misjudged:
            return Finding(gain, misjudged, stable, by_fan_in)
        gain *= 0.98
    return Finding(0.0, 0, stable, by_fan_in)


class Failure(NamedTuple):
    """The signal that must be high, around the place where it is lost."""

    symbols: list[int]
    place: int  # among these, the first at which the signal is below 1/2
    signals: dict[float, list[float]]  # by gain


def failure(automaton: Automaton, found: Finding, strings: Tensor, around: int = 20) -> Failure:
    """Some string that fails with the gain that fails, and the same with the gain that is stable."""
    path = paths(automaton, strings)
    high = {
        gain: high_and_low(signals(network_of(automaton, gain), strings), path)[0]
        for gain in (found.fails, found.stable)
    }
    string, place = (high[found.fails] < 0.5).nonzero()[0].tolist()
    window = slice(max(0, place - around), place + around)
    shown = {gain: signal[string, window].tolist() for gain, signal in high.items()}
    return Failure(strings[string, window].tolist(), place - window.start, shown)


def main(argv: list[str] | None = None) -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--out", type=Path, default=Path("runs", "automaton_network"), help="where results go")
    flags.add_argument("--symbols", type=int, default=10_000, help="in a string (default: 10,000)")
    args = flags.parse_args(argv)
    if args.symbols < 1000:
        flags.error(f"--symbols must be 1000 or more, for signals to have time to drift, got {args.symbols}")
    args.out.mkdir(parents=True, exist_ok=True)

    named = {"parity": PARITY} | {f"Tomita {i}": Tomita(i, [1], 1).automaton for i in range(2, 8)}
    named |= {f"random, {n} states": random_automaton(n, 2, seed=n) for n in (12, 24)}
    named |= {f"funnel, {n} states": funnel(n) for n in FUNNELS}
    print("                    states  fan-in    fails  misjudged   stable  by fan-in")
    findings, strings = {}, {}
    for name, automaton in named.items():
        strings[name] = long_strings(automaton, args.symbols, COUNT, seed=0)
        found = findings[name] = find(automaton, strings[name])
        sizes = f"{len(automaton.step):>6}  {automaton_gain.fan_in(automaton):>6}"
        gains = f"{found.fails:>7.2f}  {found.misjudged:>4} of {COUNT}  {found.stable:>7.2f}  {found.by_fan_in:>9.2f}"
        print(f"{name:<18}  {sizes}  {gains}", flush=True)

    curves = {}
    for name in ("parity", "Tomita 4", "Tomita 6", "random, 12 states"):
        path = paths(named[name], strings[name])
        readings = {gain: read(named[name], gain, strings[name], path) for gain in GAINS}
        bounds = {gain: automaton_gain.bounds_by_transition(named[name], gain) for gain in GAINS}
        curves[name] = automaton_pictures.Curves(findings[name], readings, bounds)
    failed = failure(PARITY, findings["parity"], strings["parity"])
    funnels = {n: findings[f"funnel, {n} states"] for n in FUNNELS}
    automaton_pictures.draw(curves, failed, funnels).savefig(args.out / "automaton_network.png")
    print(f"\nThe picture is {args.out / 'automaton_network.png'}.")


if __name__ == "__main__":
    main()

"""The values of gates, by simulation: 64 patterns in a word, all gates of a level and kind at once.

A pattern is a value, 0 or 1, for each input. Words are numpy's uint64; bit k of word w is pattern 64 w + k.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import graphrec as gr
from graphrec.io.circuits import Kind, Netlist

PATTERNS = 2**15  # how many are drawn where there are too many inputs for all
EXHAUSTIVE = 14  # the largest number of inputs for which all patterns are tried
WARMUP = 32  # clock cycles that do not count
CYCLES = 64  # clock cycles that do
STREAMS = 512  # random runs of a sequential circuit side by side

_OPERATION = {
    Kind.BUF: np.bitwise_and, Kind.NOT: np.bitwise_and, Kind.AND: np.bitwise_and, Kind.NAND: np.bitwise_and,
    Kind.OR: np.bitwise_or, Kind.NOR: np.bitwise_or, Kind.XOR: np.bitwise_xor, Kind.XNOR: np.bitwise_xor,
}  # fmt: skip
_COMPLEMENTED = {Kind.NOT, Kind.NAND, Kind.NOR, Kind.XNOR}
_ONES = np.uint64(2**64 - 1)
# Of inputs 0 to 5 of all patterns: each word is the same.
_COUNTING = [sum(1 << k for k in range(64) if k >> i & 1) for i in range(6)]
_MOST_WORDS = 2**22  # how many are held at a time


class Group(NamedTuple):
    """Gates that are computed at once."""

    kind: Kind
    gates: np.ndarray  # [n] int64
    fanins: np.ndarray  # [n, k] int64


def levels(netlist: Netlist) -> Tensor:
    """`[N]` long: the longest path to each gate from an input, a constant or a latch."""
    return gr.levels(netlist.structure(cut_latches=True))


def groups(netlist: Netlist) -> list[Group]:
    """The gates that compute, level by level: all of a kind with as many fan-ins."""
    count = np.array([len(reads) for reads in netlist.fanins], dtype=np.int64)
    source = np.array([gate for reads in netlist.fanins for gate in reads], dtype=np.int64)
    first, kinds, level = np.cumsum(count) - count, np.array(netlist.kinds), levels(netlist).numpy()
    keys = np.stack([count, kinds, level])
    order = np.lexsort(keys)
    order = order[(level[order] > 0) & (kinds[order] != Kind.LATCH)]
    change = np.flatnonzero((np.diff(keys[:, order]) != 0).any(axis=0)) + 1
    found = []
    for begin, end in pairwise([0, *change.tolist(), order.size] if order.size else []):
        gates = order[begin:end]
        reads = first[gates, None] + np.arange(int(count[gates[0]]))
        found.append(Group(Kind(kinds[gates[0]]), gates, source[reads]))
    return found


def simulate(netlist: Netlist, patterns: np.ndarray, state: np.ndarray | None = None) -> np.ndarray:
    """The values of all gates, in one clock cycle.

    Args:
        netlist: with I inputs and L latches.
        patterns: `[I, W]` uint64, the values of the inputs.
        state: `[L, W]` uint64, the values of the latches; by default their resets, 0 where those are None.

    Returns:
        `[N, W]` uint64.

    Raises:
        ValueError: words of another shape or dtype.
    """
    return next(simulate_cycles(netlist, [patterns], state))


def simulate_cycles(
    netlist: Netlist, patterns: Iterable[np.ndarray], state: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """The values of all gates in one clock cycle after the other.

    Args:
        netlist: with or without latches.
        patterns: for each cycle `[I, W]` uint64, such as an array `[T, I, W]`.
        state: as in `simulate`, of the first cycle.

    Yields:
        `[N, W]` uint64.
    """
    reads = [netlist.fanins[latch][0] for latch in netlist.latches]
    grouped = groups(netlist)
    for inputs in patterns:
        values = _simulate(netlist, grouped, inputs, state)
        yield values
        state = values[reads]


def _simulate(
    netlist: Netlist, grouped: list[Group], patterns: np.ndarray, state: np.ndarray | None
) -> np.ndarray:
    _check_words("patterns", patterns, len(netlist.inputs))
    words = patterns.shape[1]
    if state is None:
        state = np.full((len(netlist.latches), words), 0, dtype=np.uint64)
        state[[reset == 1 for reset in netlist.resets]] = _ONES
    _check_words("state", state, len(netlist.latches), words)
    values = np.zeros((len(netlist), words), dtype=np.uint64)
    values[list(netlist.inputs)] = patterns
    values[list(netlist.latches)] = state
    values[[kind == Kind.CONST1 for kind in netlist.kinds]] = _ONES
    for kind, gates, fanins in grouped:
        value = _OPERATION[kind].reduce(values[fanins], axis=1)
        values[gates] = ~value if kind in _COMPLEMENTED else value
    return values


def all_patterns(inputs: int) -> np.ndarray:
    """`[I, W]` uint64: every pattern equally often; pattern p gives input i the value of bit i of p.

    W is 2^(I - 6), and 1 up to six inputs, where patterns repeat.
    """
    words = np.arange(2 ** max(0, inputs - 6), dtype=np.uint64)
    low = [np.full_like(words, word) for word in _COUNTING[:inputs]]
    high = [np.where(words >> np.uint64(i) & np.uint64(1), _ONES, np.uint64(0)) for i in range(inputs - 6)]
    return np.array([*low, *high], dtype=np.uint64).reshape(inputs, words.size)


def random_patterns(inputs: int, count: int, seed: int = 0) -> np.ndarray:
    """`[I, W]` uint64: at least `count` patterns, drawn evenly; W is `count` / 64, rounded up."""
    _check_count("count", count)
    return _random_words(np.random.default_rng(seed), inputs, count)


def input_patterns(
    inputs: int, count: int = PATTERNS, exhaustive: int = EXHAUSTIVE, seed: int = 0
) -> np.ndarray:
    """All patterns where there are up to `exhaustive` inputs, else `count` drawn ones; see the functions of both."""
    return all_patterns(inputs) if inputs <= exhaustive else random_patterns(inputs, count, seed)


def probabilities(
    netlist: Netlist, count: int = PATTERNS, exhaustive: int = EXHAUSTIVE, seed: int = 0
) -> Tensor:
    """The probability of each gate to be 1 where each input is 0 or 1, evenly and on its own.

    The task of M. Li, S. Khan, Z. Shi, N. Wang, Y. Huang and Q. Xu, "DeepGate: Learning Neural Representations of Logic
    Gates", DAC 2022. Exact up to `exhaustive` inputs. Where there are latches this is `state_probabilities`.

    Args:
        netlist: any.
        count, exhaustive: see `input_patterns`.
        seed: of the drawn patterns.

    Returns:
        `[N]` float32.
    """
    if netlist.latches:
        return state_probabilities(netlist, seed=seed)
    patterns = input_patterns(len(netlist.inputs), count, exhaustive, seed)
    ones = np.zeros(len(netlist), dtype=np.int64)
    words = max(1, _MOST_WORDS // max(1, len(netlist)))
    for first in range(0, patterns.shape[1], words):
        ones += count_ones(simulate(netlist, patterns[:, first : first + words]))
    return _shares(ones, 64 * patterns.shape[1])


def state_probabilities(
    netlist: Netlist, cycles: int = CYCLES, warmup: int = WARMUP, streams: int = STREAMS, seed: int = 0
) -> Tensor:
    """The share of clock cycles in which each gate of a sequential circuit is 1.

    Inputs are redrawn in each cycle. Latches begin at their resets, and where these are None at drawn values.

    Args:
        netlist: with or without latches.
        cycles: how many are counted.
        warmup: how many go before them.
        streams: how many runs there are side by side, rounded up to whole words.
        seed: of the random numbers.

    Returns:
        `[N]` float32.
    """
    _check_count("cycles", cycles)
    _check_count("streams", streams)
    if warmup < 0:
        raise ValueError(f"warmup must be 0 or more, got {warmup}.")
    rng = np.random.default_rng(seed)
    # Latches whose reset is 0 have zeros, whose reset is 1 ones, the others what is drawn.
    state = _random_words(rng, len(netlist.latches), streams)
    state[[reset == 0 for reset in netlist.resets]] = 0
    state[[reset == 1 for reset in netlist.resets]] = _ONES
    drawn = (_random_words(rng, len(netlist.inputs), streams) for _ in range(warmup + cycles))
    ones = np.zeros(len(netlist), dtype=np.int64)
    for cycle, values in enumerate(simulate_cycles(netlist, drawn, state)):
        if cycle >= warmup:
            ones += count_ones(values)
    return _shares(ones, 64 * state.shape[1] * cycles)


def count_ones(words: np.ndarray) -> np.ndarray:
    """`[N]` int64: how many bits of each row `[N, W]` of uint64 are 1."""
    # Neighbouring sums of 1, 2 and 4 bits, then all bytes of a word by one product.
    pairs = words - (words >> np.uint64(1) & np.uint64(0x5555555555555555))
    low = np.uint64(0x3333333333333333)
    fours = (pairs & low) + (pairs >> np.uint64(2) & low)
    bytewise = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bytewise * np.uint64(0x0101010101010101) >> np.uint64(56)).sum(axis=1).astype(np.int64)


def _random_words(rng: np.random.Generator, rows: int, count: int) -> np.ndarray:
    return rng.integers(0, 2**64, size=(rows, -(-count // 64)), dtype=np.uint64)


def _shares(ones: np.ndarray, of: int) -> Tensor:
    return torch.from_numpy(ones / of).float()


def _check_words(name: str, words: np.ndarray, rows: int, columns: int | None = None) -> None:
    fits = words.ndim == 2 and words.shape[0] == rows and columns in (None, words.shape[-1])
    if not fits or words.dtype != np.uint64:
        shape = f"[{rows}, {'W' if columns is None else columns}]"
        raise ValueError(f"{name} must be uint64 words {shape}, got {words.dtype} {list(words.shape)}.")


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise ValueError(f"{name} must be 1 or more, got {count}.")

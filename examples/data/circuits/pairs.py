"""Which gates compute the same function of the inputs, though they are built differently."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

from graphrec.io.circuits import Kind, Netlist

from .simulation import EXHAUSTIVE, PATTERNS, count_ones, input_patterns, simulate

NEAREST = 8  # the other of a pair is drawn among this many gates of nearest probability


def signatures(
    netlist: Netlist, count: int = PATTERNS, exhaustive: int = EXHAUSTIVE, seed: int = 0
) -> np.ndarray:
    """The values of each gate for all patterns, or drawn ones: equal functions have equal rows.

    Latches count as inputs here: what is compared are functions of inputs and latches within a clock cycle. Up to
    `exhaustive` of both together rows are equal exactly if functions are; beyond it, equal rows mean that no drawn
    pattern tells two gates apart.

    Args:
        netlist: any.
        count, exhaustive, seed: see `input_patterns`.

    Returns:
        `[N, W]` uint64, see `simulate`.
    """
    inputs = len(netlist.inputs)
    patterns = input_patterns(inputs + len(netlist.latches), count, exhaustive, seed)
    return simulate(netlist, patterns[:inputs], patterns[inputs:])


def equivalence_classes(signature: np.ndarray) -> np.ndarray:
    """`[N]` int64: gates with equal signatures `[N, W]` have equal numbers."""
    rows = np.ascontiguousarray(signature).view(np.dtype((np.void, 8 * signature.shape[1])))
    return np.unique(rows.ravel(), return_inverse=True)[1].reshape(-1)


def equal_pairs(
    netlist: Netlist,
    pairs: int,
    seed: int = 0,
    count: int = PATTERNS,
    exhaustive: int = EXHAUSTIVE,
) -> tuple[Tensor, Tensor]:
    """Pairs of gates, half of which compute the same function; none of the others do.

    A gate that has an equal is drawn, one of its equals, and one of those that are not but have nearly the same
    probability. So each gate of an equal pair is in an unequal one, too, and probabilities alone do not tell which
    is which. Gates that always show the same are left out, and of equal pairs those that need no thought: gates
    of one kind with the same fan-ins, and a BUF with what it reads.

    Args:
        netlist: any; latches count as inputs, see `signatures`.
        pairs: how many at most; there are fewer where few gates are equal, and none where all functions differ.
        seed: of what is drawn.
        count, exhaustive: see `input_patterns`.

    Returns:
        gates `[2, P]` long, no pair twice; `[P]` bool, whether equal.
    """
    signature = signatures(netlist, count, exhaustive, seed)
    group = equivalence_classes(signature)
    share = count_ones(signature) / (64 * signature.shape[1])
    varying = np.flatnonzero((share > 0) & (share < 1))
    size = np.bincount(group)
    anchors = varying[size[group[varying]] > 1].tolist()
    members: dict[int, list[int]] = {}
    for gate in anchors:
        members.setdefault(int(group[gate]), []).append(gate)

    rng, ties = random.Random(seed), np.random.default_rng(seed)
    drawn: dict[tuple[int, int], bool] = {}  # whether equal
    for _ in range(4 * pairs if anchors else 0):
        if len(drawn) >= pairs - 1:
            break
        gate = rng.choice(anchors)
        equal = rng.choice(members[int(group[gate])])
        others = varying[group[varying] != group[gate]]
        if gate == equal or _is_plain(netlist, gate, equal) or not others.size:
            continue
        others = ties.permutation(others)
        distance = np.abs(share[others] - share[gate])
        near = others[np.argsort(distance, kind="stable")[:NEAREST]]
        unequal = int(rng.choice(near.tolist()))
        if _pair(gate, equal) not in drawn and _pair(gate, unequal) not in drawn:
            drawn[_pair(gate, equal)], drawn[_pair(gate, unequal)] = True, False
    order = list(drawn)
    rng.shuffle(order)
    turned = [pair if rng.random() < 0.5 else pair[::-1] for pair in order]
    return (
        torch.tensor(turned, dtype=torch.long).reshape(-1, 2).t().contiguous(),
        torch.tensor([drawn[pair] for pair in order], dtype=torch.bool),
    )


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


def _is_plain(netlist: Netlist, one: int, other: int) -> bool:
    """Whether two gates are copies, or one is but a BUF of the other."""
    kinds, fanins = netlist.kinds, netlist.fanins
    copies = kinds[one] == kinds[other] and sorted(fanins[one]) == sorted(fanins[other])
    return (copies and bool(fanins[one])) or any(
        kinds[gate] == Kind.BUF and fanins[gate] == (source,) for gate, source in ((one, other), (other, one))
    )

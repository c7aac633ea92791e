"""The long time lag problems of Hochreiter & Schmidhuber: what matters comes early, the answer is due at the end.

Source: S. Hochreiter and J. Schmidhuber, *Long short-term memory*, Neural Computation 9 (1997). Sequences are drawn
here, as many as one likes; nobody holds rights in them.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from graphrec import Structure, chains

SYMBOLS = ("a", "b", "c", "d", "B", "E", "X", "Y")  # what `temporal_order` numbers, in this order
_NOISE, _TRIGGER, _START, _X = 4, SYMBOLS.index("B"), SYMBOLS.index("E"), SYMBOLS.index("X")

# Where the relevant symbols stand, in hundredths of the minimal length: first and last place, both included.
_PLACES = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}


def adding_problem(size: int, min_length: int, seed: int = 0) -> tuple[Tensor, Structure, Tensor]:
    """The adding problem: the sum of two numbers of a sequence, those that are marked.

    Hochreiter & Schmidhuber (1997), section 5.4 (experiment 4). Each element is a pair: a value, drawn evenly from
    -1 to 1, and a marker. A sequence has T to T + T/10 elements. One of the first ten is marked 1, and then one of
    the first T/2 - 1 that is not marked yet; all others have the marker 0, but the first and the last element have
    -1. With X_1 and X_2 the marked values, the target is 0.5 + (X_1 + X_2) / 4, which lies between 0 and 1. Where
    the first element is chosen it keeps its -1, and the value that it would have added counts as 0. An answer counts
    as right when it is less than 0.04 away.

    Args:
        size: G, how many sequences.
        min_length: T.
        seed: of the random numbers: the same seed, the same sequences.

    Returns:
        x `[N, 2]`, values and markers; the chains; y `[G]`, the targets.

    Raises:
        ValueError: size below 1, or T below 11, where the last element might be among those to be marked.
    """
    _check(size, min_length, 11)
    draw = torch.Generator().manual_seed(seed)
    size_of = _draw(min_length, min_length + min_length // 10, size, draw)
    one = _draw(0, 9, size, draw)
    early = min_length // 2 - 1  # X_2 is among so many
    other = _draw(0, early - 1, size, draw)
    # Where X_1 is among them too, one place less is left.
    fewer = (torch.rand(size, generator=draw) * (early - 1)).long()
    other = torch.where(one < early, fewer + (fewer >= one), other)

    s = chains(size_of)
    start = size_of.cumsum(0) - size_of
    value = 2 * torch.rand(s.num_nodes, generator=draw) - 1
    marker = torch.zeros(s.num_nodes)
    marker[torch.cat([start + one, start + other])] = 1
    marker[torch.cat([start, start + size_of - 1])] = -1
    added = torch.zeros(size).index_add(0, s.graph, value * (marker == 1))
    return torch.stack([value, marker], dim=1), s, 0.5 + added / 4


def temporal_order(
    size: int, min_length: int, relevant: int = 2, seed: int = 0
) -> tuple[Tensor, Structure, Tensor]:
    """Temporal order: in which order two or three symbols came, far from each other and among others.

    Hochreiter & Schmidhuber (1997), section 5.6 (experiments 6a and 6b). A sequence of T to T + T/10 symbols begins
    with E and ends with B, the trigger; in between are a, b, c and d, drawn evenly, but at two or three places X or Y,
    which say the class: XX, XY, YX, YY are 0 to 3, and likewise XXX to YYY 0 to 7. In the paper T is 100, and counted
    from E, which is at 0, the places are drawn from 10 to 20 and from 50 to 60 for two relevant symbols, from 10 to
    20, 33 to 43 and 66 to 76 for three. For another T these bounds grow in proportion, rounded down.

    Args:
        size: G, how many sequences.
        min_length: T.
        relevant: how many symbols say the class: 2 (experiment 6a) or 3 (6b).
        seed: of the random numbers: the same seed, the same sequences.

    Returns:
        token `[N]` long, numbers into `SYMBOLS`; the chains; y `[G]` long, the classes.

    Raises:
        ValueError: size below 1, T below 10, relevant neither 2 nor 3.
    """
    _check(size, min_length, 10)
    if relevant not in _PLACES:
        raise ValueError(f"relevant must be 2 or 3, as in experiments 6a and 6b, got {relevant!r}.")
    draw = torch.Generator().manual_seed(seed)
    size_of = _draw(min_length, min_length + min_length // 10, size, draw)
    s = chains(size_of)
    start = size_of.cumsum(0) - size_of
    token = torch.randint(_NOISE, (s.num_nodes,), generator=draw)
    token[start], token[start + size_of - 1] = _START, _TRIGGER
    y = torch.zeros(size, dtype=torch.long)
    for first, last in _PLACES[relevant]:
        place = _draw(first * min_length // 100, last * min_length // 100, size, draw)
        which = _draw(0, 1, size, draw)
        token[start + place] = _X + which
        y = 2 * y + which
    return token, s, y


def order_classes(relevant: int = 2) -> list[str]:
    """What the classes of `temporal_order` mean: XX, XY, YX, YY, or XXX to YYY."""
    return ["".join(symbols) for symbols in product("XY", repeat=relevant)]


def _draw(least: int, most: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.randint(least, most + 1, (size,), generator=generator)


def _check(size: int, min_length: int, least: int) -> None:
    if size < 1:
        raise ValueError(f"size, how many sequences to draw, must be 1 or more, got {size}.")
    if min_length < least:
        raise ValueError(f"min_length must be {least} or more, got {min_length}.")

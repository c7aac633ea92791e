"""SRN, GRU and LSTM in training beside torch's layers: sequences of one length, and sentences."""

from __future__ import annotations

from .. import sequences
from ..contending import Contender, check_agreement
from .figures import Figure, Target, Timed
from .race import NEW, Race

SHORT, LONG = (100, 32, 128), (1000, 1, 64)  # T, B, H
TINY = (5, 2, 8)
TARGETS = {SHORT: Target(1.8, 2.2), LONG: Target(20, 40)}  # SRN and GRU
PADDED, PACKED = Target(1, 1.3), Target(2.5, 4)  # LSTM
LAYOUTS = ("torch.nn, packed", "torch.nn, padded")


def run(rounds: int, quick: bool) -> list[Figure]:
    """All nets."""
    found = [
        _even(net, TINY if quick else shape, rounds, target)
        for net in ("SRN", "GRU")
        for shape, target in TARGETS.items()
    ]
    found += [_even("LSTM", shape, rounds, PADDED) for shape in ((TINY,) if quick else sequences.SHAPES)]
    for count, hidden in ((4, 8),) if quick else sequences.SENTENCES:
        lengths, origin = sequences.sentences(count)
        found.append(_uneven(lengths, hidden, f"{count} {origin}, H={hidden}", rounds))
    if not quick:
        lengths, hidden = sequences.LONG
        found.append(_uneven(list(lengths), hidden, f"4 of 700 to 1,000 steps, H={hidden}", rounds))
    return found


def _even(net: str, shape: tuple[int, int, int], rounds: int, target: Target) -> Figure:
    timed = _race(sequences.even(net, *shape), ("torch.nn",), rounds)
    return timed.figure(f"{net}, training", f"(T, B, H) = {shape}", "torch.nn", NEW, target)


def _uneven(lengths: list[int], hidden: int, case: str, rounds: int) -> Figure:
    timed = _race(sequences.uneven("LSTM", lengths, hidden), LAYOUTS, rounds)
    return timed.figure("LSTM, variable lengths, training", case, LAYOUTS, NEW, PACKED)


def _race(contenders: dict[str, Contender], others: tuple[str, ...], rounds: int) -> Timed:
    ours = contenders[sequences.OURS]
    taking_part = {sequences.OURS: ours} | {name: contenders[name] for name in others}
    check_agreement(taking_part)
    race = Race(ours.train)
    for name in others:
        race.add(name, contenders[name].train)
    return race.run(rounds)

"""A circuit of gates, and who reads whom in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch_geometric.data import Data

from ...io import to_pyg
from ...schedule.levels import CycleError, levels
from ...structure import Structure


class Kind(IntEnum):
    """What a gate computes from its fan-ins; the numbers are the kinds of a structure (PyG's `node_type`)."""

    INPUT = 0
    CONST0 = 1
    CONST1 = 2
    BUF = 3
    NOT = 4
    AND = 5
    NAND = 6
    OR = 7
    NOR = 8
    XOR = 9  # with more than two fan-ins: whether an odd number of them is 1
    XNOR = 10
    LATCH = 11  # a D flip-flop: shows in each clock cycle what its fan-in was in the one before

    @property
    def fewest(self) -> int:
        """How many fan-ins a gate needs."""
        return 0 if self <= Kind.CONST1 else 1 if self in (Kind.BUF, Kind.NOT, Kind.LATCH) else 2

    @property
    def takes(self) -> str:
        """How many fan-ins a gate may have, in words."""
        return ("no fan-ins", "one fan-in", "two or more fan-ins")[self.fewest]

    def fits(self, fanins: int) -> bool:
        """Whether a gate may have so many fan-ins."""
        return fanins == self.fewest or fanins > self.fewest == 2


class Group(NamedTuple):
    """Gates that are computed at once."""

    kind: Kind
    gates: np.ndarray  # [n] int64
    fanins: np.ndarray  # [n, k] int64


class CombinationalCycleError(ValueError):
    """Gates that read each other in a circle without a latch, so that none of them has a value.

    Attributes:
        cycle: the numbers of the gates, each before one that reads it; the lowest first.
    """

    def __init__(self, cycle: list[int], names: list[str]) -> None:
        shown = [*names, names[0]]
        if len(shown) > 8:
            shown = [*shown[:6], f"… ({len(names)} gates) …", shown[-1]]
        super().__init__(f"expected every cycle to pass a latch, got the cycle {' → '.join(shown)}")
        self.cycle = cycle


@dataclass(frozen=True)
class Netlist:
    """A gate-level circuit of N gates, combinational or, where it has latches, sequential. Immutable.

    Inputs, constants and latches count as gates. Gates may be listed in any order.

    Attributes:
        names: N different texts.
        kinds: N of `Kind`.
        fanins: for each gate, the numbers of the gates that it reads, in order.
        outputs: the numbers of gates whose values are shown to the outside.
        resets: for each latch, in the order in which they are listed, what it shows in the first clock cycle: 0, 1,
            or None for either. By default 0 for all.
        bad: gates that are 1 in bad states, which a model checker is to reach (this and the next three: AIGER 1.9).
        constraints: gates that are to be 1 in all clock cycles.
        justice: for each property, gates that are each to be 1 again and again.
        fairness: gates that are to be so for all justice properties.
        symbols: names of outputs and of these, other than those of gates: place and name, such as `("o0", "carry")`.

    Raises:
        ValueError: texts, kinds and fan-ins that are not N; a name that is empty or comes twice; a wrong number of
            fan-ins; a fan-in, an output or one of a property that is not there; resets that do not fit the latches.
        CombinationalCycleError: a cycle without a latch; names it. A ValueError, too.
    """

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    fanins: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...] = ()
    resets: tuple[int | None, ...] = ()
    bad: tuple[int, ...] = ()
    constraints: tuple[int, ...] = ()
    justice: tuple[tuple[int, ...], ...] = ()
    fairness: tuple[int, ...] = ()
    symbols: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.resets:
            object.__setattr__(self, "resets", (0,) * len(self.latches))
        self._check()
        _ = self.level  # found now: a cycle is no circuit

    def __len__(self) -> int:
        """N."""
        return len(self.names)

    def __repr__(self) -> str:
        counts = {"gates": len(self), "inputs": len(self.inputs), "outputs": len(self.outputs)}
        for part in ("latches", "bad", "constraints", "justice", "fairness"):
            counts |= {part: len(getattr(self, part))} if getattr(self, part) else {}
        return f"Netlist({', '.join(f'{name}={count}' for name, count in counts.items())})"

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """The numbers of the inputs, in the order in which they are listed."""
        return tuple(gate for gate, kind in enumerate(self.kinds) if kind == Kind.INPUT)

    @cached_property
    def latches(self) -> tuple[int, ...]:
        """The numbers of the latches, in the order in which they are listed."""
        return tuple(gate for gate, kind in enumerate(self.kinds) if kind == Kind.LATCH)

    @cached_property
    def kind_numbers(self) -> np.ndarray:
        """`[N]` int64: the kinds."""
        return np.array(self.kinds, dtype=np.int64)

    @cached_property
    def number(self) -> dict[str, int]:
        """The number of each gate by its name."""
        return {name: gate for gate, name in enumerate(self.names)}

    @cached_property
    def level(self) -> np.ndarray:
        """`[N]` int64: the longest path to each gate from an input, a constant or a latch."""
        source, target = self.edges
        within = ~np.isin(target, self.latches)  # what a latch reads belongs to the clock cycle before
        edge_index = torch.from_numpy(np.stack([source, target])[:, within])
        try:
            return levels(Structure(len(self), edge_index, torch.zeros_like(edge_index[0]))).numpy()
        except CycleError as error:
            begin = error.cycle.index(min(error.cycle))
            cycle = error.cycle[begin:] + error.cycle[:begin]
            raise CombinationalCycleError(cycle, [self.names[gate] for gate in cycle]) from None

    @cached_property
    def groups(self) -> list[Group]:
        """The gates that compute, level by level: all of a kind with as many fan-ins."""
        source, target = self.edges
        fanins = np.bincount(target, minlength=len(self))
        first = np.cumsum(fanins) - fanins
        kinds = self.kind_numbers
        computing = np.flatnonzero((self.level > 0) & (kinds != Kind.LATCH))
        keys = np.stack([fanins, kinds, self.level])[:, computing]
        order = np.lexsort(keys)
        change = np.flatnonzero((np.diff(keys[:, order]) != 0).any(axis=0)) + 1
        gates = computing[order]
        ends = [0, *change.tolist(), gates.size] if gates.size else []
        found = []
        for begin, end in pairwise(ends):
            some = gates[begin:end]
            reads = first[some, None] + np.arange(int(fanins[some[0]]))
            found.append(Group(Kind(kinds[some[0]]), some, source[reads]))
        return found

    def structure(self) -> Structure:
        """Who depends on whom: an edge from each fan-in to its gate, its index among them as slot.

        Kinds are those of `Kind`, tokens the names. With latches there are cycles.
        """
        source, target = (torch.from_numpy(ends) for ends in self.edges)
        slot = [slot for reads in self.fanins for slot in range(len(reads))]
        return Structure(
            num_nodes=len(self),
            edge_index=torch.stack([source, target]),
            slot=torch.tensor(slot, dtype=torch.long),
            kind=torch.tensor(self.kind_numbers),
            tokens=self.names,
        )

    def to_pyg(self) -> Data:
        """The structure as PyG's `Data`: `edge_index`, `slot`, `node_type`, `tokens`."""
        return to_pyg(self.structure())

    @cached_property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Source and target of each edge, gate by gate, fan-ins in order: both `[E]` int64."""
        count = np.array([len(reads) for reads in self.fanins], dtype=np.int64)
        source = np.array([gate for reads in self.fanins for gate in reads], dtype=np.int64)
        return source, np.repeat(np.arange(len(self)), count)

    def _check(self) -> None:
        size = len(self.names)
        if not size == len(self.kinds) == len(self.fanins):
            raise ValueError(
                f"expected as many names as kinds and fan-ins, got {size}, {len(self.kinds)} and "
                f"{len(self.fanins)}: give one of each per gate."
            )
        if len(self.number) < size or "" in self.number:
            seen: set[str] = set()
            name = next(name for name in self.names if not name or name in seen or seen.add(name))
            raise ValueError(f"expected different names for all gates, got {name!r}: rename one of them.")
        for gate, (kind, reads) in enumerate(zip(self.kinds, self.fanins, strict=True)):
            if not Kind(kind).fits(len(reads)):
                raise ValueError(
                    f"gate {self.names[gate]!r}: {kind.name} takes {kind.takes}, got {len(reads)}: correct its fan-ins."
                )
        properties = (
            *self.bad,
            *self.constraints,
            *(gate for some in self.justice for gate in some),
            *self.fairness,
        )
        for what, gates in (
            ("fan-ins", self.edges[0].tolist()),
            ("outputs", self.outputs),
            ("properties", properties),
        ):
            bad = [gate for gate in gates if not 0 <= gate < size]
            if bad:
                raise ValueError(f"{what} must be gates 0 to {size - 1}, got {bad[0]}: correct it.")
        if len(self.resets) != len(self.latches) or not set(self.resets) <= {0, 1, None}:
            raise ValueError(
                f"resets must be 0, 1 or None, one per latch ({len(self.latches)}), got {list(self.resets)}."
            )

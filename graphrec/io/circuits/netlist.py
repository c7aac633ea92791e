"""A circuit of gates, and who reads whom in it."""

from __future__ import annotations

import graphlib
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import chain
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from ...structure import Structure, native
from ...structure.checks import as_flag
from ...structure.written import shown
from ..pyg import to_pyg


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
        check_types(self)
        if not self.resets:
            object.__setattr__(self, "resets", (0,) * len(self.latches))
        self._check()
        self._check_cycles()

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
    def number(self) -> dict[str, int]:
        """The number of each gate by its name."""
        return {name: gate for gate, name in enumerate(self.names)}

    def structure(self, *, cut_latches: bool = False) -> Structure:
        """Who depends on whom: an edge from each fan-in to its gate, its index among them as slot.

        Kinds are those of `Kind`, with their names; tokens are the names of the gates.

        Args:
            cut_latches: leave out what latches read, which belongs to the clock cycle before. What remains is a DAG.
                With these edges there is a cycle wherever a latch depends on itself.
        """
        source, target, slot = self._edges(cut_latches=as_flag("cut_latches", cut_latches))
        return Structure(
            num_nodes=len(self),
            edge_index=torch.stack([source, target]),
            slot=slot,
            kind=torch.tensor(self.kinds, dtype=torch.long),
            kind_names=tuple(kind.name for kind in Kind),
            tokens=self.names,
        )

    def to_pyg(self, *, cut_latches: bool = False) -> Any:
        """The structure as PyG's `Data`: `edge_index`, `slot`, `node_type`, `kind_names` and `tokens`."""
        return to_pyg(self.structure(cut_latches=cut_latches))

    def _edges(self, *, cut_latches: bool) -> Tensor:
        """`[3, E]`: source, target and slot of each."""
        edges = [
            (source, gate, slot)
            for gate, reads in enumerate(self.fanins)
            if not (cut_latches and self.kinds[gate] == Kind.LATCH)
            for slot, source in enumerate(reads)
        ]
        return torch.tensor(edges, dtype=torch.long).reshape(-1, 3).t().contiguous()

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
        properties = (self.bad, self.constraints, *self.justice, self.fairness)
        for what, parts in (
            ("fan-ins", self.fanins),
            ("outputs", (self.outputs,)),
            ("properties", properties),
        ):
            bad = [gate for part in parts for gate in part if not 0 <= gate < size]
            if bad:
                raise ValueError(f"{what} must be gates 0 to {size - 1}, got {bad[0]}: correct it.")
        if len(self.resets) != len(self.latches) or not set(self.resets) <= {0, 1, None}:
            raise ValueError(
                f"resets must be 0, 1 or None, one per latch ({len(self.latches)}), got {list(self.resets)}."
            )

    def _check_cycles(self) -> None:
        source, target, _ = self._edges(cut_latches=True)
        if native.longest_paths(source, target, len(self)) is not None:
            return
        # There is a cycle, or no native library to say that there is none.
        latches = set(self.latches)
        reads = {gate: fanins for gate, fanins in enumerate(self.fanins) if gate not in latches}
        try:
            graphlib.TopologicalSorter(reads).prepare()
        except graphlib.CycleError as error:
            cycle = error.args[1][:-1]
            begin = cycle.index(min(cycle))
            cycle = cycle[begin:] + cycle[:begin]
            raise CombinationalCycleError(cycle, [self.names[gate] for gate in cycle]) from None


def check_types(netlist: Netlist) -> None:
    """Raise TypeError unless the fields are tuples of texts, of `Kind` and of whole numbers, as they say.

    (Of a large circuit the types that occur are looked at, and not each gate.)
    """
    numbers, each = (int,), (tuple, list)
    for name, expected in (
        *(("names", (str,)), ("kinds", numbers), ("outputs", numbers), ("resets", (int, NoneType))),
        *(("bad", numbers), ("constraints", numbers), ("fairness", numbers), ("fanins", each)),
        *(("justice", each), ("symbols", each)),
    ):
        parts = getattr(netlist, name)
        _check_parts(name, parts, expected)
        if expected is each:
            inner = (str,) if name == "symbols" else numbers
            _check_parts(f"a part of {name}", tuple(chain.from_iterable(parts)), inner)
    if not all(len(pair) == 2 for pair in netlist.symbols):
        raise ValueError(f"symbols must be pairs of a place and a name, got {shown(netlist.symbols)}.")
    unknown = set(netlist.kinds) - set(Kind)
    if unknown:
        raise ValueError(f"kinds must be those of Kind, 0 to {max(Kind)}, got {shown(min(unknown))}.")


def _check_parts(name: str, parts: Any, expected: tuple[type, ...]) -> None:
    is_list = isinstance(parts, tuple | list)
    kinds = set(map(type, parts)) if is_list else set()
    if not is_list or bool in kinds or not all(issubclass(kind, expected) for kind in kinds):
        told = " or ".join("None" if kind is NoneType else kind.__name__ for kind in expected)
        raise TypeError(f"{name} must be a tuple of {told}, got {shown(parts)}.")

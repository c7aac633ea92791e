"""Drawn circuits as samples."""

from __future__ import annotations

import random
from collections.abc import Callable

from torch_geometric.data import Data

from graphrec.datasets import Samples, TreeDataset
from graphrec.io.circuits import Netlist

from .drawn import random_aig, random_sequential
from .lowering import to_aig
from .samples import store_circuits
from .simulation import EXHAUSTIVE
from .split import SPLITS, split_of, wiring

FAMILIES = ("random", "sequential")


class Circuits(TreeDataset):
    """Drawn circuits; how probable it is that each gate is 1, and which gates compute the same, is to be predicted.

    The task of probabilities is that of M. Li, S. Khan, Z. Shi, N. Wang, Y. Huang and Q. Xu, "DeepGate: Learning Neural
    Representations of Logic Gates", DAC 2022. Circuits are drawn here; nobody holds rights in them.

    | family | circuits |
    |---|---|
    | `"random"` | and-inverter graphs, see `random_aig` |
    | `"sequential"` | machines with latches, some with counters or shift registers, see `random_sequential` |

    They have at most 14 inputs and latches together, so that all patterns can be tried: which pairs are equal is
    exact, and so are the probabilities of circuits without latches.

    The wiring of a circuit alone says which split it belongs to: no two splits have one in common, whatever the
    other arguments are. No split has one twice.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, E]`, from each fan-in to its gate; cyclic in the sequential family, where latches read gates;
    - `slot` `[E]`, which fan-in;
    - `node_type` `[N]` long: the kind of a gate, see `Kind`; `vocabulary` has their names;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`; not in the sequential family;
    - `y` `[N]` float: the probability of each gate to be 1, see `probabilities` and `state_probabilities`;
    - `pair_index` `[2, P]` long: pairs of gates (counted on in a batch), see `equal_pairs`; P may differ, and be 0;
    - `pair_y` `[P]` long: whether both compute the same, 0 or 1, see `classes`;
    - `name`: a text, by which `netlist` gives the circuit.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        count: how many circuits.
        gates: how many gates a circuit has besides inputs and latches, at least and at most.
        family: see above.
        aig: whether machines become and-inverter graphs, see `to_aig`; random ones are.
        pairs: how many pairs of each circuit at most.
        seed: of the random numbers: the same seed, the same circuits.
        transform: applied to each sample when it is taken.

    Raises:
        ValueError: an unknown split or family, bad numbers, or too few different circuits of these sizes.
    """

    def __init__(
        self,
        split: str = "train",
        count: int = 1000,
        gates: tuple[int, int] = (50, 200),
        family: str = "random",
        aig: bool = False,
        pairs: int = 32,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        if family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}.")
        if count < 1 or pairs < 0:
            raise ValueError(f"count must be 1 or more and pairs 0 or more, got {count} and {pairs}.")
        fewest, most = gates
        if not 1 <= fewest <= most:
            raise ValueError(f"gates must be (fewest, most) from 1 on, got {gates}.")
        self._count, self._gates, self._family = count, (fewest, most), family
        self._aig, self._pairs, self._seed = aig, pairs, seed
        key = {"split": split, "count": count, "gates": [fewest, most], "family": family}
        super().__init__(split, {**key, "aig": aig, "pairs": pairs, "seed": seed}, transform)

    def netlist(self, name: str) -> Netlist:
        """The circuit of the sample that has a name, drawn again."""
        drawn = self._draw(name)
        return to_aig(drawn) if self._aig else drawn

    def make(self) -> dict[str, Samples]:
        fewest, most = self._gates
        found: dict[str, Netlist] = {}
        seen: set[bytes] = set()
        for attempt in range(100 * self._count + 1000):
            name = f"{self._family}-{self._seed}-{attempt}"
            drawn = self._draw(name)
            known_by = wiring(drawn)  # before it becomes another graph, so that both are in one split
            if split_of(known_by) != self.split or known_by in seen:
                continue
            netlist = to_aig(drawn) if self._aig else drawn
            if fewest <= len(netlist) - len(netlist.inputs) - len(netlist.latches) <= most:
                seen.add(known_by)
                found[name] = netlist
            if len(found) == self._count:
                return {self.split: store_circuits(found, self._pairs, self._seed)}
        raise ValueError(
            f"expected {self._count} different circuits of {fewest} to {most} gates, found {len(found)}: "
            f"ask for fewer, or for a wider range."
        )

    def _draw(self, name: str) -> Netlist:
        rng = random.Random(name)
        gates = rng.randint(*self._gates)
        if self._family == "sequential":
            inputs = rng.randint(2, 6)
            return random_sequential(inputs, rng.randint(2, EXHAUSTIVE - inputs), gates, name)
        most = min(EXHAUSTIVE, gates + 1)
        return random_aig(rng.randint(min(6, most), most), gates, name)

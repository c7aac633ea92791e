"""Drawn circuits, and circuits from files, as samples."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from torch_geometric.data import Data

from .._base import Samples, TreeDataset
from .._files import checksum, raw_folder
from ._samples import store_circuits
from ._split import SPLITS, split_of, wiring
from .aig import to_aig
from .aiger import is_aiger, read_aiger
from .bench import read_bench
from .drawn import random_aig, random_datapath, random_sequential
from .netlist import Netlist
from .simulation import EXHAUSTIVE, PATTERNS

FAMILIES = ("random", "arithmetic", "sequential")

_ENDINGS = (".bench", ".aag", ".aig")


class Circuits(TreeDataset):
    """Drawn circuits; how probable it is that each gate is 1, and which gates compute the same, is to be predicted.

    The task of probabilities is that of M. Li, S. Khan, Z. Shi, N. Wang, Y. Huang and Q. Xu, "DeepGate: Learning Neural
    Representations of Logic Gates", DAC 2022. Circuits are drawn here; nobody holds rights in them.

    | family | circuits |
    |---|---|
    | `"random"` | and-inverter graphs, see `random_aig` |
    | `"arithmetic"` | calculations with words, of all kinds of gates, see `random_datapath` |
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
        aig: whether calculations and machines become and-inverter graphs, see `to_aig`; random ones are.
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
        if self._family == "arithmetic":
            words = rng.randint(2, 3)
            # One full adder has five gates, and over twenty when lowered; the last operation may be a large one.
            most_bits = min(EXHAUSTIVE // words, gates // (24 if self._aig else 8))
            begun = gates // (6 if self._aig else 2)
            return random_datapath(words, rng.randint(2, max(2, most_bits)), max(1, begun), name)
        if self._family == "sequential":
            inputs = rng.randint(2, 6)
            return random_sequential(inputs, rng.randint(2, EXHAUSTIVE - inputs), gates, name)
        most = min(EXHAUSTIVE, gates + 1)
        return random_aig(rng.randint(min(6, most), most), gates, name)


class CircuitFiles(TreeDataset):
    """Circuits from files in the `.bench` format and in AIGER, ASCII (`.aag`) or binary (`.aig`).

    Such are the benchmarks ISCAS-85, ISCAS-89 and ITC-99, EPFL's and IWLS', and what ABC writes, see `parse_bench` and
    `parse_aiger`. Files are looked for in `root/circuits`, `root`, or without root in `$GRAPHREC_DATA/circuits`, and in
    all folders below. Samples are as those of `Circuits`, in the order of their names, which are the paths within
    the folder; the only split is `"all"`. With more than 14 inputs (and latches, for pairs) patterns are drawn:
    probabilities are estimates then, and pairs equal on these patterns.

    Samples have all gates of a file, whether or not it has outputs: ABC's have bad states in their place, which are
    those of `netlist(name).bad`.

    Args:
        root: where the files are, see above.
        sequential: whether to take the circuits with latches, or those without; samples of one data set are alike.
        reset: what latches show at first where the file does not say it: 0, 1, or None for drawn values; only DFF and
            DFFRSE of the `.bench` format do not, see `parse_bench`.
        aig: whether circuits become and-inverter graphs, see `to_aig`.
        pairs: how many pairs of each circuit at most.
        patterns: how many are drawn.
        seed: of what is drawn.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: a malformed file, with file and line; or all circuits are of the other sort.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        sequential: bool = False,
        aig: bool = False,
        pairs: int = 32,
        patterns: int = PATTERNS,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        reset: int | None = 0,
    ) -> None:
        if pairs < 0 or patterns < 1:
            raise ValueError(f"pairs must be 0 or more and patterns 1 or more, got {pairs} and {patterns}.")
        self.folder = raw_folder("circuits", root)
        self._files = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in _ENDINGS)
        if not self._files:
            raise FileNotFoundError(
                f"expected .bench, .aag or .aig files below {self.folder}, got none. Place some there, name their "
                f"folder with root=..., or draw circuits: Circuits()."
            )
        self._sequential, self._aig = sequential, aig
        self._pairs, self._patterns, self._seed, self._reset = pairs, patterns, seed, reset
        key = {
            "paths": [self._name(path) for path in self._files],
            "raw": checksum(*self._files),
            "options": [sequential, aig, pairs, patterns, seed, reset],
        }
        super().__init__("all", key, transform)

    def netlist(self, name: str) -> Netlist:
        """The circuit of the sample that has a name, read again."""
        read = read_circuit(self.folder / name, self._reset)
        return to_aig(read) if self._aig else read

    def make(self) -> dict[str, Samples]:
        read = {self._name(path): self.netlist(self._name(path)) for path in self._files}
        found = {name: netlist for name, netlist in read.items() if bool(netlist.latches) == self._sequential}
        if not found:
            have = "with" if self._sequential else "without"
            raise ValueError(
                f"expected circuits {have} latches below {self.folder}, got none of {len(read)}: "
                f"ask for sequential={not self._sequential}."
            )
        return {self.split: store_circuits(found, self._pairs, self._seed, self._patterns)}

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def read_circuit(path: str | Path, reset: int | None = 0) -> Netlist:
    """The circuit in a file: AIGER, ASCII or binary, by its header, whatever its name; `.bench` by the name.

    Args:
        path: the file.
        reset: what latches show in the first clock cycle where the file does not say it, see `parse_bench`.

    Raises:
        ValueError: neither of them, or a malformed file, with file and line.
    """
    path = Path(path)
    with path.open("rb") as file:
        begin = file.read(8)
    ending = path.suffix.lower()
    if is_aiger(begin) or ending in (".aag", ".aig"):
        return read_aiger(path)
    if ending != ".bench":
        raise ValueError(
            f"expected AIGER, which begins with 'aag ' or 'aig ', or a name that ends in .bench, got {path}."
        )
    return read_bench(path, reset)

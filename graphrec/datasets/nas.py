"""ENAS: neural networks as graphs, each with the accuracy that it reached."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import torch
from torch_geometric.data import Data

from ..structure import dag
from ._base import Samples, TreeDataset, store
from ._files import cache_folder, checksum, fault, fetch, raw_file, raw_folder, read_lines

FILE = "final_structures6.txt"
URL = f"https://raw.githubusercontent.com/muhanzhang/D-VAE/master/data/{FILE}"
SHA256 = "fea9a7dde1545e7d3bd58fd4b9c3db08a89c18e0351f770cde2fe530c4791725"
SPLITS = ("train", "test")
OPERATIONS = ("conv3", "sep3", "conv5", "sep5", "avg3", "max3")
KINDS = ("input", "output", *OPERATIONS)
SEED = 0  # of the shuffle before the split


class ENAS(TreeDataset):
    """Neural architectures of six layers, and how well they classify CIFAR-10 with the weights that ENAS shares.

    17,118 architectures to train, 1,902 to test. Source: M. Zhang, S. Jiang, Z. Cui, R. Garnett and Y. Chen,
    "D-VAE: A Variational Autoencoder for Directed Acyclic Graphs", NeurIPS 2019,
    https://arxiv.org/abs/1904.11088, who drew and evaluated them with the code of H. Pham, M. Guan, B. Zoph, Q. Le
    and J. Dean, "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018. The data comes with
    D-VAE's code, github.com/muhanzhang/D-VAE.

    File: `final_structures6.txt`, one architecture per line, such as `[[1], [4, 0], [5, 0, 1]], 0.7302`: of each
    layer the operation, 0 to 5, and a bit for each vertex but the last one, the input first, that says whether a
    skip connection comes from there; then the accuracy. Looked for in `root/nas`, `root`, or without root in
    `$GRAPHREC_DATA/nas`. With neither, it is downloaded by pooch into the
    user's cache, and checked. A file of this form under another name
    is named by `file`, or is the only file there.

    From D-VAE's loader come the meaning of the bits, the edges, the numbers of the kinds, and the split: the first
    1,000 lines left out, the others shuffled with seed 0 by Python's `random`, the first nine tenths to train. The
    order of the samples is that of the shuffle. Its regressions standardise accuracies with the mean and the
    (population) standard deviation of the training ones, 0.7363 and 0.0061; here they are as in the file. Five
    architectures occur twice, with equal accuracies; one of the five is in both splits.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, E]`, from input to output: from each vertex to the next, and the skip connections. Node 0 is
      the input, node i layer i, and the last node the output, which the last layer alone enters;
    - `slot` `[E]`: 0 for the preceding vertex, which the operation works on; 1, 2, … for skip connections, by source,
      which are added to its result;
    - `node_type` `[N]` long: the index in `kinds`: 0 input, 1 output, 2 to 7 the operations;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`; as each vertex enters the next, a node's
      level is its position;
    - `y` `[1]` float: the accuracy, 0 to 1.

    Args:
        root: where the file is, see above.
        split: `"train"` or `"test"`.
        burn_in: how many architectures are left out at the beginning of the file.
        transform: applied to each sample when it is taken.
        file: the file's name, or its path.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed line, with file and line; or no architectures left for one of the splits.
        ConnectionError: the file cannot be downloaded.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: str = "train",
        burn_in: int = 1000,
        transform: Callable[[Data], Data] | None = None,
        file: str | Path | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        if not isinstance(burn_in, Integral) or burn_in < 0:
            raise ValueError(f"burn_in must be a whole number, 0 or more, got {burn_in!r}.")
        if file is None:
            folder = raw_folder("nas", root)
            if folder == cache_folder() / "nas":
                fetch(URL, SHA256, folder / FILE)
            neither = "or give neither root nor GRAPHREC_DATA to download it"
            mend = f"Place {URL} there, name another with file=..., {neither}."
            self._file = raw_file(folder, _only_file(folder), mend)
        else:
            mend = "Correct file=..., or name its folder with root=...."
            self._file = raw_file(raw_folder("nas", root), str(Path(file).expanduser()), mend)
        self._burn_in = int(burn_in)
        super().__init__(split, {"raw": checksum(self._file), "burn_in": self._burn_in}, transform)

    @property
    def kinds(self) -> list[str]:
        """What the values of `node_type` mean."""
        return self.info["kinds"]

    def make(self) -> dict[str, Samples]:
        architectures = [_parse(self._file, *line) for line in read_lines(self._file)][self._burn_in :]
        if len(architectures) < 2:
            raise ValueError(
                f"{self._file}: expected at least 2 architectures after the first {self._burn_in}, got "
                f"{len(architectures)}: lower burn_in, or replace the file with a fresh copy."
            )
        random.Random(SEED).shuffle(architectures)
        count = int(0.9 * len(architectures))
        return {"train": _store(architectures[:count]), "test": _store(architectures[count:])}


def _only_file(folder: Path) -> str:
    """The name of the published file, or where it is not there and there is but one file, that one's."""
    files = [path.name for path in folder.glob("[!.]*") if path.is_file()]
    return files[0] if len(files) == 1 else FILE


class _Architecture(NamedTuple):
    kinds: list[int]  # the input first, the output last
    source: list[int]
    target: list[int]
    accuracy: float


def _parse(path: Path, number: int, line: str) -> _Architecture:
    try:
        layers, accuracy = json.loads(f"[{line}]")
    except (ValueError, RecursionError) as error:
        what = f"expected layers and accuracy such as [[1], [4, 0]], 0.73, got {_shortened(line)}"
        raise fault(path, number, what) from error
    if not isinstance(layers, list) or not layers:
        raise fault(path, number, f"expected a list of layers, got {_shortened(layers)}")
    if type(accuracy) not in (int, float) or not 0 <= accuracy <= 1:  # NaN is not between them either
        raise fault(path, number, f"expected an accuracy from 0 to 1, got {_shortened(accuracy)}")
    kinds, source, target = [KINDS.index("input")], [], []
    for i, layer in enumerate(layers):
        if not _is_layer(layer, bits=i):
            what = f"expected in layer {i} an operation from 0 to 5 and {i} bits, got {_shortened(layer)}"
            raise fault(path, number, what)
        kinds.append(KINDS.index(OPERATIONS[layer[0]]))
        entering = [i, *(j for j, bit in enumerate(layer[1:]) if bit)]
        source += entering
        target += [i + 1] * len(entering)
    source.append(len(layers))
    target.append(len(layers) + 1)
    return _Architecture([*kinds, KINDS.index("output")], source, target, float(accuracy))


def _is_layer(layer: object, bits: int) -> bool:
    return (
        isinstance(layer, list)
        and len(layer) == 1 + bits
        and all(type(value) is int for value in layer)  # JSON's true is not 1
        and 0 <= layer[0] < len(OPERATIONS)
        and all(bit in (0, 1) for bit in layer[1:])
    )


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _store(architectures: Sequence[_Architecture]) -> Samples:
    structures = [dag([one.source, one.target], len(one.kinds)) for one in architectures]
    kinds = torch.tensor([kind for one in architectures for kind in one.kinds])
    accuracy = torch.tensor([one.accuracy for one in architectures])
    info = {"vocabulary": [], "classes": [], "kinds": list(KINDS)}
    return store(structures, {"node_type": kinds}, {"y": accuracy}, info)

"""Graphs with cycles: data sets of PyG, found where the others are, and with the names that graphrec reads."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.datasets import Planetoid, TUDataset

from ._files import cache_folder, checksum, make_folder, raw_file, raw_folder, written_at_once

_MUTAG = [
    f"MUTAG_{part}.txt" for part in ("A", "edge_labels", "graph_indicator", "graph_labels", "node_labels")
]
_CORA = [f"ind.cora.{part}" for part in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")]

_Dataset = TypeVar("_Dataset", bound=InMemoryDataset)


def mutag(root: str | Path | None = None, transform: Callable[[Data], Data] | None = None) -> TUDataset:
    """MUTAG: 188 molecules, and whether they are mutagenic (125 are). There is no split: see `stratified_folds`.

    Source: A. Debnath, R. Lopez de Compadre, G. Debnath, A. Shusterman and C. Hansch, "Structure-activity relationship
    of mutagenic aromatic and heteroaromatic nitro compounds", Journal of Medicinal Chemistry 34 (1991), in the form
    of C. Morris et al., "TUDataset: A collection of benchmark datasets for learning with graphs", 2020,
    https://chrsmrrs.github.io/datasets.

    Files: those of PyG's `TUDataset`, `MUTAG/raw/MUTAG_*.txt`, looked for in `root`, or without root in
    `$GRAPHREC_DATA`. With neither, PyG downloads them into the user's cache. What PyG makes of them is always kept
    in the user's cache.

    Each sample is as PyG has it, and has the atoms and bonds as kinds and relations, too:

    - `edge_index` `[2, E]`, each bond in both directions;
    - `x` `[N, 7]` and `node_type` `[N]` long: the atom, C, N, O, F, I, Cl or Br, one-hot and as a number;
    - `edge_attr` `[E, 4]` and `edge_type` `[E]` long: the bond, aromatic, single, double or triple, likewise;
    - `y` `[1]` long: 1 if the molecule is mutagenic, 0 if not.

    Args:
        root: where the folder `MUTAG` is, or that folder.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: the folder lacks one of the files.
        ValueError: PyG cannot read them.
        ConnectionError: they cannot be downloaded.
    """
    dataset = _open(lambda place: TUDataset(place, "MUTAG", transform=transform), "MUTAG", _MUTAG, root)
    data: Any = dataset._data
    slices: Any = dataset.slices
    data.node_type, slices["node_type"] = data.x.argmax(1), slices["x"]
    data.edge_type, slices["edge_type"] = data.edge_attr.argmax(1), slices["edge_attr"]
    return dataset


def cora(root: str | Path | None = None, transform: Callable[[Data], Data] | None = None) -> Planetoid:
    """Cora: 2,708 papers that cite each other, each of one of 7 subjects; one graph, with the public split.

    Source: P. Sen, G. Namata, M. Bilgic, L. Getoor, B. Galligher and T. Eliassi-Rad, "Collective Classification in
    Network Data", AI Magazine 29 (2008); the split is that of Z. Yang, W. Cohen and R. Salakhutdinov, "Revisiting
    Semi-Supervised Learning with Graph Embeddings", ICML 2016, https://arxiv.org/abs/1603.08861.

    Files: those of PyG's `Planetoid`, `Cora/raw/ind.cora.*`, looked for in `root`, or without root in
    `$GRAPHREC_DATA`. With neither, PyG downloads them into the user's cache. What PyG makes of them is always kept
    in the user's cache. They are pickles: read none from a place that you do not trust. PyG needs scipy to read them.

    The one sample, `cora()[0]`, has

    - `edge_index` `[2, 10556]`, each citation in both directions;
    - `x` `[2708, 1433]`: which words a paper has, 0 or 1;
    - `y` `[2708]` long: its subject;
    - `train_mask`, `val_mask`, `test_mask` `[2708]` bool: 140 papers to train, 500 to validate, 1,000 to test.

    Args:
        root: where the folder `Cora` is, or that folder.
        transform: applied to the sample when it is taken.

    Raises:
        FileNotFoundError: the folder lacks one of the files.
        ImportError: scipy is not there.
        ValueError: PyG cannot read them.
        ConnectionError: they cannot be downloaded.
    """
    if importlib.util.find_spec("scipy") is None:
        raise ImportError("Cora is stored in scipy's matrices: install scipy.")
    return _open(lambda place: Planetoid(place, "Cora", transform=transform), "Cora", _CORA, root)


def _open(
    make: Callable[[str], _Dataset], name: str, files: Sequence[str], root: str | Path | None
) -> _Dataset:
    """A data set of PyG. As PyG writes beside the raw files, it is given a copy of them in the user's cache."""
    found = raw_folder(name, root)
    place = cache_folder()
    if found != place / name:
        found = found / "raw" if (found / "raw").is_dir() else found
        mend = (
            f"Place PyG's raw files of {name} there, or give neither root nor GRAPHREC_DATA to download them."
        )
        paths = [raw_file(found, file, mend) for file in files]
        place = place / "processed" / name / checksum(*paths)[:16]
        for path in paths:
            if not (place / name / "raw" / path.name).is_file():
                with written_at_once(place / name / "raw" / path.name) as temporary:
                    shutil.copyfile(path, temporary)
    raw = place / name / "raw"
    make_folder(raw)  # PyG's own errors would not say how to mend it
    try:
        dataset = make(str(place))
    except Exception as error:  # of many types: what PyG meets in its files, and what its downloads raise
        if _missing(raw, files):
            raise ConnectionError(
                f"PyG could not download {name} ({type(error).__name__}: {error}). Check the network, or place its "
                f"files yourself and name their folder with root=... or the environment variable GRAPHREC_DATA."
            ) from error
        raise ValueError(
            f"PyG cannot read the files of {name} ({type(error).__name__}: {error}). Delete {place / name}, and if "
            f"that does not help, replace those in {found} with fresh copies."
        ) from error
    if missing := _missing(raw, files):  # PyG goes on without some of them
        raise ValueError(
            f"{raw} lacks {', '.join(missing)}: delete {place / name} to have them fetched again."
        )
    return dataset


def _missing(folder: Path, files: Sequence[str]) -> list[str]:
    return [file for file in files if not (folder / file).is_file()]

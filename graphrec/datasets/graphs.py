"""Graphs with cycles: data sets of PyG, found where the others are, and with the names that graphrec reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.datasets import Planetoid, TUDataset

from ._files import cache_folder, checksum, make_folder, raw_file, raw_folder, written_at_once
from ._graph_files import PlanetoidFiles, TUFiles

Transform = Callable[[Data], Data] | None

_TU = ("A", "graph_indicator", "graph_labels")
_TU_OPTIONAL = ("node_labels", "edge_labels", "node_attributes", "edge_attributes")
_PLANETOID = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
_NAMES = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}

_Dataset = TypeVar("_Dataset", bound=InMemoryDataset)


def mutag(root: str | Path | None = None, transform: Transform = None) -> TUDataset:
    """MUTAG: 188 molecules, and whether they are mutagenic (125 are). There is no split: see `stratified_folds`.

    Source: A. Debnath, R. Lopez de Compadre, G. Debnath, A. Shusterman and C. Hansch, "Structure-activity relationship
    of mutagenic aromatic and heteroaromatic nitro compounds", Journal of Medicinal Chemistry 34 (1991), in the form
    of C. Morris et al., "TUDataset: A collection of benchmark datasets for learning with graphs", 2020,
    https://chrsmrrs.github.io/datasets.

    Files: those of PyG's `TUDataset`, `MUTAG/raw/MUTAG_*.txt`, looked for in `root`, or without root in
    `$GRAPHREC_DATA`. With neither, PyG downloads them into the user's cache. What is made of them is always kept in
    the user's cache.

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
        ValueError: they cannot be read.
        ConnectionError: they cannot be downloaded.
    """
    return _tu("MUTAG", (*_TU, "node_labels", "edge_labels"), root, transform)


def tudataset(root: str | Path, name: str | None = None, transform: Transform = None) -> TUDataset:
    """Any folder in the form of TUDataset, https://chrsmrrs.github.io/datasets: graphs, each with a class.

    The files `NAME_A.txt`, `NAME_graph_indicator.txt` and `NAME_graph_labels.txt` are needed; labels and attributes of
    nodes and edges are read where they are there. Loops and repeated edges are left out, as PyG does.

    - `edge_index` `[2, E]`;
    - `x` `[N, D]`: the nodes' attributes, then their labels, one-hot; without both there is no `x`;
    - `edge_attr` `[E, K]`: the edges' attributes and labels, likewise;
    - `node_type` `[N]`, `edge_type` `[E]` long: the labels as numbers, where nodes or edges have one each;
    - `y` `[1]` long: the class, numbered in the order of the labels in the file.

    Args:
        root: the folder of the files, or of their folder `raw`, or one that holds such folders.
        name: which data set; by default the only one there.
        transform: applied to each sample when it is taken.

    Raises:
        FileNotFoundError: there is no such data set, or it lacks one of the files.
        ValueError: there are several, and none is named; or the files cannot be read.
    """
    folder, name = _find(Path(root).expanduser(), name, "", "_graph_indicator.txt", "TUDataset")
    optional = [part for part in _TU_OPTIONAL if (folder / f"{name}_{part}.txt").is_file()]
    return _tu(name, (*_TU, *optional), folder, transform)


def cora(root: str | Path | None = None, transform: Transform = None) -> Planetoid:
    """Cora: 2,708 papers that cite each other, each of one of 7 subjects; one graph, with the public split.

    Source: P. Sen, G. Namata, M. Bilgic, L. Getoor, B. Galligher and T. Eliassi-Rad, "Collective Classification in
    Network Data", AI Magazine 29 (2008); the split is that of Z. Yang, W. Cohen and R. Salakhutdinov, "Revisiting
    Semi-Supervised Learning with Graph Embeddings", ICML 2016, https://arxiv.org/abs/1603.08861.

    Files: those of PyG's `Planetoid`, `Cora/raw/ind.cora.*`, looked for in `root`, or without root in
    `$GRAPHREC_DATA`. With neither, PyG downloads them into the user's cache. What is made of them is always kept in
    the user's cache. They are pickles: read none from a place that you do not trust.

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
        ValueError: they cannot be read.
        ConnectionError: they cannot be downloaded.
    """
    return _planetoid("Cora", root, transform)


def planetoid(root: str | Path, name: str | None = None, transform: Transform = None) -> Planetoid:
    """Any folder in the form of Planetoid, such as CiteSeer's or PubMed's: one graph of papers, as `cora` has it.

    The files are `ind.NAME.x` and so on, pickles but for one: read none from a place that you do not trust. Papers to
    be tested may have gaps among their numbers: these are papers without words, subject and citations, in no part of
    the split. Where fewer than 500 papers lie between those to train on and those to test, fewer validate.

    Args:
        root: the folder of the files, or of their folder `raw`, or one that holds such folders.
        name: which data set, e.g. "CiteSeer"; by default the only one there.
        transform: applied to the sample when it is taken.

    Raises:
        FileNotFoundError: there is no such data set, or it lacks one of the files.
        ValueError: there are several, and none is named; or the files cannot be read.
    """
    folder, found = _find(Path(root).expanduser(), name and name.lower(), "ind.", ".graph", "Planetoid")
    return _planetoid(_NAMES.get(found, found), folder, transform)


def _tu(name: str, parts: Sequence[str], root: str | Path | None, transform: Transform) -> TUDataset:
    def make(place: str) -> TUFiles:
        return TUFiles(place, name, transform=transform, use_node_attr=True, use_edge_attr=True)

    dataset = _open(make, name, [f"{name}_{part}.txt" for part in parts], root)
    data: Any = dataset._data
    slices: Any = dataset.slices
    for kind, rows, first, labels in (
        ("node_type", "x", dataset.num_node_attributes, dataset.num_node_labels),
        ("edge_type", "edge_attr", dataset.num_edge_attributes, dataset.num_edge_labels),
    ):
        hot = data[rows][:, first:] if labels else None
        if hot is not None and bool((hot.sum(1) == 1).all()):  # more than one column of labels is no kind
            data[kind], slices[kind] = hot.argmax(1), slices[rows]
    return dataset


def _planetoid(name: str, root: str | Path | None, transform: Transform) -> Planetoid:
    def make(place: str) -> PlanetoidFiles:
        return PlanetoidFiles(place, name, transform=transform)

    return _open(make, name, [f"ind.{name.lower()}.{part}" for part in _PLANETOID], root)


def _find(root: Path, name: str | None, before: str, after: str, form: str) -> tuple[Path, str]:
    """The folder of the files of a data set, and its name, by the one file that all of its form have."""
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}: correct root=...")
    below = [path for path in sorted(root.iterdir()) if path.is_dir() and path != root / "raw"]
    for places in ([root, root / "raw"], [place for path in below for place in (path, path / "raw")]):
        found = {
            path.name.removeprefix(before).removesuffix(after): place
            for place in places
            for path in place.glob(f"{before}{name or '*'}{after}")
        }
        if len(found) > 1:
            names = ", ".join(sorted(found))
            raise ValueError(f"{root} holds several data sets, {names}: name the folder of one with root=...")
        for one, place in found.items():
            return place, one
    what = f"{before}{name or 'NAME'}{after}"
    raise FileNotFoundError(
        f"expected the files of a data set in the form of {form}, {what} and others, in {root}, its folder raw or one "
        f"of its folders: correct root=..."
    )


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
    except Exception as error:  # of many types: what pickles and texts hold, and what PyG's downloads raise
        if _missing(raw, files):
            raise ConnectionError(
                f"PyG could not download {name} ({type(error).__name__}: {error}). Check the network, or place its "
                f"files yourself and name their folder with root=... or the environment variable GRAPHREC_DATA."
            ) from error
        raise ValueError(
            f"cannot read the files of {name} ({type(error).__name__}: {error}). Mend those in {found}, or replace "
            f"them with fresh copies; if that does not help, delete {place / name}."
        ) from error
    if missing := _missing(raw, files):  # PyG goes on without some of them
        raise ValueError(
            f"{raw} lacks {', '.join(missing)}: delete {place / name} to have them fetched again."
        )
    return dataset


def _missing(folder: Path, files: Sequence[str]) -> list[str]:
    return [file for file in files if not (folder / file).is_file()]

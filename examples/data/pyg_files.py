"""Data sets of PyG from folders of the user's: which one is there, and a copy of its files for PyG to write beside."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch_geometric.data import InMemoryDataset

from graphrec.datasets import cache_folder, raw_folder

Dataset = TypeVar("Dataset", bound=InMemoryDataset)


def folder_of(name: str) -> Path | None:
    """The folder of a data set below the one that GRAPHREC_DATA names, or None: PyG is to download it."""
    folder = raw_folder(name, None)
    return None if folder == cache_folder() / name else folder


def find(root: Path, before: str, after: str) -> tuple[Path, str]:
    """Where the files of a data set are, in `root`, its folder raw or one of its folders, and the set's name.

    Args:
        root: the folder that the user names.
        before, after: what stands before and after the name in the one file that all data sets of a form have.

    Raises:
        FileNotFoundError: there is none.
        ValueError: there are several.
    """
    found = {
        path.name.removeprefix(before).removesuffix(after): path.parent
        for pattern in ("", "raw/", "*/", "*/raw/")
        for path in sorted(root.glob(f"{pattern}{before}*{after}"))
    }
    if len(found) > 1:
        raise ValueError(
            f"{root} holds several data sets, {', '.join(sorted(found))}: name the folder of one."
        )
    for name, folder in found.items():
        return folder, name
    raise FileNotFoundError(
        f"expected the files of a data set, {before}NAME{after} and others, in {root}, its folder raw or one of its "
        f"folders: name another folder with --data."
    )


def read(make: Callable[[str], Dataset], name: str, folder: Path | None, before: str = "") -> Dataset:
    """A data set of PyG's, of the files in a folder, or, without one, downloaded by PyG into the user's cache.

    PyG writes beside the files, so it is given a copy of them. The copies of texts end in a line feed: where it is
    missing, PyG leaves out the last line.

    Args:
        make: makes the data set, given the folder that holds a folder of its name.
        name: of the data set, as PyG spells it.
        folder: which holds the files `{before}{name}...`.
        before: what the names of all files begin with.

    Raises:
        ConnectionError: the files cannot be downloaded.
        ValueError: PyG cannot read them.
    """
    if folder is None:
        try:
            return make(str(cache_folder()))
        except Exception as error:  # of many types: what its downloads raise
            raise ConnectionError(
                f"PyG could not download {name} ({type(error).__name__}: {error}). Check the network, or place its "
                f"files yourself and name their folder with --data or the environment variable GRAPHREC_DATA."
            ) from error
    with tempfile.TemporaryDirectory() as place:
        raw = Path(place, name, "raw")
        raw.mkdir(parents=True)
        for path in folder.glob(f"{before}{name.lower() if before else name}*"):
            shutil.copyfile(path, raw / path.name)
            content = path.read_bytes()
            if path.suffix in (".txt", ".index") and not content.endswith(b"\n"):
                (raw / path.name).write_bytes(content + b"\n")
        try:
            return make(place)
        except Exception as error:  # of many types: what pickles and texts hold
            raise ValueError(
                f"PyG cannot read the files of {name} in {folder} ({type(error).__name__}: {error}): mend them, or "
                f"replace them with fresh copies."
            ) from error

"""Where raw and processed files lie, and how they are read, fetched and written."""

from __future__ import annotations

import glob
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: files of killed writers stay
    fcntl = None

PART = ".part"  # what the names of temporary files end in
TIMEOUT = 60  # seconds without an answer after which a download is given up


def cache_folder() -> Path:
    """The user's cache: `$XDG_CACHE_HOME/graphrec`, by default `~/.cache/graphrec`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphrec"


def raw_folder(name: str, root: str | Path | None) -> Path:
    """The folder in which the raw files of the dataset `name` are looked for.

    With a root: `root/name`, or root itself where it has no such folder. Without: `$GRAPHREC_DATA/name` where
    that exists, else a folder of the user's cache. Only that last one is ever written to.

    Raises:
        FileNotFoundError: GRAPHREC_DATA names a folder that is not there.
    """
    if root is not None:
        root = Path(root).expanduser()
        return root / name if (root / name).is_dir() else root
    shared = os.environ.get("GRAPHREC_DATA")
    if shared and not Path(shared).expanduser().is_dir():
        raise FileNotFoundError(
            f"GRAPHREC_DATA names the folder {shared}, which is not there: correct it, unset it, or give root=...."
        )
    if shared and (Path(shared).expanduser() / name).is_dir():
        return Path(shared).expanduser() / name
    return cache_folder() / name


def raw_file(folder: Path, file: str, mend: str) -> Path:
    """The path of a raw file that must be there.

    Raises:
        FileNotFoundError: saying what the folder holds instead, and what to do (`mend`).
    """
    path = folder / file
    if path.is_file():
        return path
    if not folder.is_dir():
        raise FileNotFoundError(f"expected the file {path}, but there is no folder {folder}. {mend}")
    names = sorted(p.name for p in folder.iterdir())
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    there = (", ".join(names[:10]) or "nothing") + more
    raise FileNotFoundError(f"expected the file {file} in {folder}, which holds: {there}. {mend}")


def read_text(path: Path) -> str:
    """The text of a file, without the byte-order mark that some editors begin it with.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = f"{error.object[error.start]:#04x}"
        what = f"expected UTF-8 text, got the byte {byte} of a binary file or another encoding"
        raise fault(path, line, what) from error


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, each with its number, counted from 1.

    Raises:
        ValueError: not UTF-8, or no lines at all.
    """
    # Only line feeds end a line: the treebank has other Unicode line separators inside its words.
    lines = [(number, line.rstrip()) for number, line in enumerate(read_text(path).split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise ValueError(f"{path}: expected one sample per line, got an empty file. Replace it.")
    return lines


def fault(path: Path, line: int, what: str) -> ValueError:
    """An error in a raw file, by file and line."""
    return ValueError(
        f"{path}, line {line}: {what.removesuffix('.')}. Mend the line, or replace the file with a fresh copy."
    )


def checksum(*paths: Path) -> str:
    """The SHA-256 of the contents of some files, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder, unless it is there, and see that it can be written into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"cannot write into {folder} ({error}). Set XDG_CACHE_HOME to a folder open to you."
        ) from error


@contextmanager
def written_at_once(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when all has gone well.

    Nobody sees half a file: neither a process that reads at the same time, nor one after a crash. What a process that
    was killed has left of such a file, the next one to write it or to read it removes.
    """
    make_folder(path.parent)
    remove_leftovers(path)
    handle, temporary = _locked_temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `path` that nobody writes any more; those that are being written are left alone.

    A living writer holds a lock on its file, which ends with it however it ends. Process ids would tell less: they are
    given out again, and mean nothing on another machine or in another container.
    """
    for temporary in path.parent.glob(f"{glob.escape(path.name)}.????????{PART}"):
        with (
            suppress(OSError),
            temporary.open("r+b") as file,
        ):  # gone by now, not ours, or a system without locks
            if _lock(file.fileno(), wait=False):
                temporary.unlink()


def _locked_temporary(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, and the handle that holds its lock."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=PART)
        with suppress(OSError):
            _lock(handle, wait=True)
        if os.path.exists(name):
            return handle, Path(name)
        os.close(handle)  # somebody tidied up before it was locked


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock an open file; whether it is locked now. OSError: somebody else has the lock, or there are no locks here."""
    if fcntl is None:
        return False
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    return True


def fetch(url: str, sha256: str, path: Path) -> Path:
    """A file whose SHA-256 is known: the one that lies at `path`, or else what pooch downloads to there.

    Raises:
        ConnectionError: no network, or the server did not answer.
        ImportError: pooch is not installed.
        ValueError: what came is not what was expected. It is not kept.
    """
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return path
    by_hand = f"place it at {path} yourself, or name its folder with root=... or the environment variable GRAPHREC_DATA"
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            f"{path.name} is downloaded from {url} by pooch, which is not installed: pip install 'graphrec[datasets]'. "
            f"Or {by_hand}."
        ) from error
    make_folder(path.parent)
    try:
        by_http: Any = pooch.HTTPDownloader(timeout=TIMEOUT)  # (pooch types its argument as another one)
        pooch.retrieve(url, sha256, path.name, path.parent, downloader=by_http)
    except OSError as error:  # what requests raises are all of this type
        raise ConnectionError(
            f"could not download {path.name} from {url} ({error}). Check the network, or {by_hand}."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"expected a file with SHA-256 {sha256} from {url} ({error}). Try again; if it stays so, the file has been "
            f"replaced at its source."
        ) from error
    return path

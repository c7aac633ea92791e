"""The files from which a run resumes: written whole or not at all, and named in errors if damaged or missing."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

try:
    import fcntl
except ImportError:  # where there are no such locks
    fcntl = None

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

# In the folder of a run.
LAST = "last.ckpt"
"""The checkpoint from which a run goes on."""
BEST = "best.ckpt"
"""The checkpoint of the best epoch."""
DONE = "done.json"
"""Says that a run is finished."""
HISTORY = "history.csv"
"""A row for each epoch."""
_PART = ".part"
_ANEW = "Delete it to train from the first epoch"


class DamagedFileError(RuntimeError):
    """A file of a run is cut off or missing; the message names it and says what to do.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, what: str, mend: str) -> None:
        super().__init__(f"{path} is {what}. {mend}.")
        self.path = path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints are written whole or not at all; Lightning's own may be cut off if /tmp is another file system.

    The first one is read as it will be when a run goes on, so that what could not be is noticed while it trains.
    """

    _was_read = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it beside its place, and move it there when all of it is on disk."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}{_PART}").open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        if not self._was_read:
            check_is_read(Path(file.name))
            self._was_read = True
        os.replace(file.name, path)


def check_folder(folder: Path) -> None:
    """Make a folder, where there is none, and raise OSError unless files can be written there."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name a folder for the run.")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to: name another folder for the run.")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """For a block in which no other process may train there; the lock of a process that is killed is gone with it.

    Raises:
        RuntimeError: another one does.
    """
    if fcntl is None:
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise RuntimeError(
                f"another process trains in {folder}: wait for it or end it (processes that torchrun has started may "
                f"outlive it), or name another folder."
            ) from error
        try:
            yield
        finally:
            Path(file.name).unlink(missing_ok=True)


def check_is_read(path: Path) -> None:
    """Raise TypeError if a checkpoint holds what `weights_only=True` does not read."""
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|Unsupported \w+|type) ([\w.]+)", str(error))
        raise TypeError(
            f"the checkpoint holds {found[1] if found else 'something'}, which is not read with weights_only=True: "
            f"keep tensors and Python's own numbers, texts, lists and dictionaries alone, float(lr) for a rate of "
            f"numpy for instance."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}{_PART}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def remove(paths: Iterable[Path]) -> None:
    """Delete files of a run, and what a killed run was writing when it was killed."""
    for path in paths:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}{_PART}").unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Delete what killed runs were writing."""
    for name in (LAST, BEST, DONE, HISTORY):
        (folder / f"{name}{_PART}").unlink(missing_ok=True)


class Progress(NamedTuple):
    """The progress of a training.

    Attributes:
        epochs: how many are complete.
        waited: how many of them since the best one.
        score: that of the best one; NaN: there is none yet.
        steps: of the optimizer.
    """

    epochs: int
    waited: int
    score: float
    steps: int


def read_progress(last: Path) -> Progress:
    """The progress of a training, from its last checkpoint; zero where there is none.

    Raises:
        DamagedFileError: it cannot be read.
    """
    saved = read_last(last)
    return Progress(0, 0, math.nan, 0) if saved is None else progress_of(saved, last)


def read_last(last: Path) -> dict[str, Any] | None:
    """The last checkpoint of a training; None where there is none.

    Raises:
        DamagedFileError: it cannot be read.
    """
    return _read(last, _ANEW) if last.exists() else None


def progress_of(saved: dict[str, Any], last: Path) -> Progress:
    """The progress of a training, from what its last checkpoint holds.

    Raises:
        DamagedFileError: it is none.
    """
    with intact(last, _ANEW):
        states = saved["callbacks"].items()
        waited = max((s["wait_count"] for name, s in states if name.startswith("EarlyStopping")), default=0)
        # Only the checkpoints know the score with which a goal was reached.
        kept = [s["best_model_score"] for name, s in states if name.startswith("ModelCheckpoint")]
        score = next((float(score) for score in kept if score is not None), math.nan)
        epochs = saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        return _checked(Progress(epochs, waited, score, saved["global_step"]))


def read_done(done: Path) -> Progress:
    """The progress of a finished training, which no longer needs its last checkpoint.

    Raises:
        DamagedFileError: it cannot be read.
    """
    with intact(done, "Delete it to go on after the last epoch"):
        told = json.loads(done.read_text(encoding="utf-8"))
        return _checked(Progress(*(told[name] for name in Progress._fields)))


def _checked(found: Progress) -> Progress:
    """Raise ValueError unless these are counts, and a score."""
    counts = (found.epochs, found.waited, found.steps)
    if any(type(count) is not int or count < 0 for count in counts) or type(found.score) not in (int, float):
        raise ValueError(f"no progress: {found}")
    return found._replace(score=float(found.score))


def load_weights(module: nn.Module, path: str | os.PathLike[str]) -> None:
    """Give a task the weights of a checkpoint, which is read with `weights_only=True`: it runs no code.

    Raises:
        DamagedFileError: a file that cannot be read, or is no checkpoint.
        ValueError: the weights of another model.
    """
    give_weights(module, read_weights(path, "Give the path of another checkpoint"), path)


def read_weights(path: str | os.PathLike[str], mend: str) -> dict[str, Any]:
    """A checkpoint with weights.

    Raises:
        DamagedFileError: a file that cannot be read, or is no checkpoint.
    """
    saved = _read(Path(path), mend)
    with intact(Path(path), mend):
        dict(saved["state_dict"])
    return saved


def give_weights(module: nn.Module, saved: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Load weights into a module that has such ones.

    Raises:
        ValueError: the weights of another model.
    """
    try:
        module.load_state_dict(saved["state_dict"])
    except RuntimeError as error:  # (nothing is damaged, and so nothing is to be deleted)
        raise ValueError(
            f"{path} has the weights of another model: make this one as it was, or train in another folder. {error}"
        ) from error
    except Exception as error:  # what torch raises where it is no dictionary of tensors
        raise DamagedFileError(
            Path(path), f"damaged ({type(error).__name__})", "Give another file"
        ) from error


def _read(path: Path, mend: str) -> dict[str, Any]:
    with intact(path, mend):
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def intact(path: Path, mend: str) -> Iterator[None]:
    """For a block that reads a file of a run.

    Raises:
        DamagedFileError: the file is cut off or missing.
    """
    try:
        yield
    except Exception as error:  # torch and json raise many types, depending on where the damage is
        what = "damaged" if path.exists() else "missing"
        raise DamagedFileError(path, f"{what} ({type(error).__name__})", mend) from error

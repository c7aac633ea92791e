"""The files from which a run resumes: written whole or not at all, and named in errors if damaged or missing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

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


class DamagedFileError(RuntimeError):
    """A file of a run is cut off or missing; the message names it and says what to do.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, what: str, mend: str) -> None:
        super().__init__(f"{path} is {what}. {mend}.")
        self.path = path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints are written whole or not at all; Lightning's own may be cut off if /tmp is another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write it beside its place, and move it there when all of it is on disk."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}{_PART}").open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)


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
    if not last.exists():
        return Progress(0, 0, math.nan, 0)
    with intact(last, "Delete it to train from the first epoch"):
        saved = torch.load(last, map_location="cpu", weights_only=True)
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
        DamagedFileError: a file that cannot be read, or holds other weights.
    """
    path = Path(path)
    with intact(path, f"Delete the folder {path.parent} to train once more"):
        module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])


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

"""The files from which a run resumes: written whole or not at all, and named in errors if damaged or missing."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

NAMES = ("done.json", "best.ckpt", "last.ckpt")  # in the folder of each model


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints are written whole or not at all; Lightning's own may be cut off if /tmp is another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.part").open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, path)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


class Progress(NamedTuple):
    """The progress of a training: complete epochs, how many of them since the best one, and its score."""

    epochs: int
    waited: int
    score: float


def progress(last: Path) -> Progress:
    """The progress of a training, from its last checkpoint."""
    if not last.exists():
        return Progress(0, 0, math.nan)
    with intact(last, f"Delete it to train {last.parent.name} from its first epoch"):
        saved = torch.load(last, map_location="cpu", weights_only=True)
        callbacks = saved["callbacks"].items()
        waited = max(state["wait_count"] for name, state in callbacks if name.startswith("EarlyStopping"))
        # Only the checkpoints know the score with which a goal was reached.
        kept = [state["best_model_score"] for name, state in callbacks if name.startswith("ModelCheckpoint")]
        score = next(float(score) for score in kept if score is not None)
        return Progress(saved["epoch"] + 1, waited, score)


def finished(done: Path) -> Progress:
    """The progress of a finished training, which no longer needs `last.ckpt`."""
    with intact(done, "Delete it to go on after the last epoch"):
        told = json.loads(done.read_text(encoding="utf-8"))
        return Progress(*(told[name] for name in Progress._fields))


def load_best(model: nn.Module, best: Path) -> None:
    """Give a model the weights of its best epoch."""
    with intact(best, f"Delete the folder {best.parent} to train {best.parent.name} once more"):
        model.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])


def flags_in(path: Path) -> Any:
    """The flags with which the run of a folder was started."""
    with intact(
        path,
        "Only this file tells whether the interrupted run had these flags: name another folder with --out",
    ):
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def intact(path: Path, mend: str) -> Iterator[None]:
    """For a block that reads a file of a run: if it is cut off or missing, the example ends with one line."""
    try:
        yield
    except Exception as error:  # torch and json raise many types, depending on where the damage is
        what = "damaged" if path.exists() else "missing"
        sys.exit(f"{path} is {what} ({type(error).__name__}). {mend}, or start from scratch with --fresh.")

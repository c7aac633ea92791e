"""What a run says while it trains, and the table that it leaves."""

from __future__ import annotations

import csv
import io
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import RandomSampler

from ..loader import DataLoader
from .files import write_text


class History(Callback):
    """A table with a row for each epoch: `epoch`, `step`, and what was logged by epoch.

    The rows are kept in checkpoints, and the file is written whole after each epoch, so that a resumed run leaves the
    table of an uninterrupted one. (Lightning's `CSVLogger` deletes the rows of the run that it resumes, or begins
    another file.)

    Args:
        path: a `.csv` file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add a row."""
        row: dict[str, float] = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row |= by_epoch(trainer)
        # (A checkpoint may have been written at the end of this very epoch.)
        self.rows = [*(r for r in self.rows if r["epoch"] < row["epoch"]), row]
        if trainer.is_global_zero:
            self._write()

    def state_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with these rows."""
        self.rows = list(state_dict["rows"])

    def _write(self) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, list(dict.fromkeys(name for row in self.rows for name in row)))
        table.writeheader()
        table.writerows(self.rows)
        write_text(self.path, text.getvalue())


class Position(Callback):
    """Which batch comes next, kept in checkpoints.

    (Lightning keeps it, too, but does not hand it to the loader where a scheduler has asked for
    `estimated_stepping_batches`, which looks at the loader before the checkpoint is read.)
    """

    def __init__(self) -> None:
        self._batches = 0  # of an epoch that has begun
        self._trainer: Any = None
        self._kept: dict[str, Any] | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remember the trainer, which has the loader."""
        self._trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        """What the loader says, and how many batches of this epoch there were."""
        loader = self._trainer.train_dataloader
        return {
            "loader": loader.state_dict() if isinstance(loader, DataLoader) else {},
            "batches": self._batches,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """To be told to the loader when there is one."""
        self._kept = state_dict

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let the loader begin there.

        Raises:
            ValueError: a run that goes on in mid-epoch, with a loader that cannot.
        """
        kept, self._kept, loader = self._kept, None, trainer.train_dataloader
        if kept is None:
            return
        self._batches = kept["batches"]
        if isinstance(loader, DataLoader) and kept["loader"]:
            loader.load_state_dict(kept["loader"])
        elif kept["batches"]:
            raise ValueError(
                f"the checkpoint was written after {kept['batches']} batches of an epoch, and this loader cannot begin "
                f"there: give graphrec.train.Samples, or a graphrec.DataLoader with a sampler of graphrec.loader; or "
                f"leave out save_every, so that checkpoints are written at the end of epochs."
            )
        elif isinstance(getattr(loader, "sampler", None), RandomSampler):
            warnings.warn(
                "the order of samples is drawn by torch, and will not be that of an uninterrupted run: give "
                "graphrec.train.Samples, or a loader with a sampler of graphrec.loader.",
                stacklevel=2,
            )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count."""
        self._batches += 1

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The next batch is that of another epoch."""
        self._batches = 0


class WithinEpochs(ModelCheckpoint):
    """Checkpoints every few steps, but for the last step of an epoch: Lightning takes an epoch that was left there for
    complete, and a resumed run would neither validate nor end it."""

    @property
    def state_key(self) -> str:
        """The same whatever the number of steps, which may be another one when a run goes on."""
        return f"ModelCheckpoint {type(self).__name__}"

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write one, where it is due."""
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class EpochLines(Callback):
    """A line per epoch, for logs and wherever a progress bar cannot move."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the clock."""
        self._begin = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the line."""
        if not trainer.is_global_zero:
            return
        shown = "  ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in by_epoch(trainer).items()
        )
        # (A run that was resumed in mid-epoch has not seen it begin.)
        took = f"  {time.perf_counter() - self._begin:.1f} s" if hasattr(self, "_begin") else ""
        print(f"  epoch {trainer.current_epoch + 1:>3}  {shown}{took}", flush=True)


def by_epoch(trainer: L.Trainer) -> dict[str, float]:
    """What was logged by epoch."""
    stages = ("train_", "val_")
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(stages)}

"""What a run says while it trains, and the table that it leaves."""

from __future__ import annotations

import csv
import io
import math
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import RandomSampler

from ..loader import DataLoader, Sampler
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
        ours = (
            loader if isinstance(loader, DataLoader) and isinstance(loader.batch_sampler, Sampler) else None
        )
        if ours is not None and kept["loader"]:
            ours.load_state_dict(kept["loader"])
        elif ours is not None or kept["loader"]:
            there, here = ("with", "without") if kept["loader"] else ("without", "with")
            raise ValueError(
                f"the checkpoint is of a training {there} a sampler of graphrec.loader, and this one is {here}: give "
                f"the same loader to go on, or train in another folder."
            )
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


class Asked(Callback):
    """What `fit` was asked, kept in checkpoints, so that a run that goes on is known to be asked the same.

    Args:
        max_epochs: how long; it may be raised where nothing else depends on it.
        same: what must be the same, by name.
    """

    def __init__(self, max_epochs: int, **same: Any) -> None:
        self.max_epochs, self.same = max_epochs, same

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {"max_epochs": self.max_epochs, "same": self.same}

    def check(self, saved: dict[str, Any], epochs: int, folder: Path) -> None:
        """Raise unless the training of a checkpoint, which has so many epochs, was asked the same.

        Raises:
            ValueError: it was not.
        """
        kept = saved["callbacks"][self.state_key]
        odd = [name for name, here in self.same.items() if kept["same"][name] != here]
        if odd:
            told = ", ".join(f"{name}={kept['same'][name]!r} (here {self.same[name]!r})" for name in odd)
            raise ValueError(
                f"{folder} has a training with {told}: give the same, or train in another folder."
            )
        if self.max_epochs < epochs:
            raise ValueError(
                f"{folder} has a training of {epochs} epochs, and max_epochs is {self.max_epochs}: give as many, or "
                f"train in another folder."
            )
        if self.max_epochs != kept["max_epochs"] and saved["lr_schedulers"]:
            raise ValueError(
                f"{folder} has a training with max_epochs={kept['max_epochs']} (here {self.max_epochs}), for which "
                f"its schedule of the rate was made: give as many, or train in another folder."
            )


class Watch(Callback):
    """Stops a training that has nothing to choose its best epoch by, or has come to no numbers.

    Args:
        monitor: what chooses the best epoch.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor

    def on_sanity_check_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look for the monitored among what a batch of validation has logged.

        Raises:
            ValueError: it is not there.
        """
        self._check_validates(trainer)
        if self.monitor.startswith("val_"):
            self._find(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """See that there are samples for validation, where they are needed.

        Raises:
            ValueError: there are none.
        """
        self._check_validates(trainer)

    def _check_validates(self, trainer: L.Trainer) -> None:
        batches: Any = trainer.num_val_batches
        if self.monitor.startswith("val_") and not sum(batches if isinstance(batches, list) else [batches]):
            raise ValueError(
                f"monitor={self.monitor!r} is of validation, and there is no sample to validate with: give some, or "
                f"monitor='train_loss'."
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the numbers, before a checkpoint is written.

        Raises:
            FloatingPointError: NaN or infinite.
            ValueError: the monitored is not there.
        """
        self._find(trainer)
        for name in ("train_loss", self.monitor):
            value = float(trainer.callback_metrics.get(name, 0.0))
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name} is {value} in epoch {trainer.current_epoch + 1}: inputs or targets with NaN, a rate that "
                    f"is too high, or no row that counts (an empty mask). The checkpoints are those of the epochs "
                    f"before; detect_anomaly=True finds the operation."
                )

    def _find(self, trainer: L.Trainer) -> None:
        if self.monitor not in trainer.callback_metrics:
            there = sorted({*by_epoch(trainer), "train_loss"})
            raise ValueError(
                f"monitor must be one of what is logged, {', '.join(there)}; got {self.monitor!r}."
            )


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

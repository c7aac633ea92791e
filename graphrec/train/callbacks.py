"""What a run says while it trains, and the table that it leaves."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

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


class EpochLines(Callback):
    """A line per epoch, for logs and wherever a progress bar cannot move."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the clock."""
        self._begin = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the line."""
        if not trainer.is_global_zero:
            return
        shown = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in by_epoch(trainer).items())
        # (A run that was resumed in mid-epoch has not seen it begin.)
        took = f"  {time.perf_counter() - self._begin:.1f} s" if hasattr(self, "_begin") else ""
        print(f"  epoch {trainer.current_epoch + 1:>3}  {shown}{took}", flush=True)


def by_epoch(trainer: L.Trainer) -> dict[str, float]:
    """What was logged by epoch."""
    stages = ("train_", "val_")
    return {
        name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(stages)
    }

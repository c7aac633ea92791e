"""A training and its folder: begun, resumed after a kill, or found finished."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.strategies import DDPStrategy

from .callbacks import EpochLines, History, Position, WithinEpochs
from .files import (
    BEST,
    DONE,
    HISTORY,
    LAST,
    AtomicCheckpointIO,
    load_weights,
    read_done,
    read_progress,
    remove_parts,
    write_text,
)

# What `fit` sets itself, and the reasons.
_OURS = {
    "limit_train_batches": "a resumed run could not tell whether an epoch has ended: give the sampler fewer samples",
    "enable_checkpointing": "a run is resumed from its checkpoints: use make_trainer(...).fit(task, data)",
    "plugins": "checkpoints are written by AtomicCheckpointIO: use make_trainer(...).fit(task, data)",
}


class Fitted(NamedTuple):
    """How a training went.

    Attributes:
        epochs: how long it was.
        score: the best value of what it monitored.
        path: the checkpoint of that epoch, whose weights the task has now.
    """

    epochs: int
    score: float
    path: Path


def fit(
    task: L.LightningModule,
    data: Any,
    folder: str | Path,
    *,
    max_epochs: int,
    monitor: str = "val_loss",
    mode: str | None = None,
    patience: int | None = None,
    goal: float | None = None,
    save_every: int | None = None,
    tensorboard: bool = False,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Fitted:
    """Train a task, resume its training, or find it finished; in the end it has the weights of its best epoch.

    A training that was interrupted, even by `kill -9`, resumes from its last checkpoint when it is started again in
    the same way, and ends with the same weights and history, bit for bit, as without the interruption. That takes data
    whose position is known (`Samples`, or a `graphrec.DataLoader` with a sampler of `graphrec.loader`) and as many
    processes. What was given otherwise than at first is refused where it shows: rule, seed, optimizer, sampler.

    In the folder: `best.ckpt` (by `monitor`), `last.ckpt`, `history.csv` and, once it is finished, `done.json`.

    Args:
        task: a `Task`, or any Lightning module.
        data: `Samples` or another data module; or a pair of loaders, for training and validation.
        folder: of this training alone.
        max_epochs: at most so many.
        monitor: what is logged by epoch and chooses the best one, and what early stopping looks at.
        mode: `"min"` or `"max"`; None: lower is better where `monitor` ends in loss, error, rmse or mae.
        patience: stop after so many epochs without a better one; None: never.
        goal: stop as soon as `monitor` is better than this.
        save_every: also write `last.ckpt` after each so many steps, so that less is lost; None: after each epoch.
        tensorboard: also write logs for TensorBoard, into the folder.
        callbacks, options: more of Lightning's `Trainer`, such as `gradient_clip_val`.

    Raises:
        DamagedFileError: a file of the folder that cannot be read.
        ValueError: an option of the trainer that `fit` has to set; a checkpoint of another training.
    """
    for name, why in _OURS.items():
        if name in options:
            raise ValueError(f"fit takes no {name}: {why}.")
    if mode is None:
        mode = "min" if monitor.endswith(("loss", "error", "rmse", "mae")) else "max"
    folder = Path(folder).absolute()
    last, best, done = folder / LAST, folder / BEST, folder / DONE
    if done.exists():
        found = read_done(done)
        load_weights(task, best)
        task.eval()
        return Fitted(found.epochs, found.score, best)
    before = read_progress(last)
    if before.epochs:
        load_weights(task, best)  # needed at the end only, but a damaged file should be reported first
    better: dict[str, Any] = {"monitor": monitor, "mode": mode}
    here: dict[str, Any] = {"dirpath": folder, "enable_version_counter": False}
    by_epoch: dict[str, Any] = {**here, "save_on_train_epoch_end": True}
    made: list[Callback] = [
        Position(),
        History(folder / HISTORY),
        EarlyStopping(
            **better,
            patience=max_epochs if patience is None else patience,
            stopping_threshold=goal,
            check_on_train_epoch_end=True,
        ),
        ModelCheckpoint(**by_epoch, filename="best", **better),
        ModelCheckpoint(**by_epoch, filename="last"),
        WithinEpochs(**here, filename="last", every_n_train_steps=0 if save_every is None else save_every),
    ]
    if tensorboard:
        options["logger"] = _tensorboard(folder, before.steps)
    begin = time.perf_counter()
    trainer = make_trainer(max_epochs=max_epochs, callbacks=[*callbacks, *made], **options)
    if trainer.is_global_zero:
        remove_parts(folder)
    # Lightning does not remember that it has stopped early: it would go on.
    has_stopped = patience is not None and before.waited >= patience
    if not (has_stopped or _is_better(before.score, goal, mode) or before.epochs >= max_epochs):
        given = (
            {"datamodule": data}
            if isinstance(data, L.LightningDataModule)
            else dict(zip(("train_dataloaders", "val_dataloaders"), data, strict=True))
        )
        trainer.fit(task, **given, ckpt_path=last if last.exists() else None, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
    trained = read_progress(last)
    if trainer.is_global_zero:
        told = {**trained._asdict(), "seconds": round(time.perf_counter() - begin, 1)}
        write_text(done, json.dumps(told))
    load_weights(task, best)
    task.eval()
    return Fitted(trained.epochs, trained.score, best)


def test(task: L.LightningModule, data: Any, **options: Any) -> dict[str, float]:
    """The metrics on the test set, by name.

    Args:
        task: as `fit` leaves it.
        data: a data module, or a loader.
        options: of Lightning's `Trainer`.
    """
    given: dict[str, Any] = (
        {"datamodule": data} if isinstance(data, L.LightningDataModule) else {"dataloaders": data}
    )
    trainer = make_trainer(**{"enable_progress_bar": False, **options})
    scores = trainer.test(task, **given, verbose=False)[0]
    task.eval()
    return {name.removeprefix("test_"): value for name, value in scores.items()}


def make_trainer(*, callbacks: Sequence[Callback] = (), **options: Any) -> L.Trainer:
    """Lightning's Trainer, with a progress bar on a terminal and else a line per epoch, checkpoints that are written
    whole or not at all, and samples that `graphrec.loader` deals to processes.

    Args:
        callbacks, options: of Lightning's `Trainer`. Its own defaults hold but for one device, no logger and no summary
            of the model.
    """
    # At this level Lightning reports devices and advertisements.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The samples are in memory: worker processes would only copy them.
    warnings.filterwarnings("ignore", ".*does not have many workers", PossibleUserWarning)
    # Runs resume from a folder with checkpoints.
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty", UserWarning)
    # Lightning 2.6 asks torch's pytree about leaves the old way in every fit.
    warnings.filterwarnings("ignore", r".*treespec, LeafSpec\)", FutureWarning)
    bar = sys.stdout.isatty() and options.pop("enable_progress_bar", True)
    settings: dict[str, Any] = {
        "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
        "devices": 1,
        "logger": False,
        "enable_model_summary": False,
        "enable_progress_bar": bar,
        "enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks),
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "plugins": [AtomicCheckpointIO()],
        "callbacks": [*callbacks, TQDMProgressBar(leave=True) if bar else EpochLines()],
    } | options
    if settings["devices"] != 1 or settings.get("num_nodes", 1) != 1:
        settings.setdefault("strategy", _ddp(settings["accelerator"]))
    return L.Trainer(**settings)


def _ddp(accelerator: str) -> DDPStrategy:
    """A batch of leaves alone reaches no weights of edges, which DDP must not wait for."""
    return DDPStrategy(
        find_unused_parameters=True, process_group_backend="gloo" if accelerator == "cpu" else None
    )


def _tensorboard(folder: Path, steps: int) -> Any:
    """A logger that goes on after so many steps; what a killed run had logged after them does not count."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="", purge_step=steps if steps else None)


def _is_better(score: float, goal: float | None, mode: str) -> bool:
    if goal is None or math.isnan(score):
        return False
    return score > goal if mode == "max" else score < goal

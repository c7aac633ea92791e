"""A training and its folder: begun, resumed after a kill, or found finished."""

from __future__ import annotations

import copy
import json
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torchmetrics import Metric, MetricCollection

from ..loader import Sampler
from ..loader.samplers import check_settings
from ..structure.checks import as_count, as_flag, as_list, as_number
from .callbacks import Asked, History, Position, Watch, WithinEpochs
from .data import Samples
from .files import (
    BEST,
    DONE,
    HISTORY,
    LAST,
    DamagedFileError,
    Progress,
    alone_in,
    check_folder,
    give_weights,
    progress_of,
    read_done,
    read_last,
    read_progress,
    read_weights,
    remove_parts,
    write_text,
)
from .task import Task
from .trainer import make_trainer

# What `fit` sets itself, and the reasons.
_OURS = {
    "limit_train_batches": "a resumed run could not tell whether an epoch has ended: give the sampler fewer samples",
    "overfit_batches": "a resumed run could not tell whether an epoch has ended: give fewer samples",
    "max_steps": "a run is as many epochs as max_epochs says: give fewer of these, or fewer samples",
    "max_time": "a run that has not come to its end is not finished: end it from outside, and start it again",
    "fast_dev_run": "it leaves no checkpoints: use make_trainer(fast_dev_run=True).fit(task, data)",
    "check_val_every_n_epoch": "each epoch is compared with the best one: let epochs have more samples",
    "enable_checkpointing": "a run is resumed from its checkpoints: use make_trainer(...).fit(task, data)",
    "plugins": "checkpoints are written by AtomicCheckpointIO: use make_trainer(...).fit(task, data)",
}

_NEVER = 2**31  # (not max_epochs: Lightning goes on with the patience of the checkpoint)


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
    processes. What was given otherwise than at first is refused where it shows, also of a finished training: model,
    rule, seed, optimizer, sampler, `monitor`, `mode`, `patience`, `goal`. A higher `max_epochs` goes on from there,
    unless a schedule of the rate was made for so many.

    In the folder: `best.ckpt` (by `monitor`), `last.ckpt`, `history.csv` and, once it is finished, `done.json`.

    Args:
        task: a `Task`, or any Lightning module. In the end it is in eval mode; one that comes in eval mode is trained
            in training mode, all of it.
        data: `Samples` or another data module; or a pair of loaders, for training and validation.
        folder: of this training alone.
        max_epochs: at most so many, 1 or more.
        monitor: what is logged by epoch and chooses the best one, and what early stopping looks at.
        mode: `"min"` or `"max"`; None: as the metric says (`higher_is_better`), and of losses the lower one.
        patience: stop after so many epochs without a better one, 1 or more; None: never.
        goal: stop as soon as `monitor` is better than this.
        save_every: also write `last.ckpt` after each so many steps, so that less is lost; None: after each epoch.
        tensorboard: also write logs for TensorBoard, into the folder.
        callbacks, options: more of Lightning's `Trainer`, such as `gradient_clip_val`.

    Raises:
        DamagedFileError: a file of the folder that cannot be read.
        OSError: a folder that cannot be written to.
        RuntimeError: another process trains in the folder.
        TypeError: a task that is no Lightning module; data that are neither a data module nor a pair of loaders.
        ValueError: an option of the trainer that `fit` has to set; a checkpoint of another training; no batch to train
            on; a `monitor` that nothing logs.
        FloatingPointError: an epoch whose loss, or whose `monitor`, is no number.
        KeyboardInterrupt: Ctrl-C; it says what the same call would go on from.
    """
    for name, why in _OURS.items():
        if name in options:
            raise ValueError(f"fit takes no {name}: {why}.")
    if not isinstance(task, L.LightningModule):
        raise TypeError(
            f"task must be a task, such as GraphTask(model, head, classification(5)), or another Lightning module, got "
            f"{type(task).__name__}."
        )
    if not isinstance(monitor, str):
        raise TypeError(f"monitor must be the name of what is logged, such as 'val_loss', got {monitor!r}.")
    callbacks, tensorboard = as_list("callbacks", callbacks), as_flag("tensorboard", tensorboard)
    goal = None if goal is None else as_number("goal", goal)
    max_epochs = as_count("max_epochs", max_epochs, 1)
    patience = None if patience is None else as_count("patience", patience, 1)
    save_every = None if save_every is None else as_count("save_every", save_every, 1)
    mode = _lower_or_higher(task, monitor) if mode is None else mode
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}.")
    given = _given(data)
    folder = Path(folder).absolute()
    check_folder(folder)
    last, best, done = folder / LAST, folder / BEST, folder / DONE
    once_more = f"Delete the folder {folder} to train once more"
    asked = Asked(max_epochs, monitor=monitor, mode=mode, patience=patience, goal=goal)

    def has_stopped(progress: Progress) -> bool:
        """Lightning does not remember that it has stopped early: it would go on."""
        has_waited = patience is not None and progress.waited >= patience
        return has_waited or _is_better(progress.score, goal, mode)

    if done.exists():
        found, saved = read_done(done), read_weights(best, once_more)
        asked.check(saved, found.epochs, folder)
        _check_trained_so(task, data, saved)
        if has_stopped(found) or found.epochs == max_epochs:
            give_weights(task, saved, best)
            task.eval()
            if getattr(rank_zero_only, "rank", 0) == 0:
                print(f"  trained already, {found.epochs} epochs. {once_more}.", flush=True)
            return Fitted(found.epochs, found.score, best)
        if not last.exists():
            raise DamagedFileError(
                last, "missing", "Without it there is no going on: train in another folder"
            )
    saved = read_last(last)
    before = Progress(0, 0, math.nan, 0) if saved is None else progress_of(saved, last)
    if saved is not None:
        asked.check(saved, before.epochs, folder)
    if before.epochs:
        # (Needed at the end only, but what is wrong with it should be reported first.)
        give_weights(task, read_weights(best, once_more), best)
    made = [*callbacks, asked, *_callbacks(folder, asked, save_every)]
    if tensorboard:
        options["logger"] = _tensorboard(folder, before.steps)
    # (What is wrong with validation shows before an epoch of training.)
    options.setdefault("num_sanity_val_steps", 1)
    begin = time.perf_counter()
    trainer = make_trainer(max_epochs=max_epochs, callbacks=made, **options)
    with alone_in(folder) if trainer.is_global_zero else nullcontext():
        if trainer.is_global_zero:
            remove_parts(folder)
            done.unlink(missing_ok=True)
        if not (has_stopped(before) or before.epochs == max_epochs):
            if not task.training:  # (as an earlier fit has left it; Lightning would train it so)
                task.train()
            with _begun(task, last):
                trainer.fit(task, **given, ckpt_path=None if saved is None else last, weights_only=True)
            if not last.exists():
                raise ValueError(
                    "there is no batch to train on: give a data set, or a loader, that is not empty."
                )
        trained = read_progress(last)
        if trainer.is_global_zero:
            told = {**trained._asdict(), "seconds": round(time.perf_counter() - begin, 1)}
            write_text(done, json.dumps(told))
    give_weights(task, read_weights(best, once_more), best)
    task.eval()
    return Fitted(trained.epochs, trained.score, best)


@contextmanager
def _begun(task: L.LightningModule, last: Path) -> Iterator[None]:
    """However a training ends early, the task is left so that the same call goes on from what is saved, or begins anew.

    Of Ctrl-C it raises KeyboardInterrupt. Lightning ends the process instead, and, interrupted before the first step,
    ignores Ctrl-C from then on.
    """
    handler = signal.getsignal(signal.SIGINT)
    modes = {part: part.training for part in task.modules()}
    weights = None if last.exists() else copy.deepcopy(task.state_dict())
    try:
        yield
    except BaseException as error:
        for part, was_training in modes.items():
            part.training = was_training
        for part in task.modules():
            if isinstance(part, Metric):
                part.reset()
        if weights is not None and not last.exists():
            task.load_state_dict(weights)
        if not isinstance(error, SystemExit) or not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        kept = f"goes on from {last}" if last.exists() else "begins anew, for nothing is saved yet"
        raise KeyboardInterrupt(f"training was interrupted: the same call {kept}.") from None


def _callbacks(folder: Path, asked: Asked, save_every: int | None) -> list[Callback]:
    """What keeps the place in the data, writes the files of the folder, and stops early."""
    monitor, mode, patience = (asked.same[name] for name in ("monitor", "mode", "patience"))
    better: dict[str, Any] = {"monitor": monitor, "mode": mode}
    here: dict[str, Any] = {"dirpath": folder, "enable_version_counter": False}
    by_epoch: dict[str, Any] = {**here, "save_on_train_epoch_end": True}
    return [
        Position(),
        History(folder / HISTORY),
        Watch(monitor),
        EarlyStopping(
            **better,
            patience=_NEVER if patience is None else patience,
            stopping_threshold=asked.same["goal"],
            check_on_train_epoch_end=True,
        ),
        ModelCheckpoint(**by_epoch, filename="best", **better),
        ModelCheckpoint(**by_epoch, filename="last"),
        WithinEpochs(**here, filename="last", every_n_train_steps=0 if save_every is None else save_every),
    ]


def test(task: L.LightningModule, data: Any, **options: Any) -> dict[str, float]:
    """The metrics on the test set, by name.

    Args:
        task: as `fit` leaves it.
        data: a data module, or a loader.
        options: of Lightning's `Trainer`.

    Raises:
        TypeError: something else.
        ValueError: no sample.
    """
    _check_loader("data", data, "a data module, or a loader")
    given: dict[str, Any] = (
        {"datamodule": data} if isinstance(data, L.LightningDataModule) else {"dataloaders": data}
    )
    trainer = make_trainer(**{"enable_progress_bar": False, **options})
    scores = trainer.test(task, **given, verbose=False)
    task.eval()
    if not scores:
        raise ValueError(
            "there is no sample to test with: give some, Samples(train, val, test, batches=...)."
        )
    return {name.removeprefix("test_"): value for name, value in scores[0].items()}


def _lower_or_higher(task: nn.Module, monitor: str) -> str:
    """Which value of a metric is better, as it says itself."""
    if monitor.endswith("loss"):
        return "min"
    parts = (part for part in task.modules() if isinstance(part, MetricCollection))
    metrics: dict[str, Any] = {name: metric for part in parts for name, metric in part.items()}
    is_higher = getattr(metrics.get(monitor), "higher_is_better", None)
    if is_higher is None:
        of_metrics = (
            n for n, m in metrics.items() if n.startswith("val_") and m.higher_is_better is not None
        )
        known = ", ".join(["val_loss", *sorted(of_metrics)])
        raise ValueError(
            f"whether a higher {monitor} is better or a lower one is not known: monitor one of {known}, or, if "
            f"{monitor} is what you log, give mode='max' or mode='min'."
        )
    return "max" if is_higher else "min"


def _given(data: Any) -> dict[str, Any]:
    """What a trainer is given to fit."""
    if isinstance(data, L.LightningDataModule):
        return {"datamodule": data}
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"expected a data module, such as Samples(train, val, batches=...), or a pair of loaders, for training and "
            f"validation, got {type(data).__name__}."
        )
    for name, loader in zip(("training", "validation"), data, strict=True):
        if loader is not None and not (isinstance(loader, Sequence) and not len(loader)):
            _check_loader(f"what is for {name}", loader, "a loader")
    return {"train_dataloaders": data[0], "val_dataloaders": data[1]}


def _check_loader(name: str, loader: Any, what: str) -> None:
    """Lightning takes a list for several loaders."""
    if isinstance(loader, list | tuple):
        raise TypeError(
            f"{name} must be {what}, got a {type(loader).__name__}: graphrec.DataLoader(samples, batch_size=...) makes "
            f"a loader of samples, torch.utils.data.DataLoader(batches, batch_size=None) one of batches."
        )


def _check_trained_so(task: L.LightningModule, data: Any, saved: dict[str, Any]) -> None:
    """Raise ValueError unless a finished training, of this checkpoint, was of such a task, with such a sampler."""
    if isinstance(task, Task):
        task.check_trained_so(saved)
    loader = data[0] if isinstance(data, tuple | list) else None
    sampler = data.batches if isinstance(data, Samples) else getattr(loader, "batch_sampler", None)
    kept = saved["callbacks"]["Position"]["loader"]
    if isinstance(sampler, Sampler) and kept:
        check_settings(kept["sampler"], sampler, but_for=["world_size"])


def _tensorboard(folder: Path, steps: int) -> Any:
    """A logger that goes on after so many steps; what a killed run had logged after them does not count."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="", purge_step=steps if steps else None)


def _is_better(score: float, goal: float | None, mode: str) -> bool:
    if goal is None or math.isnan(score):
        return False
    return score > goal if mode == "max" else score < goal

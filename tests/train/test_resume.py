"""A run that is killed and started again ends with the bits of one that was not."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch_geometric.loader import DataLoader as PyGLoader

import graphrec as gr
from graphrec import train
from graphrec.train.callbacks import Position
from tests.train import runs


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else None
    )
    if items is None:
        yield path, value
    else:
        for name, part in items:
            yield from leaves(part, f"{path}/{name}")


def assert_same_files(folder: Path, other: Path) -> None:
    one, two = (dict(leaves(runs.files(where))) for where in (folder, other))
    assert one.keys() == two.keys()
    for name, value in one.items():
        same = torch.equal(value, two[name]) if isinstance(value, torch.Tensor) else value == two[name]
        assert same, name


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a run that was never interrupted, and its events."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, runs.fit(folder)


def kill_and_resume(folder: Path, at: int) -> None:
    assert runs.in_child(lambda: runs.fit(folder, at)) == -signal.SIGKILL
    assert runs.in_child(lambda: runs.fit(folder)) == 0


def nth(events: list[str], name: str, n: int) -> int:
    return next(itertools.islice((i for i, event in enumerate(events) if event == name), n, None))


@pytest.mark.parametrize(
    ("event", "n"),
    [
        ("on_before_optimizer_step", 4),  # in mid-epoch
        ("half written", 2),  # of a checkpoint in mid-epoch
        ("half written", 3),  # of one at the end of an epoch
        ("on_validation_batch_end", 1),
    ],
)
def test_killed_and_resumed(whole, tmp_path, event, n):
    folder, events = whole
    kill_and_resume(tmp_path / "run", nth(events, event, n))
    assert_same_files(tmp_path / "run", folder)
    assert not list((tmp_path / "run").glob("*.part"))


@pytest.mark.slow
def test_killed_at_every_event_and_resumed(whole, tmp_path):
    folder, events = whole
    for at in range(len(events)):
        kill_and_resume(tmp_path / "run", at)
        assert_same_files(tmp_path / "run", folder)
        shutil.rmtree(tmp_path / "run")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where the tests run in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("at", "said"), [(1, "begins anew"), (10, r"goes on from .*last\.ckpt")])
@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_it_says_what_is_kept_and_may_be_interrupted_again(whole, tmp_path, at, said):
    class Interrupt(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == at:
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=said):
        train.fit(runs.task(), runs.samples(), tmp_path, max_epochs=2, callbacks=[Interrupt()])
    assert signal.getsignal(signal.SIGINT) is before
    found = train.fit(runs.task(), runs.samples(), tmp_path, max_epochs=2)
    assert found.score == json.loads((whole[0] / "done.json").read_text())["score"]


class Stop(Callback):
    """Ctrl-C, once: in the second step of an epoch, or in its validation."""

    def __init__(self, hook: str, epoch: int) -> None:
        self.hook, self.epoch = hook, epoch

    def on_train_batch_start(self, trainer, task, batch, number):
        if (self.hook, self.epoch, 1) == ("train", trainer.current_epoch, number):
            signal.raise_signal(signal.SIGINT)

    def on_validation_batch_start(self, trainer, *_):
        if (self.hook, self.epoch) == ("validation", trainer.current_epoch) and not trainer.sanity_checking:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings(r"ignore:Found 1 module\(s\) in eval mode")
@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("hook", ["train", "validation"])
@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_the_same_task_goes_on_in_the_same_process(tmp_path, hook, epoch):
    def run(folder: Path, *callbacks: Callback) -> None:
        task = runs.task()
        task.network.head[0].eval()
        before = [part.training for part in task.modules()]
        if callbacks:
            with pytest.raises(KeyboardInterrupt):
                train.fit(task, runs.samples(), folder, max_epochs=3, callbacks=callbacks)
            assert [part.training for part in task.modules()] == before
        train.fit(task, runs.samples(), folder, max_epochs=3)

    run(tmp_path / "whole")
    run(tmp_path / "interrupted", Stop(hook, epoch))
    assert_same_files(tmp_path / "interrupted", tmp_path / "whole")


def test_a_task_that_was_fitted_is_trained_again_elsewhere(tmp_path):
    class Modes(Callback):
        def on_train_batch_start(self, trainer, task, *_):
            modes.update(part.training for part in task.network.modules())

    task, modes = runs.task(), set()
    train.fit(task, runs.samples(), tmp_path / "first", max_epochs=1)
    assert not task.network.training
    train.fit(task, runs.samples(), tmp_path / "second", max_epochs=1, callbacks=[Modes()])
    assert modes == {True}


def test_a_finished_run_is_not_trained_again(whole, capsys):
    folder, _ = whole
    task = runs.task()
    nn.init.zeros_(task.network.head[1].weight)
    found = train.fit(task, runs.samples(), folder, max_epochs=2)
    assert found.epochs == 2
    assert "trained already, 2 epochs. Delete the folder" in capsys.readouterr().out
    best = torch.load(folder / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, best[name]) for name, value in task.state_dict().items())
    assert not task.training
    assert json.loads((folder / "done.json").read_text())["score"] == found.score


@pytest.fixture
def interrupted(whole, tmp_path) -> Path:
    """A run in its second epoch."""
    folder = tmp_path / "run"
    assert (
        runs.in_child(lambda: runs.fit(folder, nth(whole[1], "on_train_batch_start", 10))) == -signal.SIGKILL
    )
    return folder


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": lambda: runs.task(seed=1)}, "with seed 0, this task has 1"),
        ({"task": lambda: runs.task(rule=gr.learning.BPTT())}, "with rule TruncatedBPTT"),
        ({"task": lambda: runs.task(lr=0.1)}, r"had lr=0\.\d+ \(here 0\.1\): give the same"),
        ({"data": lambda: runs.samples(max_nodes=60)}, r"max_nodes=40 \(here 60\)"),
    ],
)
def test_going_on_otherwise_is_refused(interrupted, given, said):
    task, data = given.get("task", runs.task)(), given.get("data", runs.samples)()
    with pytest.raises(ValueError, match=said):
        train.fit(task, data, interrupted, max_epochs=2, save_every=2)


def test_going_on_in_mid_epoch_with_a_loader_that_cannot_is_refused(interrupted):
    loaders = PyGLoader(runs.trees(20), 3), PyGLoader(runs.trees(5), 5)
    with pytest.raises(ValueError, match=r"with a sampler of graphrec\.loader, and this one is without"):
        train.fit(runs.task(), loaders, interrupted, max_epochs=2)
    position = Position()
    position.load_state_dict({"loader": {}, "batches": 3})
    with pytest.raises(ValueError, match="after 3 batches of an epoch, and this loader cannot begin"):
        position.on_train_start(SimpleNamespace(train_dataloader=loaders[0]), runs.task())
    position.load_state_dict({"loader": {}, "batches": 0})
    with pytest.raises(ValueError, match=r"without a sampler of graphrec\.loader, and this one is with"):
        position.on_train_start(
            SimpleNamespace(train_dataloader=runs.samples().train_dataloader()), runs.task()
        )


@pytest.mark.parametrize("how", ["cut", "empty"])
def test_damaged_files_are_named(interrupted, how):
    last = interrupted / "last.ckpt"
    os.truncate(last, last.stat().st_size // 2 if how == "cut" else 0)
    with pytest.raises(
        train.DamagedFileError, match=r"last\.ckpt is damaged .*Delete it to train from the first epoch"
    ):
        train.fit(runs.task(), runs.samples(), interrupted, max_epochs=2)


def test_early_stopping_is_remembered(tmp_path):
    """One that stopped early, and was killed before it had said so, is not taken up again."""
    options: dict[str, Any] = {"max_epochs": 30, "patience": 2, "monitor": "val_accuracy", "save_every": None}
    folder = tmp_path / "run"
    runs.fit(folder, **options)
    rows = (folder / "history.csv").read_text()
    epochs = json.loads((folder / "done.json").read_text())["epochs"]
    assert epochs == len(rows.splitlines()) - 1 < 30
    (folder / "done.json").unlink()
    runs.fit(folder, **options)
    assert (folder / "history.csv").read_text() == rows


def test_what_fit_has_to_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="fit takes no limit_train_batches"):
        train.fit(runs.task(), runs.samples(), tmp_path, max_epochs=1, limit_train_batches=2)


def test_checkpoints_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "last.ckpt"
    train.AtomicCheckpointIO().save_checkpoint({"epoch": torch.tensor(1)}, path)
    with pytest.raises(Exception, match="pickle"):
        train.AtomicCheckpointIO().save_checkpoint({"epoch": (n for n in range(3))}, path)
    assert torch.load(path, weights_only=True) == {"epoch": torch.tensor(1)}


def test_tensorboard_and_history(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runs.fit(tmp_path, tensorboard=True, log_every_n_steps=1)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    shown = [event.value for event in events.Scalars("val_loss")]
    rows = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()]
    column = rows[0].index("val_loss")
    assert shown == pytest.approx([float(row[column]) for row in rows[1:]])

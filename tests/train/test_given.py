"""What `fit` and tasks are given is used or refused, with what was expected, before an epoch of training."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch_geometric.data import Data
from torchmetrics import MeanAbsoluteError, MeanSquaredError

import graphrec as gr
from graphrec import train
from graphrec.train import files, trainer
from graphrec.train.fitting import _lower_or_higher
from tests.train.runs import in_child, trees


def task(head: int = 2, width: int = 4, seed: int = 0, **given: Any) -> train.GraphTask:
    torch.manual_seed(0)
    settings = {"objective": train.classification(head), "seed": seed, **given}
    return train.GraphTask(gr.TreeLSTM(3, width), gr.readout.root, nn.Linear(width, head), **settings)


def samples(count: int = 8, held_out: int = 3, **changed: Any) -> train.Samples:
    data = trees(count + held_out)
    for tree in data:
        for name, value in changed.items():
            tree[name] = value
    return train.Samples(data[:count], data[count:], batches=4)


def fit(folder: Path, given: Any = None, data: Any = None, **options: Any) -> train.Fitted:
    settings = {"max_epochs": 1, **options}
    return train.fit(given or task(), data or samples(), folder, **settings)


def epochs(folder: Path) -> int:
    """How many have been trained."""
    rows = folder / "history.csv"
    return len(rows.read_text().splitlines()) - 1 if rows.exists() else 0


def shown(given: train.Task) -> str:
    """What a task says of a tree."""
    return str(given.network.eval()(trees(1)[0]).tolist())


def falling(optimizer: Any, steps: int) -> Any:
    return torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"max_epochs": 0}, ValueError, "max_epochs must be 1 or more"),
        ({"patience": 0}, ValueError, "patience must be 1 or more"),
        ({"save_every": 0}, ValueError, "save_every must be 1 or more"),
        ({"mode": "maximum"}, ValueError, "mode must be 'min' or 'max'"),
        (
            {"monitor": "val_acc"},
            ValueError,
            "monitor one of val_loss, val_accuracy, or, if val_acc is what you log",
        ),
        (
            {"monitor": "val_acc", "mode": "max"},
            ValueError,
            "one of what is logged, train_loss, val_accuracy, val_loss; got",
        ),
        ({"given": nn.Linear(1, 1)}, TypeError, "task must be a task, .* got Linear"),
        ({"monitor": None}, TypeError, "monitor must be the name of what is logged"),
        ({"goal": "0.9"}, TypeError, "goal must be a number"),
        ({"goal": float("nan")}, ValueError, "goal must be a finite number"),
        ({"callbacks": None}, TypeError, "callbacks must be a list"),
        ({"tensorboard": "no"}, TypeError, "tensorboard must be True or False"),
        ({"max_time": "00:00:01:00"}, ValueError, "fit takes no max_time"),
        ({"max_steps": 3}, ValueError, "fit takes no max_steps"),
        ({"fast_dev_run": True}, ValueError, "fit takes no fast_dev_run"),
        ({"overfit_batches": 1}, ValueError, "fit takes no overfit_batches"),
        ({"check_val_every_n_epoch": 2}, ValueError, "fit takes no check_val_every_n_epoch"),
        (
            {"data": gr.DataLoader(trees(4), batch_size=2)},
            TypeError,
            "or a pair of loaders, .* got DataLoader",
        ),
        ({"data": (trees(4), None)}, TypeError, "what is for training must be a loader, got a list"),
    ],
)
def test_refusals_of_fit(tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        fit(tmp_path / "run", **options)
    assert not (tmp_path / "run" / "last.ckpt").exists()


@pytest.mark.filterwarnings("ignore:Total length of")
def test_no_sample_to_train_validate_or_test_with(tmp_path):
    with pytest.raises(ValueError, match="there is no batch to train on"):
        fit(tmp_path / "run", data=train.Samples([], trees(3), batches=2))
    assert not (tmp_path / "run" / "done.json").exists()
    alone = train.Samples(trees(4), batches=2)
    with pytest.raises(ValueError, match="there is no sample to validate with"):
        fit(tmp_path / "run", data=alone)
    assert not epochs(tmp_path / "run")
    assert fit(tmp_path / "run", data=alone, monitor="train_loss").epochs == 1
    with pytest.raises(ValueError, match="there is no sample to test with"):
        train.test(task(), alone)
    with pytest.raises(TypeError, match="a data module, or a loader, got a list"):
        train.test(task(), trees(3))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"monitor": "val_accuracy"}, r"monitor='val_loss' \(here 'val_accuracy'\)"),
        ({"patience": 3}, r"patience=None \(here 3\)"),
        ({"goal": 0.1}, r"goal=None \(here 0.1\)"),
        ({"max_epochs": 1}, "has a training of 2 epochs, and max_epochs is 1"),
        (
            {"max_epochs": 3, "given": partial(task, scheduler=falling)},
            "for which its schedule of the rate was made",
        ),
        ({"given": partial(task, seed=7)}, "with seed 0, this task has 7"),
        ({"given": partial(task, rule=gr.learning.BPTT())}, "with rule None, this task has BPTT"),
        (
            {"given": partial(task, optimizer=partial(torch.optim.AdamW, lr=1.0))},
            r"had lr=[\d.]+ \(here 1\.0\)",
        ),
        ({"given": partial(task, width=5)}, "has the weights of another model"),
        ({"data": partial(samples, 7)}, r"num_samples=8 \(here 7\)"),
    ],
)
@pytest.mark.parametrize("is_done", [True, False])
def test_another_training_in_the_folder_of_one(tmp_path, given, said, is_done):
    made = {name: value() if callable(value) else value for name, value in given.items()}
    fit(tmp_path, task(scheduler=falling) if "schedule" in said else None, max_epochs=2)
    if not is_done:
        (tmp_path / "done.json").unlink()
    if (
        not is_done
        and not {"monitor", "patience", "goal", "max_epochs"} & made.keys()
        and "model" not in said
    ):
        return  # it is looked at when the training goes on, of which there is nothing left
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=said):
        fit(tmp_path, **{"max_epochs": 2, **made})
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_more_epochs_go_on(tmp_path):
    fit(tmp_path / "whole", max_epochs=3)
    fit(tmp_path / "run", max_epochs=1)
    assert fit(tmp_path / "run", max_epochs=3).epochs == 3
    for name in ("last.ckpt", "best.ckpt"):
        one, two = (torch.load(tmp_path / run / name, weights_only=True) for run in ("whole", "run"))
        assert all(torch.equal(value, two["state_dict"][key]) for key, value in one["state_dict"].items())
    assert (tmp_path / "whole" / "history.csv").read_text() == (tmp_path / "run" / "history.csv").read_text()
    (tmp_path / "run" / "last.ckpt").unlink()
    with pytest.raises(train.DamagedFileError, match="Without it there is no going on"):
        fit(tmp_path / "run", max_epochs=4)


def squares(rows: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (rows.sum(1) - y) ** 2


def with_nan() -> tuple[train.Task, train.Samples]:
    data = samples()
    data.train[1].x[0, 0] = torch.nan
    return task(objective=train.Objective(squares, {})), data


def with_a_rate_too_high() -> tuple[train.Task, train.Samples]:
    return task(
        objective=train.Objective(squares, {}), optimizer=partial(torch.optim.SGD, lr=1e38)
    ), samples()


def with_an_empty_mask() -> tuple[train.Task, train.Samples]:
    data = Data(x=torch.randn(3, 3), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 1, 0]))
    data.train_mask, data.val_mask = torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)
    given = train.NodeTask(gr.TreeLSTM(3, 4), None, train.Objective(squares, {}))
    return given, train.Samples([data], [data], batches=1)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric MeanMetric was called before")
@pytest.mark.parametrize("make", [with_nan, with_a_rate_too_high, with_an_empty_mask])
def test_what_is_no_number_ends_a_training(tmp_path, make):
    with pytest.raises(
        FloatingPointError, match=r"_loss is (nan|inf) in epoch 1: inputs or targets with NaN"
    ):
        fit(tmp_path, *make())
    assert not (tmp_path / "last.ckpt").exists()
    assert not (tmp_path / "done.json").exists()


def test_which_value_of_a_metric_is_better():
    metrics = {"mse": MeanSquaredError(), "gap": MeanAbsoluteError()}
    given = task(objective=train.classification(2, metrics=metrics))
    found = {name: _lower_or_higher(given, f"val_{name}") for name in ("loss", "accuracy", "mse", "gap")}
    assert found == {"loss": "min", "accuracy": "max", "mse": "min", "gap": "min"}


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (
            lambda: task(optimizer=torch.optim.SGD(nn.Linear(1, 1).parameters(), 1.0)),
            TypeError,
            "optimizer must be",
        ),
        (lambda: task(scheduler="cosine"), TypeError, "scheduler must be a function"),
        (lambda: task(objective=train.Objective(None, {})), TypeError, "loss must be a function"),
        (lambda: task(objective=train.Objective("mse", {})), TypeError, "loss must be a function"),
        (
            lambda: task(objective=train.classification(2, metrics={"loss": MeanSquaredError()})),
            ValueError,
            "no metric may be named loss",
        ),
        (
            lambda: train.classification(2, weight=[1.0, 2.0]),
            TypeError,
            r"a tensor \[C\] of floats, got list",
        ),
        (lambda: train.classification(2, weight=torch.tensor([1, 2])), TypeError, "got torch.int64"),
        (
            lambda: train.classification(2, weight=torch.tensor([-1.0, 1.0])),
            ValueError,
            "weight must be finite and 0 or more, got",
        ),
        (lambda: train.classification(2, label_smoothing=3.0), ValueError, "from 0 to 1, got 3.0"),
        (
            lambda: train.Samples(trees(5), batches=gr.loader.BalancedSampler(trees(4), 20)),
            ValueError,
            "of 4 samples, and there are 5",
        ),
        (
            lambda: train.Samples(trees(5), batches=gr.loader.ShuffledSampler(5, 2), seed=1),
            ValueError,
            r"that of the sampler: ShuffledSampler\(..., seed=1\)",
        ),
        (lambda: train.join_sequences([(np.ones(3), 1, 2)]), TypeError, r"pairs \(x, y\), got 3 parts"),
        (
            lambda: train.join_sequences([(np.ones((3, n)), 1) for n in (1, 2)]),
            ValueError,
            "steps are of one width",
        ),
        (lambda: gr.DataLoader([], collate_fn=len, follow_batch=["x"]), ValueError, "are for PyG's batches"),
    ],
)
def test_refusals_before_any_training(make, error, said):
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            {"data": partial(samples, y=torch.tensor([-100]))},
            ValueError,
            "classes are 0 to 1, got -100 to -100",
        ),
        ({"data": partial(samples, y=torch.tensor([2]))}, ValueError, "classes are 0 to 1, got 2 to 2"),
        ({"data": partial(samples, y=None)}, ValueError, "the batch has no targets y"),
        (
            {"given": partial(task, objective=train.Objective(lambda rows, y: rows.sum(1)[:, None] - y, {}))},
            ValueError,
            r"for each of 3 rows, got losses of shape \(3, 3\)",
        ),
        (
            {"given": partial(task, objective=train.Objective(lambda rows, y: 0.0, {}))},
            TypeError,
            "got float",
        ),
        (
            {"given": partial(task, scheduler=lambda optimizer, steps: None)},
            TypeError,
            "must return a scheduler",
        ),
    ],
)
def test_refusals_before_an_epoch(tmp_path, given, error, said):
    with pytest.raises(error, match=said):
        fit(tmp_path, **{name: make() for name, make in given.items()})
    assert not epochs(tmp_path)


def test_a_metric_that_does_not_fit_is_named(tmp_path):
    given = task(objective=train.classification(2, metrics={"far": MeanSquaredError()}))
    with pytest.raises(RuntimeError) as found:
        fit(tmp_path, given)
    assert (
        "The metric 'far' was given outputs of shape (3, 2) and targets of shape (3,)"
        in found.value.__notes__[0]
    )


MASK = torch.tensor([True, False, True])


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"train_mask": MASK.long()}, r"\[N\] bool, got torch.int64 \(3,\): mask.bool\(\)"),
        ({"train_mask": MASK[:, None].expand(3, 4)}, r"got torch.bool \(3, 4\)"),
        ({"train_mask": MASK[:2]}, r"got torch.bool \(2,\)"),
        ({"val_mask": MASK}, "has val_mask and no train_mask, without which"),
    ],
)
def test_masks_that_say_nothing_of_a_stage(masks, said):
    data = Data(x=torch.randn(3, 3), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0, 1, 0]), **masks)
    given = train.NodeTask(gr.TreeLSTM(3, 4), nn.Linear(4, 2), train.classification(2))
    with pytest.raises(ValueError, match=said):
        given.rows(data, "train")


def test_targets_of_as_many_numbers_as_each_sequence_has_steps():
    given = train.SequenceTask(gr.GRU(2, 4), gr.readout.last, nn.Linear(4, 3), train.regression())
    for lengths in ((3, 3), (3, 2)):
        pairs = [(torch.randn(n, 2), torch.randn(3)) for n in lengths]
        outputs, y = given.rows(train.join_sequences(pairs), "train")
        assert torch.equal(y, torch.stack([y for _, y in pairs]))
        assert outputs.shape == y.shape


def test_chunks_of_streams(tmp_path):
    def stream() -> train.StreamTask:
        return train.StreamTask(gr.LSTM(3, 4), nn.Linear(4, 1), train.regression())

    chunks = [(torch.full((2, 5, 3), float(i)), torch.randn(2, 5, 1)) for i in range(3)]
    order = gr.loader.InOrderSampler(3, 1)
    first = {"collate_fn": lambda pairs: pairs[0]}
    in_order = train.Samples(chunks, chunks, batches=order, **first)
    for loader in (in_order.train_dataloader(), in_order.val_dataloader()):
        assert [float(x[0, 0, 0]) for x, _ in loader] == [0, 1, 2]
    with pytest.raises(ValueError, match="ShuffledSampler draws another order"):
        fit(tmp_path, stream(), train.Samples(chunks, chunks, batches=1, **first))
    with pytest.raises(ValueError, match=r"a target for each step, y \[B, T, ·\], got y of shape \(2, 4\)"):
        stream().rows((torch.randn(2, 5, 3), torch.randn(2, 4)), "train")


def test_a_checkpoint_that_could_not_be_read_is_noticed_when_it_is_written(tmp_path):
    given = task(optimizer=partial(torch.optim.SGD, lr=np.float64(1e-2)))
    with pytest.raises(
        TypeError, match=r"holds numpy\S*, which is not read with weights_only=True.*float\(lr\)"
    ):
        fit(tmp_path, given, max_epochs=2)
    assert not (tmp_path / "last.ckpt").exists()


def test_weights_of_another_model_are_not_called_damaged(tmp_path):
    fit(tmp_path)
    with pytest.raises(ValueError, match=r"best\.ckpt has the weights of another model(.|\n)*size mismatch"):
        train.load_weights(task(width=5), tmp_path / "best.ckpt")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    for name in ("other.pt", "nothing.ckpt"):
        with pytest.raises(train.DamagedFileError, match="Give the path of another checkpoint"):
            train.load_weights(task(), tmp_path / name)


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file: name a folder"):
        fit(tmp_path / "file")
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="cannot be written to"):
        fit(tmp_path / "run")


def test_two_processes_in_one_folder(tmp_path):
    class Twice(Callback):
        def on_train_epoch_start(self, *others: Any) -> None:
            def refused() -> None:
                with pytest.raises(RuntimeError, match="another process trains in"):
                    fit(tmp_path)

            assert in_child(refused) == 0

    assert fit(tmp_path, callbacks=[Twice()]).epochs == 1


def test_as_many_devices_as_torchrun_has_started(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    assert trainer._started() == {"devices": 3, "num_nodes": 2}
    with pytest.raises(ValueError, match="6 processes were started, and devices=1, num_nodes=2 are for 2"):
        train.make_trainer(devices=1)


@pytest.mark.slow
def test_a_checkpoint_is_loaded_in_a_new_process(tmp_path):
    fit(tmp_path)
    code = f"""
from graphrec import train
from tests.train import test_given
given = test_given.task(seed=3)
train.load_weights(given, {str(tmp_path / "best.ckpt")!r})
print(test_given.shown(given))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    given = task()
    train.load_weights(given, tmp_path / "best.ckpt")
    assert said.stdout.strip() == shown(given), said.stderr

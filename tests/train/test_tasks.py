"""Tasks minimise and measure what they say, on nodes, graphs and sequences, by any learning rule."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import graphrec as gr
from graphrec import train
from graphrec.learning import BPTT, RTRL, EProp, Online, SnAp1, Stream, TruncatedBPTT
from tests.tolerances import assert_close
from tests.train.runs import trees

QUIET: dict[str, Any] = {"enable_progress_bar": False}


def loss_of(task: train.Task, batch: Any) -> torch.Tensor:
    """The loss of a training step, without a trainer."""
    task.log = task.log_dict = lambda *given, **named: None  # type: ignore[method-assign]
    return task.training_step(batch, 0)


@pytest.mark.parametrize("stage", ["train", "val", "test"])
def test_nodes_that_count(stage):
    data = Data(x=torch.randn(6, 3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]), y=torch.arange(6) % 2)
    mask = torch.tensor([True, False, True, True, False, False])
    task = train.NodeTask(gr.TreeLSTM(3, 4), nn.Linear(4, 2), train.classification(2))
    assert len(task.rows(data, stage)[1]) == 6
    data[f"{stage}_mask"] = mask
    outputs, y = task.rows(data, stage)
    assert torch.equal(y, data.y[mask])
    expected = task(data)[mask]
    assert torch.equal(outputs, expected)
    if stage == "train":
        assert_close(loss_of(task, data), nn.functional.cross_entropy(expected, y))
    data.target_index = torch.tensor([5])  # of a cone
    assert torch.equal(task.rows(data, stage)[1], data.y[5:])


def test_targets_of_graphs():
    batch = Batch.from_data_list(trees(5))
    task = train.GraphTask(
        gr.TreeLSTM(3, 4), gr.readout.root, nn.Linear(4, 2), train.classification(2, label_smoothing=0.2)
    )
    logits = task(batch)
    assert_close(loss_of(task, batch), nn.functional.cross_entropy(logits, batch.y, label_smoothing=0.2))
    task.eval()
    assert_close(task.loss(logits, batch.y).mean(), nn.functional.cross_entropy(logits, batch.y))


@pytest.mark.parametrize("per", ["sequence", "step"])
def test_targets_of_sequences_and_of_steps(per):
    lengths, draw = (4, 1, 3), torch.Generator().manual_seed(0)
    pairs = [
        (
            np.ones((n, 2), dtype=np.float32) * n,
            torch.randn(n if per == "step" else 1, 1, generator=draw)[: n if per == "step" else None].squeeze(
                0 if per == "sequence" else ()
            ),
        )
        for n in lengths
    ]
    batch = train.join_sequences(pairs)
    assert batch.num_graphs == 3
    readout = gr.readout.last if per == "sequence" else None
    task = train.SequenceTask(gr.GRU(2, 4), readout, nn.Linear(4, 1), train.regression())
    outputs, y = task.rows(batch, "train")
    assert y.shape == ((3, 1) if per == "sequence" else (8, 1))
    for i, n in enumerate(lengths):  # as each alone
        alone = task.network.model(torch.as_tensor(pairs[i][0]), gr.chain(n))
        begin = sum(lengths[:i])
        mine = outputs[i : i + 1] if per == "sequence" else outputs[begin : begin + n]
        assert_close(mine, task.network.head(alone[-1:] if per == "sequence" else alone))
    assert_close(loss_of(task, batch), nn.functional.mse_loss(outputs, y))


@pytest.mark.parametrize(
    "rule",
    [None, BPTT(), BPTT(recompute=2), TruncatedBPTT(1), TruncatedBPTT(9), RTRL(), SnAp1(), EProp()],
    ids=repr,
)
def test_any_rule_gives_its_gradients(rule):
    """As `rule.gradients` does, which is tested elsewhere."""
    torch.manual_seed(0)
    batch = train.join_sequences([(torch.randn(n, 2), torch.randn(n, 1)) for n in (4, 2)])
    task = train.SequenceTask(gr.SRN(2, 3), None, nn.Linear(3, 1), train.regression(), rule=rule)
    torch.manual_seed(1)
    loss_of(task, batch).backward()
    found = {name: p.grad for name, p in task.network.model.named_parameters()}
    again = gr.SRN(2, 3)
    again.load_state_dict(task.network.model.state_dict())
    torch.manual_seed(1)
    head = task.network.head
    (rule or BPTT()).gradients(
        again, batch.structure, batch.x, lambda h: nn.functional.mse_loss(head(h), batch.y)
    )
    for name, p in again.named_parameters():
        assert_close(found[name], p.grad, name)


class Plain(nn.Module):
    def forward(self, x: torch.Tensor, s: Any) -> torch.Tensor:
        return x


class Idle(Plain):
    """Has a cell that it does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = gr.SRNCell(3, 3)


def made(**given: Any) -> train.Task:
    settings = {
        "model": gr.TreeLSTM(3, 4),
        "readout": gr.readout.root,
        "head": nn.Linear(4, 2),
        "objective": train.classification(2),
    }
    return train.GraphTask(**{**settings, **given})


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"rule": TruncatedBPTT}, TypeError, r"rule is a class, TruncatedBPTT: give one of it"),
        ({"rule": "bptt"}, TypeError, "must be a graphrec.learning.Rule, got str"),
        ({"rule": Stream(gr.SRN(2, 3))}, TypeError, "StreamTask makes one"),
        ({"rule": Online(RTRL(), gr.SRN(2, 3))}, TypeError, "in the middle of a run"),
        ({"rule": BPTT(), "model": Plain()}, ValueError, "has no cell"),
        ({"model": gr.SRNCell(2, 3)}, TypeError, "got the cell SRNCell"),
        ({"objective": nn.CrossEntropyLoss()}, TypeError, r"such as classification\(5\)"),
        ({"readout": "mean"}, TypeError, "readout must be a function or module, got str"),
    ],
)
def test_refusals_of_tasks(given, error, said):
    with pytest.raises(error, match=said):
        made(**given)


@pytest.mark.parametrize(
    ("given", "change", "said"),
    [
        ({}, {"y": torch.zeros(9, dtype=torch.long)}, "got 3 rows of outputs and targets y of shape"),
        ({"readout": None}, {}, "a target for each graph goes with a readout"),
        ({"inputs": "token"}, {}, "the batch, a DataBatch, has no 'token'"),
        ({}, {"y": torch.zeros(3, 1)}, r"expected logits \[M, 2\] and classes \[M\]"),
        (
            {"objective": train.regression()},
            {"y": torch.zeros(3)},
            r"shape of the targets, \(3,\), got \(3, 2\)",
        ),
        (
            {"rule": BPTT(), "model": Idle(), "head": nn.Linear(3, 2)},
            {},
            "no run of Network was handed to BPTT",
        ),
    ],
)
def test_refusals_of_batches(given, change, said):
    batch = Batch.from_data_list(trees(3))
    for name, value in change.items():
        batch[name] = value
    with pytest.raises(ValueError, match=said):
        loss_of(made(**given), batch)
    floats = Batch.from_data_list(trees(3))
    floats.y = floats.y.float()
    with pytest.raises(TypeError, match=r"classes are whole numbers, torch\.long, got torch\.float32"):
        loss_of(made(), floats)


def test_means_of_an_epoch_are_over_rows_whatever_the_batches(tmp_path):
    data = trees(10)
    task = made(optimizer=partial(torch.optim.SGD, lr=0.0)).double()
    for tree in data:
        tree.x = tree.x.double()
    samples = train.Samples(data, data[:7], data, batches=4)
    train.fit(task, samples, tmp_path, max_epochs=1, **QUIET)
    rows = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()]
    told = dict(zip(*rows, strict=True))
    for name, part in (("train_loss", data), ("val_loss", data[:7])):
        batch = Batch.from_data_list(part)
        expected = nn.functional.cross_entropy(task(batch), batch.y)
        assert float(told[name]) == pytest.approx(float(expected.detach()), rel=1e-6)
    right = (task(Batch.from_data_list(data)).argmax(1) == Batch.from_data_list(data).y).float().mean()
    assert train.test(task, samples)["accuracy"] == pytest.approx(float(right))


def chunks(count: int = 8, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(2, 3, 2, generator=draw), torch.randn(2, 3, 1, generator=draw)) for _ in range(count)
    ]


def stream_loader() -> gr.DataLoader:
    made = gr.DataLoader(chunks(), batch_sampler=gr.loader.InOrderSampler(8, 1))
    made.collate_fn = lambda samples: samples[0]
    return made


def test_a_stream_carries_its_states_and_resumes_with_them(tmp_path):
    def task() -> train.StreamTask:
        torch.manual_seed(0)
        return train.StreamTask(
            gr.LSTM(2, 4), nn.Linear(4, 1), train.regression(), rule=TruncatedBPTT(6, every=3)
        )

    both = [(x, y) for x, y in chunks(2)]
    one = task()
    rows = [one.rows(batch, "train")[0].unflatten(0, (2, 3)) for batch in both]
    whole = task().rows((torch.cat([x for x, _ in both], 1), torch.cat([y for _, y in both], 1)), "train")[0]
    assert_close(torch.cat(rows, dim=1).detach(), whole.unflatten(0, (2, 6)).detach())

    def fit(folder: Any, stops: bool = False) -> dict[str, torch.Tensor]:
        class Stops(train.EpochLines):
            def on_train_batch_start(self, trainer: Any, *others: Any) -> None:
                if stops and trainer.global_step == 13:
                    raise KeyboardInterrupt

        made = task()
        loaders = stream_loader(), stream_loader()
        options = {"max_epochs": 2, "save_every": 2, "callbacks": [Stops()], **QUIET}
        try:
            train.fit(made, loaders, folder, **options)
        except (KeyboardInterrupt, SystemExit):
            assert stops
        return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]

    expected = fit(tmp_path / "whole")
    fit(tmp_path / "run", stops=True)
    found = fit(tmp_path / "run")
    for name, weight in expected.items():
        assert torch.equal(found[name], weight), name

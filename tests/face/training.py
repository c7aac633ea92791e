"""Training, what of it is cheap to call: samples, objectives and tasks. (`fit` has tests/train.)"""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn

import graphrec as gr
from graphrec import train
from tests.face.entry import Arguments, Entry, given, is_sound, same, small, truth

OBJECTIVES = st.builds(train.classification, st.just(4)) | st.builds(train.regression)
WITH_HEAD: dict[str, Any] = {
    "model": st.builds(gr.GRU, st.just(2), st.just(3)),
    "head": st.builds(nn.Linear, st.just(3), st.just(4)),
    "objective": OBJECTIVES,
    "rule": st.sampled_from([None, gr.learning.BPTT(), gr.learning.TruncatedBPTT(2)]),
    "seed": st.integers(0, 3),
}
READOUT = st.sampled_from([gr.readout.last, gr.readout.mean])
LABELS = torch.tensor([0, 3])


@st.composite
def pairs(draw: Any) -> Arguments:
    """Sequences with a target each, or with one for each step."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    for_each_step = draw(truth)
    return {
        "samples": [
            (torch.randn(length, 2), torch.zeros(length) if for_each_step else torch.tensor(1))
            for length in lengths
        ]
    }


def joined(batch: train.SequenceBatch, arguments: Arguments) -> None:
    same(batch.x, torch.cat([x for x, _ in arguments["samples"]]))
    assert batch.num_graphs == len(arguments["samples"])
    is_sound(batch.structure)


def has_losses(objective: train.Objective, arguments: Arguments) -> None:
    """A loss of zero or more for each row."""
    classes: Any = arguments.get("num_classes")
    outputs = torch.randn(2, 3 if classes is None else classes)
    y = torch.randn(2, 3) if classes is None else torch.tensor([0, classes - 1])
    for loss in (objective.loss, objective.smoothed or objective.loss):
        assert loss(outputs, y).shape[0] == 2
        assert bool((loss(outputs, y) >= 0).all())
    for metric in objective.metrics.values():
        assert metric(outputs, y).isfinite()


def batch_of(of: str, objective: train.Objective) -> Any:
    """What a task is given: targets of nodes, of sequences, or of steps of streams, as the objective wants them."""
    is_regression = "rmse" in objective.metrics
    y = torch.zeros(2, 4) if is_regression else LABELS
    if of == "sequences":
        return train.SequenceBatch(torch.randn(5, 2), gr.chains([2, 3]), y)
    if of == "streams":
        return torch.randn(2, 1, 2), y[:, None]
    data = gr.to_pyg(gr.chains([2]) if of == "nodes" else gr.chains([2, 3]))
    data.x, data.y = torch.randn(int(data.num_nodes or 0), 2), y
    return data


def learns_from(of: str) -> Any:
    """A task has a finite loss of its batches, whose gradients reach the model."""

    def promise(task: train.Task, arguments: Arguments) -> None:
        outputs, y = task.rows(batch_of(of, arguments["objective"]), "train")
        loss = task.loss(outputs, y).mean()
        loss.backward()
        assert loss.isfinite()
        assert all(weight.grad is not None for weight in arguments["model"].parameters())

    return promise


def in_batches(samples: train.Samples, arguments: Arguments) -> None:
    """All samples, in batches of that size."""
    assert sum(batch.num_graphs for batch in samples.train_dataloader()) == len(arguments["train"])
    assert sum(batch.num_graphs for batch in samples.val_dataloader()) == len(arguments["val"])


DATA = st.lists(st.builds(gr.chain, small), min_size=1, max_size=4)
TRAINING: dict[str, Entry] = {
    "train.EpochLines": Entry(given(), is_sound),
    "train.GraphTask": Entry(given(**WITH_HEAD, readout=READOUT), learns_from("graphs")),
    "train.NodeTask": Entry(given(**WITH_HEAD), learns_from("nodes")),
    "train.Samples": Entry(
        given(train=DATA, val=DATA, batches=small, seed=st.none() | st.integers(0, 3)), in_batches
    ),
    "train.SequenceTask": Entry(given(**WITH_HEAD, readout=READOUT), learns_from("sequences")),
    "train.StreamTask": Entry(given(**WITH_HEAD), learns_from("streams")),
    "train.Task": Entry(
        given(network=st.builds(nn.Linear, st.just(2), st.just(2)), objective=OBJECTIVES, seed=0), is_sound
    ),
    "train.classification": Entry(
        given(
            num_classes=st.integers(2, 4),
            label_smoothing=st.sampled_from([0.0, 0.1]),
            metrics=st.sampled_from([None, {}]),
        )
        | given(num_classes=3, weight=torch.ones(3)),
        has_losses,
    ),
    "train.join_sequences": Entry(pairs(), joined),
    "train.regression": Entry(given(metrics=st.sampled_from([None, {}])), has_losses),
}
CALLS_OF_TRAINING: dict[str, Entry] = {
    "classification().loss": Entry(
        given(outputs=torch.randn(2, 4), y=LABELS), is_sound, train.classification(4).loss
    ),
    "regression().loss": Entry(
        given(outputs=torch.randn(2, 4), y=torch.zeros(2, 4)), is_sound, train.regression().loss
    ),
}

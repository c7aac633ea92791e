"""A small training, in a child process that may be told to die at any of its events."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch_geometric.data import Data

import graphrec as gr
from graphrec import train
from graphrec.learning import TruncatedBPTT

# Hooks of Lightning at which a run may be killed.
EVENTS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_optimizer_step", "on_train_epoch_start"),
    *("on_train_epoch_end", "on_validation_start", "on_validation_batch_end", "on_validation_end"),
)


def in_child(function: Callable[[], Any]) -> int:
    """Run it in a forked process, which has imported all this already; returns its exit status, negative: a signal."""
    child = os.fork()
    if not child:
        try:
            function()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status)


def trees(count: int, seed: int = 0) -> list[Data]:
    """Balanced trees of different sizes, and whether the sum of their features is positive."""
    draw, found = torch.Generator().manual_seed(seed), []
    for i in range(count):
        data = gr.transforms.AddLevels()(gr.to_pyg(gr.balanced([3 + i % 7])))
        data.x = torch.randn(int(data.num_nodes or 0), 3, generator=draw)
        data.y = (data.x.sum() > 0).long()[None]
        found.append(data)
    return found


def task(seed: int = 0, rule: Any = None, lr: float = 1e-2) -> train.GraphTask:
    """A Tree-LSTM with dropout, and a rate that falls."""
    torch.manual_seed(seed)
    head = nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 2))
    return train.GraphTask(
        gr.TreeLSTM(3, 4),
        gr.readout.root,
        head,
        train.classification(2, label_smoothing=0.1),
        rule=TruncatedBPTT(2) if rule is None else rule,
        optimizer=partial(torch.optim.AdamW, lr=lr),
        scheduler=lambda optimizer, steps: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps),
        seed=seed,
    )


def samples(max_nodes: int = 40) -> train.Samples:
    """Batches balanced by nodes and levels."""
    data = trees(30)
    return train.Samples(
        data[:20], data[20:25], data[25:], batches=gr.loader.BalancedSampler(data[:20], max_nodes, seed=1)
    )


class DiesAt(Callback):
    """Kills its process at the n-th event; counts events, and is called for those of writing files, too."""

    def __init__(self, n: int | None) -> None:
        self.n, self.seen = n, list[str]()
        for name in EVENTS:
            setattr(self, name, partial(self.happens, name))

    def happens(self, name: str, *args: Any, **kwargs: Any) -> None:
        if self.n is not None and len(self.seen) == self.n:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(name)


def fit(folder: Path, dies_at: int | None = None, **options: Any) -> list[str]:
    """Train; returns the events that happened."""
    dying, save, replace = DiesAt(dies_at), torch.save, os.replace

    def save_in_two(checkpoint: Any, file: Any) -> None:
        dying.happens("before writing")
        save(checkpoint, file)
        file.truncate(file.tell() // 2)
        dying.happens("half written")
        file.seek(0)
        save(checkpoint, file)
        dying.happens("written")

    def replace_it(part: Any, path: Any) -> None:
        replace(part, path)
        dying.happens("in place")

    torch.save, os.replace = save_in_two, replace_it
    try:
        settings: dict[str, Any] = {"max_epochs": 2, "save_every": 2, "monitor": "val_loss", **options}
        train.fit(task(), samples(), folder, callbacks=[dying], **settings)
    finally:
        torch.save, os.replace = save, replace
    return dying.seen


def files(folder: Path) -> dict[str, Any]:
    """What a run has left that has to be the same: weights, optimizer, schedule, history."""
    last, best = (torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("last", "best"))
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "task")
    return {
        "history": (folder / "history.csv").read_text(),
        "last": {name: last[name] for name in kept},
        "best": {name: best[name] for name in kept},
    }

"""Endless sequences: batches are the next steps of the same streams."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import RandomSampler

from ..learning import Rule, Stream
from ..loader import InOrderSampler, Sampler
from ..models import Model
from .objectives import Objective
from .processes import is_distributed
from .task import MakeOptimizer, MakeScheduler, Task


class StreamTask(Task):
    """A target for each step of B endless sequences, given some steps at a time; see `graphrec.learning.Stream`.

    Batches are pairs (x `[B, T, D]`, y `[B, T, ·]`), or triples with `begins` `[B, T]` bool, the steps at which a
    stream begins again. They come in order; streams begin with each epoch, and their states are part of a checkpoint.
    Validation has streams of its own.

    Args:
        model: of `Recursive`, `LSTM`, ..., `Stacked` or others made of these, all running forward in time.
        head: from `[B T, H]` to outputs; None: the rows themselves.
        objective: the loss and the metrics.
        rule: how calls are differentiated, such as `TruncatedBPTT(20, every=5)`; None: each call separately.
        optimizer, scheduler, seed: see `Task`.

    Raises:
        TypeError, ValueError: as `Stream`; several processes, which would each need streams of their own.
    """

    def __init__(
        self,
        model: Model,
        head: nn.Module | None,
        objective: Objective,
        *,
        rule: Rule | None = None,
        optimizer: MakeOptimizer = partial(AdamW, lr=1e-3),  # noqa: B008
        scheduler: MakeScheduler | None = None,
        seed: int = 0,
    ) -> None:
        for name, part in (("model", model), ("head", head)):
            if not isinstance(part, nn.Module) and not (name == "head" and part is None):
                raise TypeError(f"{name} must be a module (torch.nn.Module), got {type(part).__name__}.")
        network = nn.ModuleDict({"model": model, **({} if head is None else {"head": head})})
        super().__init__(network, objective, optimizer=optimizer, scheduler=scheduler, seed=seed)
        self.streams = {"train": Stream(model, rule), **{stage: Stream(model) for stage in ("val", "test")}}
        self.rule_told = repr(rule)

    def rows(self, batch: Any, stage: str) -> tuple[Tensor, Tensor]:
        """Of all steps."""
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise TypeError(
                f"a StreamTask takes batches (x, y) or (x, y, begins), got {type(batch).__name__}."
            )
        x, y, *begins = batch
        if y.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"a StreamTask takes a target for each step, y [B, T, ·], got y of shape {tuple(y.shape)} and x of "
                f"{tuple(x.shape)}."
            )
        rows = self.streams[stage](x, *begins).flatten(0, 1)
        return (self.network["head"](rows) if "head" in self.network else rows), self.targets(batch)

    def targets(self, batch: Any) -> Tensor:
        """Those of all steps."""
        return batch[1].flatten(0, 1)

    def on_fit_start(self) -> None:
        """Refuse several processes."""
        if is_distributed():
            raise ValueError(
                f"the streams of {dist.get_world_size()} processes would be other ones in each, and a checkpoint holds "
                f"those of one: train a StreamTask in one process, with more streams."
            )

    def on_train_start(self) -> None:
        """Refuse chunks that are shuffled, besides what a `Task` refuses.

        Raises:
            ValueError: they come in another order than their streams.
        """
        super().on_train_start()
        loader: Any = self.trainer.train_dataloader
        order = getattr(loader, "batch_sampler", None)
        order = order if isinstance(order, Sampler) else getattr(loader, "sampler", None)
        if isinstance(order, RandomSampler) or (
            isinstance(order, Sampler) and not isinstance(order, InOrderSampler)
        ):
            raise ValueError(
                f"batches of a StreamTask are the next steps of the same streams, and {type(order).__name__} draws "
                f"another order: give batches=graphrec.loader.InOrderSampler(len(chunks), 1) to Samples, or a loader "
                f"that does not shuffle."
            )

    def on_train_epoch_start(self) -> None:
        """Begin anew. (Not called where a run resumes in mid-epoch.)"""
        self.streams["train"].reset()

    def on_validation_epoch_start(self) -> None:
        """Begin anew."""
        self.streams["val"].reset()

    def on_test_epoch_start(self) -> None:
        """Begin anew."""
        self.streams["test"].reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep where the streams are."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["streams"] = self.streams["train"].state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        super().on_load_checkpoint(checkpoint)
        if "streams" in checkpoint:
            self.streams["train"].load_state_dict(checkpoint["streams"])

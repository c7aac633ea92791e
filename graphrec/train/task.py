"""What is trained: a network, an objective, a learning rule and an optimizer, as a Lightning module."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torchmetrics import MeanMetric, MetricCollection

from ..engine.rules import differentiated_by
from ..learning.rule import CountedRule, Rule
from ..structure.checks import as_count
from .checks import check_function, check_loss_rows, check_rule
from .objectives import Objective
from .processes import is_distributed, mean_over_processes

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer, int], Any]


class Task(L.LightningModule):
    """Trains a network that is called with a batch; `NodeTask`, `GraphTask` and `SequenceTask` make one of a model.

    Logs `train_loss`, and for validation and test `val_loss` and `val_<name>` of each metric; all are means over rows,
    whatever the sizes of batches and in however many processes. In W processes, gradients are those of one process with
    the union of the W batches: each process divides the sum of its rows' losses by the rows of all of them, over W.

    Random numbers (torch's, numpy's and Python's) are seeded anew in each training step, by seed, epoch, step and
    process, so that a run that resumes in mid-epoch draws what an uninterrupted one does.

    Args:
        network: called with a batch; returns a row for each target.
        objective: the loss and the metrics, such as `classification(5)`.
        rule: how runs are differentiated, see `graphrec.learning`; None: by autograd.
        optimizer: makes one of the parameters.
        scheduler: makes a schedule of the rate, of the optimizer and the number of steps that the training will take;
            it goes on after each step. May also return Lightning's dictionary, `{"scheduler": ..., "monitor": ...}`.
            None: the rate stays.
        seed: of the random numbers of training.

    Raises:
        TypeError, ValueError: something else than that; a rule without a cell that it could differentiate.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        *,
        rule: Rule | None = None,
        optimizer: MakeOptimizer = partial(AdamW, lr=1e-3),  # noqa: B008
        scheduler: MakeScheduler | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise TypeError(f"expected a network (torch.nn.Module), got {type(network).__name__}.")
        if not isinstance(objective, Objective):
            raise TypeError(
                f"expected a graphrec.train.Objective, such as classification(5) or Objective(loss, metrics), got "
                f"{type(objective).__name__}."
            )
        check_function("loss", objective.loss)
        check_function("optimizer", optimizer)
        if objective.smoothed is not None:
            check_function("smoothed", objective.smoothed)
        if scheduler is not None:
            check_function("scheduler", scheduler)
        if "loss" in objective.metrics:
            raise ValueError(
                "no metric may be named loss, which is what the loss is logged as: name it otherwise."
            )
        check_rule(rule, network)
        self.network: Any = network
        # (Losses that are modules are registered, so that their weights are trained and move with the task.)
        self.row_losses, self.smoothed = objective.loss, objective.smoothed
        self.rule, self.rule_told, self.seed = rule, repr(rule), as_count("seed", seed)
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        # (By default NaN would not count, and a run that has come to nothing would show a mean of the rest; with
        # "disable" torchmetrics 1.9 drops the weights.)
        self.train_loss, self._is_between_epochs = MeanMetric(nan_strategy=math.nan), True
        means = {"loss": MeanMetric(nan_strategy=math.nan)}
        every = MetricCollection({**means, **objective.metrics}, compute_groups=False)
        self.val_metrics, self.test_metrics = every.clone(prefix="val_"), every.clone(prefix="test_")

    def forward(self, batch: Any) -> Tensor:
        """What the network returns."""
        return self.network(batch)

    def targets(self, batch: Any) -> Tensor:
        """The targets of its rows.

        Raises:
            ValueError: the batch has none.
        """
        y = getattr(batch, "y", None)
        if y is None:
            raise ValueError(
                f"the batch has no targets y, got {type(batch).__name__}: set data.y = ... for each sample, or write a "
                f"subclass with targets(batch)."
            )
        return y

    def rows(self, batch: Any, stage: str) -> tuple[Tensor, Tensor]:
        """The outputs and targets that count in a stage, `"train"`, `"val"` or `"test"`: all."""
        return self(batch), self.targets(batch)

    def judged(self, batch: Any, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Those of these rows that metrics count: all. A subclass may choose some, such as the roots of trees."""
        return outputs, y

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """A loss for each row, or one number; in training (`self.training`) it may differ from evaluation."""
        function = self.smoothed if self.training and self.smoothed is not None else self.row_losses
        losses = function(outputs, y)
        check_loss_rows(losses, outputs, y)
        return losses

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        with self._by_rule() as counted:
            outputs, y = self.rows(batch, "train")
        if counted is not None:
            counted.check(self.network)
        losses = self.loss(outputs, y)
        loss, count = mean_over_processes(losses, len(y))
        # (A weight of 0 would make the mean of an epoch NaN.)
        if count:
            self.train_loss.update(losses.detach().mean(), count)
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        self.log("loss", loss.detach(), prog_bar=True, batch_size=max(count, 1))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Measure."""
        self._measure("val", self.val_metrics, batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Measure."""
        self._measure("test", self.test_metrics, batch)

    def configure_optimizers(self) -> Any:
        """The optimizer, and the schedule of its rate."""
        optimizer = self._make_optimizer(self.parameters())
        if self._make_scheduler is None:
            return optimizer
        made = self._make_scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        if made is None:
            raise TypeError("scheduler must return a scheduler, or Lightning's dictionary of one, got None.")
        return {
            "optimizer": optimizer,
            "lr_scheduler": made if isinstance(made, dict) else {"scheduler": made, "interval": "step"},
        }

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the random numbers of a step."""
        self._is_between_epochs = False
        draw = np.random.default_rng([self.seed, self.current_epoch, batch_idx, self.global_rank])
        for_torch, for_numpy, for_python = draw.integers(2**32, size=3).tolist()
        torch.manual_seed(for_torch)
        np.random.seed(for_numpy)  # noqa: NPY002 (what transforms of others may draw from)
        random.seed(for_python)

    def on_train_epoch_end(self) -> None:
        """The mean loss of the next epoch begins with nothing."""
        self._is_between_epochs = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the mean loss of an epoch that has begun, and what must be the same to go on."""
        self.train_loss.sync(should_sync=is_distributed())
        share = 0.0 if self._is_between_epochs else 1.0
        checkpoint["task"] = {
            "train_loss": [share * self.train_loss.mean_value, share * self.train_loss.weight],
            "rule": self.rule_told,
            "seed": self.seed,
            "optimizer": _plain_defaults(self._optimizers_now()),
        }
        if is_distributed():
            self.train_loss.unsync()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with them.

        Raises:
            ValueError: another rule or seed.
        """
        kept = checkpoint.get("task")
        if kept is None:
            return
        self._check_same(kept)
        self._kept_defaults = kept["optimizer"]
        if not dist.is_initialized() or dist.get_rank() == 0:  # the sum over all processes is kept
            value, weight = kept["train_loss"]
            self.train_loss.mean_value.copy_(value)
            self.train_loss.weight.copy_(weight)
            self.train_loss._update_count = int(float(weight) > 0)

    def on_train_start(self) -> None:
        """Refuse to go on with another optimizer, whose settings the checkpoint's would replace without a word."""
        kept, self._kept_defaults = getattr(self, "_kept_defaults", None), None
        if kept is not None:
            _check_defaults(kept, _plain_defaults(self._optimizers_now()))

    def check_trained_so(self, checkpoint: dict[str, Any]) -> None:
        """Raise unless a finished training, whose checkpoint this is, was one of such a task.

        Raises:
            ValueError: another rule, seed or optimizer.
        """
        kept = checkpoint["task"]
        self._check_same(kept)
        if type(self).configure_optimizers is Task.configure_optimizers:
            _check_defaults(kept["optimizer"], _plain_defaults([self._make_optimizer(self.parameters())]))

    def _check_same(self, kept: dict[str, Any]) -> None:
        for name, here in (("rule", self.rule_told), ("seed", self.seed)):
            if kept[name] != here:
                raise ValueError(
                    f"the checkpoint is of a training with {name} {kept[name]}, this task has {here}: give the same "
                    f"one to go on, or train in another folder."
                )

    def _optimizers_now(self) -> list[Any]:
        return [self.optimizers()] if self.trainer.optimizers else []

    def _by_rule(self) -> AbstractContextManager[CountedRule | None]:
        return nullcontext() if self.rule is None else _Differentiated(self.rule)

    def _measure(self, stage: str, metrics: MetricCollection, batch: Any) -> None:
        outputs, y = self.rows(batch, stage)
        losses, mean = self.loss(outputs, y), metrics["loss"]
        if len(y):
            mean.update(losses.mean(), losses.numel() if losses.dim() else len(y))
            shown, right = self.judged(batch, outputs, y)
            for name, metric in metrics.items(keep_base=True):
                if name != "loss" and len(right):
                    try:
                        metric.update(shown, right)
                    except Exception as error:
                        error.add_note(
                            f"(The metric {name!r} was given outputs of shape {tuple(shown.shape)} and targets of "
                            f"shape {tuple(right.shape)}.)"
                        )
                        raise
        self.log_dict(dict(metrics.items()), prog_bar=True, batch_size=max(len(y), 1))


def _plain_defaults(optimizers: Iterable[Any]) -> dict[str, Any]:
    """The settings of optimizers that are numbers, texts or tuples of these."""
    plain = (bool, int, float, str, type(None))
    return {
        name: list(value) if isinstance(value, tuple) else value
        for optimizer in optimizers
        for name, value in getattr(optimizer, "defaults", {}).items()
        if isinstance(value, plain) or (isinstance(value, tuple) and all(isinstance(v, plain) for v in value))
    }


def _check_defaults(kept: dict[str, Any], here: dict[str, Any]) -> None:
    if kept != here:
        odd = [name for name in {**kept, **here} if kept.get(name) != here.get(name)]
        told = ", ".join(f"{name}={kept.get(name)!r} (here {here.get(name)!r})" for name in odd)
        raise ValueError(
            f"the checkpoint is of a training whose optimizer had {told}: give the same to go on, or train in another "
            f"folder."
        )


class _Differentiated(AbstractContextManager[CountedRule]):
    """A block in which a rule differentiates all runs."""

    def __init__(self, rule: Rule) -> None:
        self._counted = CountedRule(rule)
        self._around = differentiated_by(self._counted)

    def __enter__(self) -> CountedRule:
        self._around.__enter__()
        return self._counted

    def __exit__(self, *raised: Any) -> None:
        self._around.__exit__(*raised)

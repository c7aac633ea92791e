"""What the examples train, and on what: networks as Lightning modules, samples as batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch_geometric.loader import DataLoader
from torchmetrics import MeanSquaredError, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy


class Samples(L.LightningDataModule):
    """Three data sets as batches; the training samples in a new order in each epoch, drawn by seed and epoch.

    Args:
        train, val, test: data sets of `torch_geometric.data.Data`, or lists.
        batch_size: graphs per batch.
    """

    run_seed = 0

    def __init__(self, train: Any, val: Any, test: Any, batch_size: int) -> None:
        super().__init__()
        # Read once: a data set cuts a sample out of its storage at each access.
        self.train, self.val, self.test = ([part[i] for i in range(len(part))] for part in (train, val, test))
        self.batch_size = batch_size

    @property
    def size(self) -> str:
        """How many samples there are to learn from, in words."""
        return f"{len(self.train):,} samples"

    def train_dataloader(self) -> DataLoader:
        # Lightning iterates a loader twice, so samples are put in order beforehand instead of by a shuffling loader.
        draw = torch.Generator().manual_seed(self.run_seed + 1_000_003 * epoch_of(self))
        order = torch.randperm(len(self.train), generator=draw).tolist()
        return DataLoader([self.train[i] for i in order], self.batch_size, generator=draw)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 2 * self.batch_size)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 2 * self.batch_size)


class Drawn(L.LightningDataModule):
    """Training samples that are drawn afresh in each epoch, by seed and epoch; held-out samples are drawn once.

    Args:
        draw: called with a number of samples and a seed; returns them as one batch.
        train: samples per epoch, a multiple of the batch size.
        held_out: samples each for validation and for testing.
        batch_size: samples per batch.
    """

    run_seed = 0

    def __init__(self, draw: Callable[[int, int], Any], train: int, held_out: int, batch_size: int) -> None:
        super().__init__()
        self.draw, self.train, self.held_out, self.batch_size = draw, train, held_out, batch_size

    @property
    def size(self) -> str:
        """How many samples there are to learn from, in words."""
        return f"in each epoch {self.train:,} new samples"

    def train_dataloader(self) -> Any:
        return self._batches(self._seeds(2 + epoch_of(self), self.train // self.batch_size), self.batch_size)

    def val_dataloader(self) -> Any:
        return self._batches(self._seeds(0, 1), self.held_out)

    def test_dataloader(self) -> Any:
        return self._batches(self._seeds(1, 1), self.held_out)

    def _batches(self, seeds: Any, size: int) -> Any:
        """A batch per seed, drawn when it is needed."""
        draw: Any = partial(self.draw, size)
        # A generator of its own: each new loader draws a number from torch's, which is for dropout.
        own = torch.Generator().manual_seed(0)
        return torch.utils.data.DataLoader(seeds, batch_size=None, collate_fn=draw, generator=own)

    def _seeds(self, which: int, count: int) -> list[int]:
        """Seeds that occur nowhere else: consecutive seeds from several places would coincide."""
        draw = torch.Generator().manual_seed(self.run_seed + 1_000_003 * which)
        return torch.randint(2**62, (count,), generator=draw).tolist()


def epoch_of(data: L.LightningDataModule) -> int:
    """How many epochs are complete. On resuming, Lightning asks for data before it has set `current_epoch`."""
    progress: Any = None if data.trainer is None else data.trainer.fit_loop.epoch_progress.current
    return progress.processed if progress else 0


class Learner(L.LightningModule):
    """What `Classifier` and `Regressor` share: trains a network with AdamW, logs its losses and metrics.

    The rate rises to `lr` over a tenth of the epochs, and falls to zero until the last.

    Logs `train_loss`, `val_loss`, `test_loss`, and the metrics as `val_<name>` and `test_<name>`.

    Args:
        network: called with a batch.
        metrics: by name; each is called with what the network returns and the targets.
        lr, weight_decay: of AdamW.
    """

    run_seed = 0
    epochs, best_score = 0, math.nan  # set by `Run.fit`

    def __init__(
        self, network: nn.Module, metrics: Mapping[str, Metric], lr: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.network: Any = network  # an nn.Module, with whatever else an example uses
        self.lr, self.weight_decay = lr, weight_decay
        every: dict[str, Any] = dict(metrics)
        self.val_metrics = MetricCollection(every, prefix="val_", compute_groups=False)
        self.test_metrics = self.val_metrics.clone(prefix="test_")

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """What is minimised; in training (`self.training`) it may differ from evaluation."""
        raise NotImplementedError(f"{type(self).__name__} must say what its loss is.")

    def forward(self, batch: Any) -> Tensor:
        """`[M, ·]`, the network's outputs for a batch."""
        return self.network(batch)

    def targets(self, batch: Any) -> Tensor:
        """`[M, …]`: the targets of the rows of the outputs."""
        return batch.y

    def judged(self, batch: Any, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The rows that the metrics count: all. A subclass may choose some, e.g. the roots of trees."""
        return outputs, y

    def training_step(self, batch: Any, index: int) -> Tensor:
        y = self.targets(batch)
        loss = self.loss(self(batch), y)
        # Sizes and sync_dist: so that a mean over batches, and over processes, is one over graphs.
        self.log(
            "train_loss",
            loss,
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            sync_dist=True,
            batch_size=batch.num_graphs,
        )
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self._measure("val", self.val_metrics, batch)

    def test_step(self, batch: Any, index: int) -> None:
        self._measure("test", self.test_metrics, batch)

    def on_train_epoch_start(self) -> None:
        # Dropout depends on seed, epoch and process only, so a resumed run draws the same masks.
        torch.manual_seed(self.run_seed + 1_000_003 * (1 + self.current_epoch) + self.global_rank)

    def configure_optimizers(self) -> Any:
        adam = torch.optim.AdamW(self.parameters(), self.lr, weight_decay=self.weight_decay)
        rate = torch.optim.lr_scheduler.OneCycleLR(
            adam,
            self.lr,
            # With fewer steps there is no tenth of them for the rise.
            total_steps=max(11, int(self.trainer.estimated_stepping_batches)),
            pct_start=0.1,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
        return {"optimizer": adam, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def _measure(self, stage: str, metrics: MetricCollection, batch: Any) -> None:
        outputs, y = self(batch), self.targets(batch)
        self.log(f"{stage}_loss", self.loss(outputs, y), sync_dist=True, batch_size=batch.num_graphs)
        metrics.update(*self.judged(batch, outputs, y))
        self.log_dict(dict(metrics.items()), prog_bar=True, batch_size=batch.num_graphs)


class Classifier(Learner):
    """Trains a network to classify by cross entropy; see `Learner`.

    Args:
        network: called with a batch `torch_geometric.data.Batch`; returns logits `[M, C]` for the M rows of
            `targets`, by default one per graph and `batch.y`.
        num_classes: C.
        lr, weight_decay: of AdamW.
        label_smoothing: of the loss while training.
        metrics: by name, beside `accuracy`; each is called with logits and targets.
    """

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        *,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        label_smoothing: float = 0.0,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        accuracy = MulticlassAccuracy(num_classes, average="micro")
        super().__init__(network, {"accuracy": accuracy, **(metrics or {})}, lr, weight_decay)
        self.label_smoothing = label_smoothing

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The cross entropy of logits `[M, C]` and classes `[M]`."""
        smoothing = self.label_smoothing if self.training else 0.0
        return nn.functional.cross_entropy(outputs, y, label_smoothing=smoothing)


class Regressor(Learner):
    """Trains a network to compute numbers by their mean squared error; see `Learner`.

    Args:
        network: called with a batch; returns `[M, Y]` for the M rows of `targets`, by default `batch.y`.
        lr, weight_decay: of AdamW.
        metrics: by name, beside `error`, the root of the mean squared error; each is called with outputs and targets.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        error = MeanSquaredError(squared=False)
        super().__init__(network, {"error": error, **(metrics or {})}, lr, weight_decay)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean squared error of two equally shaped tensors."""
        if outputs.shape != y.shape:  # else the smaller one would be repeated
            raise ValueError(
                f"expected outputs of the shape of the targets, {tuple(y.shape)}, got {tuple(outputs.shape)}."
            )
        return nn.functional.mse_loss(outputs, y)

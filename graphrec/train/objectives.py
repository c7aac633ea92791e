"""What is minimised, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric
from torchmetrics.classification import MulticlassAccuracy

from ..structure.checks import as_count, as_share, check_layout
from ..structure.written import shown

_NO_CLASS = -(2**62)  # torch's own, -100, would count as a row without a loss


class Objective(NamedTuple):
    """A loss and metrics, of outputs and targets with a row for each node, graph, step or sequence.

    Attributes:
        loss: from outputs and targets to a loss for each row (`reduction="none"`), of any shape; a task takes the mean
            over all rows of all processes. Or to one number, which is taken as it is, in one process alone.
        metrics: of torchmetrics, by name; each is called with outputs and targets.
        smoothed: a loss for training where it differs from the one that is reported; None: it does not.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    metrics: Mapping[str, Metric]
    smoothed: Callable[[Tensor, Tensor], Tensor] | None = None


def classification(
    num_classes: int,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    metrics: Mapping[str, Metric] | None = None,
) -> Objective:
    """The cross entropy of logits `[M, C]` and classes `[M]` long, and `accuracy`.

    Args:
        num_classes: C.
        weight: `[C]`, of the classes. The mean is over rows: it is not divided by the sum of their weights, as torch's
            `reduction="mean"` does, which would be another number in each process.
        label_smoothing: of the loss of training.
        metrics: more of them, by name.
    """
    num_classes, label_smoothing = (
        as_count("num_classes", num_classes, 2),
        as_share("label_smoothing", label_smoothing),
    )
    accuracy = MulticlassAccuracy(num_classes, average="micro")
    plain = _CrossEntropy(num_classes, weight, 0.0)
    smoothed = _CrossEntropy(num_classes, weight, label_smoothing) if label_smoothing else None
    return Objective(plain, {"accuracy": accuracy, **_as_metrics(metrics)}, smoothed)


def regression(*, metrics: Mapping[str, Metric] | None = None) -> Objective:
    """The squared error of two equally shaped tensors, and its root (`rmse`) and the absolute error (`mae`).

    Args:
        metrics: more of them, by name.
    """
    return Objective(
        squared_error,
        {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError(), **_as_metrics(metrics)},
    )


def _as_metrics(metrics: Any) -> dict[str, Metric]:
    """More metrics by name, or none."""
    found = {} if metrics is None else metrics
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(one, Metric) for name, one in found.items()
    ):
        raise TypeError(f"metrics must be metrics of torchmetrics by name, got {shown(metrics)}.")
    return dict(found)


def squared_error(outputs: Tensor, y: Tensor) -> Tensor:
    """`(outputs - y)²`, number by number.

    Raises:
        ValueError: other shapes, of which the smaller one would be repeated.
    """
    check_layout("outputs", outputs)
    check_layout("y", y)
    if outputs.shape != y.shape:
        raise ValueError(
            f"expected outputs of the shape of the targets, {tuple(y.shape)}, got {tuple(outputs.shape)}: a head of as "
            f"many outputs as there are numbers in a target, whose shape is [M, 1] where it is one (y[:, None])."
        )
    return nn.functional.mse_loss(outputs, y, reduction="none")


class _CrossEntropy(nn.Module):
    """Row by row, with its weights as a buffer, so that they move with the task."""

    def __init__(self, num_classes: int, weight: Tensor | None, smoothing: float) -> None:
        super().__init__()
        if weight is not None and not (isinstance(weight, Tensor) and weight.is_floating_point()):
            told = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
            raise TypeError(
                f"weight is a tensor [C] of floats, got {told}: torch.tensor(weight, dtype=torch.float)."
            )
        if weight is not None:
            check_layout("weight", weight)
        if weight is not None and weight.shape != (num_classes,):
            raise ValueError(
                f"weight has a number for each of {num_classes} classes, got {tuple(weight.shape)}."
            )
        if weight is not None and not bool((weight >= 0).all() & weight.isfinite().all()):
            raise ValueError(f"weight must be finite and 0 or more, got {weight.tolist()}.")
        self.num_classes, self.smoothing = num_classes, smoothing
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        check_layout("outputs", outputs)
        check_layout("y", y)
        if outputs.dim() != 2 or outputs.shape[1] != self.num_classes or y.shape != outputs.shape[:1]:
            raise ValueError(
                f"expected logits [M, {self.num_classes}] and classes [M], got {tuple(outputs.shape)} and "
                f"{tuple(y.shape)}: a model's rows and targets are those of nodes, graphs, steps or sequences alike."
            )
        if y.dtype != torch.long:
            raise TypeError(
                f"classes are whole numbers, torch.long, got {y.dtype}: y.long(), or a regression."
            )
        # (On a device, whose numbers are not looked at here, torch refuses what is no class.)
        if y.is_cpu and len(y) and (int(y.min()) < 0 or int(y.max()) >= self.num_classes):
            raise ValueError(
                f"classes are 0 to {self.num_classes - 1}, got {int(y.min())} to {int(y.max())}: rows that do not "
                f"count are left out by a mask of a NodeTask, or by a subclass with rows(batch, stage)."
            )
        weight: Any = self.weight
        return nn.functional.cross_entropy(
            outputs, y, weight, ignore_index=_NO_CLASS, label_smoothing=self.smoothing, reduction="none"
        )

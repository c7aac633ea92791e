"""Folds: a data set without a split of its own, cut into parts that are tested in turn."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor


def stratified_folds(
    labels: Tensor | Sequence[int], folds: int = 10, seed: int = 0
) -> list[tuple[Tensor, Tensor]]:
    """Cross-validation: every sample is tested in one fold, and all folds have the same mix of labels.

    Samples are shuffled, sorted by label and dealt out in turn, so that the folds' sizes, and the numbers of samples
    that they have of a label, differ by one at most. A label with fewer samples than folds is in as many folds as it
    has samples.

    Args:
        labels: `[G]`, whole numbers, the label of each sample.
        folds: into how many parts.
        seed: of the shuffle: the same seed, the same folds. torch's own random numbers are left alone.

    Returns:
        For each fold the samples to train on and those to test on, both long, in rising order.

    Raises:
        ValueError: labels that are not a vector of whole numbers; fewer than 2 folds, or fewer samples than folds.
    """
    labels = torch.as_tensor(labels).cpu()
    if labels.dim() != 1 or (labels.numel() and (labels.is_floating_point() or labels.is_complex())):
        raise ValueError(
            f"labels must be one whole number per sample, got {labels.dtype} of shape {list(labels.shape)}."
        )
    count = labels.shape[0]
    if not isinstance(folds, Integral) or not 2 <= folds <= count:
        raise ValueError(f"folds must be a whole number from 2 to the {count} samples, got {folds!r}.")
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    by_label = shuffled[labels[shuffled].argsort(stable=True)]
    fold = torch.empty(count, dtype=torch.long)
    fold[by_label] = torch.arange(count) % int(folds)
    return [((fold != k).nonzero().flatten(), (fold == k).nonzero().flatten()) for k in range(int(folds))]

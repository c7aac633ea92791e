"""Samples as batches, for training that resumes and is dealt to processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from ..loader import DataLoader, InOrderSampler, Sampler, ShuffledSampler
from ..loader.samplers import check_can_be_drawn, check_samples
from ..structure import Structure, chains
from ..structure.checks import check_layout, from_array
from ..structure.written import shown


class SequenceBatch(NamedTuple):
    """Sequences of different lengths side by side; nothing is padded.

    Attributes:
        x: `[N, ·]`, the rows of all steps, sequence after sequence.
        structure: a chain for each sequence.
        y: a target for each sequence, `[B, ·]`, or for each step, `[N, ·]`.
    """

    x: Tensor
    structure: Structure
    y: Tensor

    @property
    def num_graphs(self) -> int:
        """B."""
        return self.structure.num_graphs


def join_sequences(samples: Sequence[tuple[Any, Any]]) -> SequenceBatch:
    """A batch of pairs (x, y): x `[T, ·]` or `[T]`, y a target, or `[T, ·]`, one for each step.

    For the `collate_fn` of a loader; arrays of numpy are taken, too. Whether there is one target for each sequence
    or for each step is for the task to know: targets of as many dimensions as their sequence's steps are joined.

    Raises:
        TypeError: other samples than pairs.
        ValueError: targets for the steps of some sequences, and not of all; rows of several widths.
    """
    if (
        isinstance(samples, str | bytes | Tensor)
        or not hasattr(samples, "__iter__")
        or not getattr(samples, "ndim", 1)
    ):
        raise TypeError(f"expected a list of pairs (x, y), got {shown(samples)}.")
    samples = list(samples)
    if not samples:
        raise ValueError("expected pairs (x, y), one or more, got none: rows of no sequences have no width.")
    for sample in samples:
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            told = f"{len(sample)} parts" if isinstance(sample, tuple | list) else type(sample).__name__
            raise TypeError(f"expected samples that are pairs (x, y), got {told}.")
    rows, targets = ([_as_tensor(name, pair[i]) for pair in samples] for i, name in enumerate("xy"))
    if any(not x.dim() for x in rows):
        raise ValueError("x must have a row for each step, got a single number.")
    for name, parts in (("x", rows), ("y", targets)):
        kinds = {f"{part.dtype} on {part.device}" for part in parts}
        if len(kinds) > 1:
            raise TypeError(
                f"{name} must be of one dtype, on one device, in all pairs, got {' and '.join(sorted(kinds))}."
            )
    if len({x.shape[1:] for x in rows}) > 1:
        raise ValueError(
            f"steps are of one width, got sequences of shapes {sorted({tuple(x.shape) for x in rows})[:3]}."
        )
    structure = chains([len(x) for x in rows])
    if all(y.dim() and len(y) == len(x) for x, y in zip(rows, targets, strict=True)):
        y = torch.cat(targets)
    elif len({y.shape for y in targets}) == 1:
        y = torch.stack(targets)
    else:
        shapes = sorted({tuple(y.shape) for y in targets})[:3]
        raise ValueError(
            f"targets are one for each sequence, all of one shape, or one for each of its steps, got shapes {shapes} "
            f"for sequences of {[len(x) for x in rows[:3]]} steps."
        )
    return SequenceBatch(torch.cat(rows), structure, y)


def _as_tensor(name: str, values: Any) -> Tensor:
    """A dense tensor of what a pair has."""
    try:
        found = from_array(values) if isinstance(values, np.ndarray) else torch.as_tensor(values)
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name} of a pair must be a tensor, or numbers, got {shown(values)}: {error}"
        ) from error
    check_layout(name, found)
    return found


class Samples(L.LightningDataModule):
    """Data sets for training, validation and testing, as batches.

    Training samples come in a new order in each epoch, drawn by seed and epoch; each process gets its own. Validation
    and test samples come as they stand. In one process and in several, no sample is seen twice.

    Args:
        train, val, test: data sets, or lists: of PyG's `Data`, of structures with rows of their own, or, with
            `collate_fn=join_sequences`, of pairs.
        batches: samples per batch, or a sampler for training, such as `graphrec.loader.BalancedSampler`.
        seed: of the order, where `batches` is a number; None: 0. (A sampler has one of its own.)
        options: of torch's `DataLoader`, such as `num_workers` and `collate_fn`.

    Raises:
        ValueError: a sampler of another number of samples; a sampler and a seed.
    """

    def __init__(
        self,
        train: Any,
        val: Any = (),
        test: Any = (),
        *,
        batches: int | Sampler,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        for name, samples in (("train", train), ("val", val), ("test", test)):
            check_can_be_drawn(name, samples)
        self.train, self.val, self.test = train, val, test
        self.options = options
        if isinstance(batches, Sampler):
            if seed is not None:
                raise ValueError(
                    f"the seed of the order is that of the sampler: {type(batches).__name__}(..., seed={seed})."
                )
            check_samples(batches, train)
            self.batches = batches
        else:
            self.batches = ShuffledSampler(len(train), batches, seed=0 if seed is None else seed)
        size = getattr(self.batches, "batch_size", None)
        self._held_out_size = size or max(1, len(train) // max(1, len(self.batches)))
        self._loader: DataLoader | None = None

    def setup(self, stage: str) -> None:
        """Begin with the first epoch in each training."""
        if stage == "fit":
            self._loader = None

    def train_dataloader(self) -> DataLoader:
        """The same one in all epochs: it counts them."""
        if self._loader is None:
            self._loader = self._made(self.train, self.batches)
        return self._loader

    def val_dataloader(self) -> Any:
        """In order."""
        return self._held_out(self.val)

    def test_dataloader(self) -> Any:
        """In order."""
        return self._held_out(self.test)

    def _held_out(self, samples: Any) -> Any:
        if not len(samples):
            return []
        return self._made(samples, InOrderSampler(len(samples), self._held_out_size))

    def _made(self, samples: Any, sampler: Sampler) -> DataLoader:
        return DataLoader(samples, batch_sampler=sampler, **self.options)

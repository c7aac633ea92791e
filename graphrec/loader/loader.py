"""PyG's loader, which makes batches faster, and goes on where it has stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch_geometric.loader import DataLoader as PyGLoader

from .collate import Collater
from .samplers import Sampler, check_position, check_samples


class DataLoader(PyGLoader):
    """`torch_geometric.loader.DataLoader`, which makes a batch of many small graphs in a fraction of the time.

    The same arguments, and the same batches, attribute for attribute. PyG looks at each attribute of each
    sample by itself; here samples that are plain `Data` of tensors, numbers and texts, all with the same
    attributes, are joined by one operation for each attribute. Whatever else there is (`HeteroData`, sparse
    matrices, subclasses with rules of their own, tensors on a device, `follow_batch`, `exclude_keys`) is left to
    PyG. Structures and tries, also as parts of tuples and dictionaries, become one, as in torch's own `DataLoader`. A
    `collate_fn` joins whatever it can, in place of all this. (PyG's own loader drops it.)

    With a `batch_sampler` of `graphrec.loader` it can be resumed: `state_dict()` says which batch of which epoch comes
    next, and after `load_state_dict` the next iteration begins there, without loading what has gone before. Each
    iteration is another epoch, and draws nothing from torch's global generator. Batches that workers have prepared and
    nobody has taken do not count. (Where workers draw random numbers themselves, these are the same again from the
    beginning of an epoch on, but not from its middle.)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if isinstance(kwargs.get("batch_sampler"), Sampler) and kwargs.get("generator") is None:
            kwargs["generator"] = torch.Generator()
        collate = kwargs.get("collate_fn")
        super().__init__(*args, **kwargs)
        if isinstance(kwargs.get("batch_sampler"), Sampler):
            check_samples(kwargs["batch_sampler"], self.dataset)
        if collate is not None and (self.follow_batch or self.exclude_keys):
            raise ValueError(
                "follow_batch and exclude_keys are for PyG's batches: leave them out, or the collate_fn."
            )
        self.collate_fn: Any = collate or Collater(
            self.collate_fn, bool(self.follow_batch or self.exclude_keys)
        )
        self._epoch, self._taken = -1, 0
        self._is_resuming = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator: an iterator that nobody asks for a batch begins no epoch.
        sampler = self.batch_sampler
        if not isinstance(sampler, Sampler):
            self._is_resuming = False
            yield from super().__iter__()
            return
        has_begun = self._epoch >= 0
        if not (self._is_resuming and has_begun) or self._taken >= len(sampler):
            self._epoch, self._taken = self._epoch + 1, 0
        self._is_resuming = False
        epoch = self._epoch
        sampler.set_epoch(epoch, self._taken)
        if self.generator is not None:
            self.generator.manual_seed(sampler.seed_of(epoch))
        for batch in super().__iter__():
            self._taken += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Which batch of which epoch comes next, to be stored with a checkpoint.

        Without a sampler of `graphrec.loader` it is empty: the order of the samples was drawn by others.
        """
        if not isinstance(self.batch_sampler, Sampler):
            return {}
        return {"epoch": self._epoch, "taken": self._taken, "sampler": self.batch_sampler.settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration begin where that of the stored state has stopped.

        Raises:
            ValueError: no such state, one of another order of samples, or one that this loader cannot take up.
        """
        if not isinstance(self.batch_sampler, Sampler) and not state:
            return
        if not isinstance(self.batch_sampler, Sampler) or not state:
            raise ValueError(
                "the order of these samples is drawn by torch, and cannot be taken up where it was left: give the "
                "loader a sampler that can, DataLoader(data, batch_sampler=graphrec.loader.ShuffledSampler(len(data), "
                "batch_size))."
            )
        check_position(state, self.batch_sampler)
        self._epoch, self._taken, self._is_resuming = state["epoch"], state["taken"], True

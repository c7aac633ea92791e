"""Which samples go into which batch: orders that are functions of a seed and an epoch, and are dealt to processes."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch.distributed
from torch import Tensor
from torch.utils.data import Sampler as TorchSampler
from torch_geometric.data.data import BaseData

from ..structure import Structure
from ..structure.checks import as_count, check_layout
from ..structure.written import shown

_LARGEST = 2**62  # of what is counted


class Sampler(TorchSampler[list[int]]):
    """The batches of an epoch, as lists of the numbers of samples, for the `batch_sampler` of a loader.

    Batches are a function of the seed and the epoch, so that nothing else has to be kept to go on in the middle of one.
    Where several processes train together, each gets its own batches, as many as the others, no sample twice. A
    subclass writes `all_batches` and `settings`; one that knows of how many samples it is says so by `num_samples`.

    Args:
        seed: of the order of the samples.
        rank, world_size: which process of how many; None: as `torch.distributed` says, at the time of use.
    """

    def __init__(self, seed: int = 0, rank: int | None = None, world_size: int | None = None) -> None:
        self.seed = as_count("seed", seed)
        if (rank is None) != (world_size is None):
            raise ValueError("rank and world_size go together: give both, or none of them.")
        self._place: tuple[int, int] | None = None
        if rank is not None and world_size is not None:
            self._place = as_count("rank", rank), as_count("world_size", world_size, 1)
            if self._place[0] >= self._place[1]:
                raise ValueError(f"rank must be from 0 to world_size - 1, got rank {rank} of {world_size}.")
        self._epoch, self._first = 0, 0

    @property
    def place(self) -> tuple[int, int]:
        """Which process, and of how many."""
        if self._place is not None:
            return self._place
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    def all_batches(self, epoch: int) -> list[list[int]]:
        """The batches of all processes in an epoch: step after step, in each step one for each process.

        Their number is the same in every epoch.
        """
        raise NotImplementedError(f"{type(self).__name__} has no all_batches(epoch).")

    def settings(self) -> dict[str, Any]:
        """What the batches are a function of, but for the epoch: numbers and names."""
        return {"kind": type(self).__name__, "seed": self.seed, "world_size": self.place[1]}

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Let the next iterations be over this epoch, from its batch `first` on. (`graphrec.DataLoader` does it.)"""
        self._epoch, self._first = as_count("epoch", epoch), as_count("first", first)

    def seed_of(self, epoch: int) -> int:
        """A seed for other random numbers of this epoch and process, that occurs nowhere else."""
        return int(self.generator(epoch, self.place[0] + 1).integers(2**62))

    def generator(self, *path: int) -> np.random.Generator:
        """Random numbers that belong to a path of numbers: an epoch, an attempt."""
        return np.random.default_rng([self.seed, *path])

    def __iter__(self) -> Iterator[list[int]]:
        rank, world_size = self.place
        return iter(self.all_batches(self._epoch)[rank::world_size][self._first :])

    def __len__(self) -> int:
        """How many batches this process gets in an epoch."""
        return len(self.all_batches(0)) // self.place[1]


class ShuffledSampler(Sampler):
    """Batches of a given size, of samples in a new order in each epoch.

    The last batch may be smaller. With W processes a step takes W times the batch size, and the samples of the last
    step are divided evenly; if there are fewer than W of them they are left out (others in each epoch).

    Args:
        num_samples: n.
        batch_size: samples per batch and process.
        seed, rank, world_size: see `Sampler`.

    Raises:
        ValueError: fewer samples than processes.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(seed, rank, world_size)
        self.num_samples = as_count("num_samples", num_samples)
        self.batch_size = as_count("batch_size", batch_size, 1)

    def order(self, epoch: int) -> np.ndarray:
        """The samples in the order of an epoch."""
        return self.generator(epoch).permutation(self.num_samples)

    def all_batches(self, epoch: int) -> list[list[int]]:
        """See `Sampler`."""
        world_size = self.place[1]
        if 0 < self.num_samples < world_size:
            raise ValueError(
                f"each of {world_size} processes needs a sample, got {self.num_samples}: start fewer processes."
            )
        order, batches = self.order(epoch).tolist(), []
        for first in range(0, len(order), self.batch_size * world_size):
            step = order[first : first + self.batch_size * world_size]
            if len(step) >= world_size:
                batches += [step[rank::world_size] for rank in range(world_size)]
        return batches

    def __len__(self) -> int:
        """See `Sampler`."""
        per_step = self.batch_size * self.place[1]
        whole, rest = divmod(self.num_samples, per_step)
        return whole + (rest >= self.place[1])

    def settings(self) -> dict[str, Any]:
        """See `Sampler`."""
        return {**super().settings(), "num_samples": self.num_samples, "batch_size": self.batch_size}


class InOrderSampler(ShuffledSampler):
    """Batches of a given size in the order in which samples stand, for evaluation.

    Nothing is left out and nothing occurs twice, so that the last batches of some processes may be missing.
    """

    def order(self, epoch: int) -> np.ndarray:
        """See `ShuffledSampler`."""
        return np.arange(self.num_samples)

    def __iter__(self) -> Iterator[list[int]]:
        rank, world_size = self.place
        mine = self.order(self._epoch)[rank::world_size].tolist()
        batches = [mine[first : first + self.batch_size] for first in range(0, len(mine), self.batch_size)]
        return iter(batches[self._first :])

    def __len__(self) -> int:
        """See `Sampler`."""
        rank, world_size = self.place
        return -(-len(range(rank, self.num_samples, world_size)) // self.batch_size)


def check_can_be_drawn(name: str, samples: Any) -> None:
    """Raise TypeError unless samples have a number and are numbered, as those of a list or a data set are."""
    is_one = isinstance(samples, str | bytes | Mapping | BaseData | Structure | type)
    if is_one or not (hasattr(samples, "__len__") and hasattr(samples, "__getitem__")):
        raise TypeError(
            f"{name} must be a list or a data set of samples, with len({name}) and {name}[0], got {shown(samples)} of "
            f"type {type(samples).__name__}."
        )
    if isinstance(samples, Tensor):
        check_layout(name, samples)
    if not getattr(samples, "ndim", 1):
        raise TypeError(f"{name} must be a list or a data set of samples, got a single number.")


def check_samples(sampler: Sampler, samples: Any) -> None:
    """Raise ValueError if a sampler is one of another number of samples, some of which would never be drawn."""
    count = getattr(sampler, "num_samples", None)
    if count is not None and hasattr(samples, "__len__") and len(samples) != count:
        raise ValueError(
            f"{type(sampler).__name__} is of {count:,} samples, and there are {len(samples):,}: make it of these."
        )


def check_position(state: dict[str, Any], sampler: Sampler) -> None:
    """Raise ValueError unless a stored position is one in the batches of a sampler."""
    match state:
        case {"epoch": int(epoch), "taken": int(taken), "sampler": dict(stored)} if (
            -1 <= epoch < _LARGEST and 0 <= taken < _LARGEST
        ):
            pass
        case _:
            raise ValueError(
                f"expected what state_dict() of a graphrec.DataLoader gives, got {reprlib.repr(state)}."
            )
    check_settings(stored, sampler)


def check_settings(stored: dict[str, Any], sampler: Sampler, but_for: Sequence[str] = ()) -> None:
    """Raise ValueError unless stored settings are those of a sampler, but for some of them."""
    here = sampler.settings()
    odd = [n for n in {**stored, **here} if n not in but_for and stored.get(n) != here.get(n)]
    if odd:
        told = ", ".join(
            f"{name}={reprlib.repr(stored.get(name))} (here {here.get(name)!r})" for name in odd[:9]
        )
        raise ValueError(
            f"the stored position is in batches of another order: {told}. Make the sampler as it was, or begin anew."
        )

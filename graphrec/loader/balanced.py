"""Batches of equal cost: filled up to a number of nodes, with samples of like depth together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..io import from_pyg
from ..schedule import levels
from ..structure import Structure, batch, chain
from ..structure.checks import as_count, as_whole_numbers
from ..structure.written import shown
from .samplers import Sampler, check_can_be_drawn

_TOGETHER = 1000  # samples whose levels are found at once
_TRIED = 10  # orders of which the longest number of batches is taken for that of every epoch


class Sizes(NamedTuple):
    """What samples cost.

    Attributes:
        nodes: `[n]` long, how many nodes each sample has.
        levels: `[n]` long, how many levels.
    """

    nodes: Tensor
    levels: Tensor


def measure(samples: Sequence[Any]) -> Sizes:
    """The numbers of nodes and levels of samples; those that know their levels (`AddLevels`) are only looked at.

    Args:
        samples: PyG's `Data`, structures, or pairs (x, y) of sequences.

    Raises:
        CycleError: a sample has a cycle, and so no levels: give `Sizes(nodes, levels)` with the rounds it takes.
    """
    check_can_be_drawn("samples", samples)
    nodes, deepest = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for first in range(0, len(samples), _TOGETHER):
        part = [samples[i] for i in range(first, min(first + _TOGETHER, len(samples)))]
        together = batch([_bare(sample) for sample in part])
        graph = together.graph.numpy(force=True)
        last = np.zeros(together.num_graphs, dtype=np.int64)
        np.maximum.at(last, graph, levels(together).numpy(force=True) + 1)
        nodes.append(np.bincount(graph, minlength=together.num_graphs))
        deepest.append(last)
    return Sizes(*(torch.from_numpy(np.concatenate(parts)) for parts in (nodes, deepest)))


def _is_pair(sample: Any) -> bool:
    """Whether a sample is a sequence: its rows, and its target."""
    return isinstance(sample, tuple | list) and len(sample) == 2


def _bare(sample: Any) -> Structure:
    """The nodes, the edges and, where known, the levels of a sample: one graph, whatever it is made of."""
    if _is_pair(sample):
        if not isinstance(sample[0], Tensor | np.ndarray | list | tuple) or not getattr(sample[0], "ndim", 1):
            raise TypeError(
                f"a pair (x, y) is of a sequence, x its rows, got x = {shown(sample[0])}: a graph is given alone, with "
                f"its target as data.y."
            )
        return chain(len(sample[0]))
    s = sample if isinstance(sample, Structure) else from_pyg(sample)
    return Structure(s.num_nodes, s.edge_index, slot=s.slot, level=s.known_level)


class BalancedSampler(Sampler):
    """Batches of like cost: filled up to a number of nodes, with samples of like depth together, in a new order each
    epoch.

    A batch takes as many steps as its deepest sample has levels, and as much memory as it has nodes. In batches of
    a fixed number of samples a deep one makes all others wait, and memory is that of the largest batch. Here samples
    are shuffled, sorted by their levels (equally deep ones stay shuffled), and cut where the next one would exceed the
    number of nodes; the batches are then shuffled. With W processes, W neighbours make a step, so that
    no process waits for a deeper batch; the largest batches are divided where their number is no multiple of W (and
    where none can be, fewer than W samples are left out, others in each epoch).

    Batches have different numbers of samples, so that a loss that is a mean over a batch weighs samples of small
    batches more: see `pool`, and docs/training.md.

    Args:
        samples: PyG's `Data`, structures, or pairs (x, y) of sequences, which are measured; or their `Sizes`.
        max_nodes: of a batch.
        pool: how many shuffled samples are sorted together; None: all. The fewer, the more various the batches.
        seed, rank, world_size: see `Sampler`.

    Raises:
        ValueError: a sample with more nodes than a batch may have; fewer samples than processes.
        CycleError: a sample that has a cycle; see `measure`.
    """

    def __init__(
        self,
        samples: Sequence[Any] | Sizes,
        max_nodes: int,
        *,
        pool: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(seed, rank, world_size)
        self.sizes = samples if isinstance(samples, Sizes) else measure(samples)
        self._nodes, self._levels = (
            as_whole_numbers(part, f"{name} of Sizes must be whole numbers").numpy(force=True)
            for name, part in self.sizes._asdict().items()
        )
        if self._nodes.shape != self._levels.shape or self._nodes.ndim != 1:
            raise ValueError(
                f"Sizes are two tensors of shape [n], got {self._nodes.shape} nodes and {self._levels.shape} levels."
            )
        if (self._nodes < 0).any() or (self._levels < 0).any():
            raise ValueError("Sizes are numbers of nodes and levels, 0 or more, got negative ones.")
        self.num_samples = len(self._nodes)
        self.max_nodes = as_count("max_nodes", max_nodes, 1)
        self.pool = max(1, len(self._nodes)) if pool is None else as_count("pool", pool, 1)
        if len(self._nodes) and int(self._nodes.max()) > self.max_nodes:
            odd = int(self._nodes.argmax())
            raise ValueError(
                f"sample {odd} has {int(self._nodes[odd]):,} nodes, and a batch may have {self.max_nodes:,}: raise "
                f"max_nodes, or leave it out."
            )
        # Every epoch has as many batches, which a trainer is told beforehand: the most that some orders take.
        self._count = max(len(self._filled(0, attempt)) for attempt in range(_TRIED))

    def all_batches(self, epoch: int) -> list[list[int]]:
        """See `Sampler`."""
        world_size = self.place[1]
        if 0 < len(self._nodes) < world_size:
            raise ValueError(
                f"each of {world_size} processes needs a sample, got {len(self._nodes)}: start fewer processes."
            )
        count = self._count_for(world_size)
        batches = self._divided(self._fitting(epoch), -(-self._count // world_size) * world_size)
        draw = self.generator(epoch)
        if len(batches) > count:  # samples that cannot be divided
            left_out = set(draw.permutation(len(batches))[: len(batches) - count].tolist())
            batches = [part for i, part in enumerate(batches) if i not in left_out]
        steps = draw.permutation(count // world_size)
        return [part for step in steps for part in batches[step * world_size : (step + 1) * world_size]]

    def __len__(self) -> int:
        """See `Sampler`."""
        world_size = self.place[1]
        return self._count_for(world_size) // world_size

    def settings(self) -> dict[str, Any]:
        """See `Sampler`."""
        weight = np.arange(1, len(self._nodes) + 1)  # which sample has which size counts, too
        sums = [int((weight * part).sum()) for part in (self._nodes, self._levels)]
        return {**super().settings(), "max_nodes": self.max_nodes, "pool": self.pool, "sizes": sums}

    def _count_for(self, world_size: int) -> int:
        """How many batches all processes have together."""
        wanted = -(-self._count // world_size) * world_size
        return wanted if wanted <= len(self._nodes) else len(self._nodes) // world_size * world_size

    def _fitting(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, no more of them than there are in others."""
        for attempt in range(_TRIED):
            batches = self._filled(epoch, attempt)
            if len(batches) <= self._count:
                return batches
        return self._filled(0, 0)

    def _filled(self, epoch: int, attempt: int) -> list[list[int]]:
        """Samples of like depth together, as many as a batch may have."""
        order = self.generator(epoch, attempt).permutation(len(self._nodes))
        pools = [order[first : first + self.pool] for first in range(0, len(order), self.pool)]
        order = np.concatenate([order[:0], *(p[np.argsort(self._levels[p], kind="stable")] for p in pools)])
        ends, batches, first = np.cumsum(self._nodes[order]), [], 0
        room = min(self.max_nodes, int(self._nodes.sum()))  # (a sum with it is a number of 64 bits)
        while first < len(order):
            used = ends[first - 1] if first else 0
            last = int(np.searchsorted(ends, used + room, side="right"))
            batches.append(order[first:last].tolist())
            first = last
        return batches

    def _divided(self, batches: list[list[int]], count: int) -> list[list[int]]:
        """The largest batches in halves, until there are so many, or none can be divided."""
        while len(batches) < count:
            sizes = [self._nodes[part].sum() if len(part) > 1 else -1 for part in batches]
            odd = int(np.argmax(sizes))
            if sizes[odd] < 0:
                break
            part = batches[odd]
            batches = [*batches[:odd], part[: len(part) // 2], part[len(part) // 2 :], *batches[odd + 1 :]]
        return batches

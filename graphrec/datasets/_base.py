"""What all datasets of trees share: how samples are stored, cached and handed out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from ..structure import TreeRows
from ..transforms import AddLevels
from ._files import cache_folder, make_folder, remove_leftovers, written_at_once

FORMAT = 2  # part of every cache key: raise it when what is stored changes


class Samples(NamedTuple):
    """G samples in PyG's storage, and what belongs to them all."""

    data: Data
    slices: dict[str, Tensor]  # per attribute [G + 1], where each sample begins
    info: dict[str, list[str]]  # what the numbers mean: "vocabulary" and "classes"


def store(
    trees: Sequence[TreeRows],
    per_node: Mapping[str, Tensor],
    per_sample: Mapping[str, Tensor | list[str]],
    info: dict[str, list[str]],
    trees_per_sample: int = 1,
    per_child: Mapping[str, Tensor] | None = None,
) -> Samples:
    """Store trees with their features.

    The levels of all trees are computed in one go: they are the same in a disjoint union as alone, and
    100,000 small graphs one by one would take minutes.

    Args:
        trees: each with its root last. Sample g is made of the trees from `g * trees_per_sample` on.
        per_node: tensors `[N, ...]` over the nodes of all trees.
        per_sample: tensors `[G * k]`, k values each, or lists of G texts.
        info: the meaning of words and classes, see `Samples`.
        trees_per_sample: how many trees a sample has.
        per_child: tensors `[N, ...]` as well, whose values belong to the edge from a node to its parent.
    """
    size = torch.tensor([len(tree.parent) for tree in trees])
    tree_start = torch.cumsum(size, 0) - size
    tree_of = torch.repeat_interleave(torch.arange(len(trees)), size)
    parent = torch.tensor([p for tree in trees for p in tree.parent])
    slot = torch.tensor([s for tree in trees for s in tree.slot])
    child = (parent >= 0).nonzero().flatten()
    parent = parent[child] + tree_start[tree_of[child]]

    whole = Data(edge_index=torch.stack([child, parent]), slot=slot[child], num_nodes=int(size.sum()))
    data = AddLevels()(whole)
    node_start = torch.cat([tree_start, size.sum().unsqueeze(0)])[::trees_per_sample]
    count = node_start.shape[0] - 1
    # A tree of n nodes has n - 1 edges.
    edge_start = node_start - trees_per_sample * torch.arange(count + 1)
    data.edge_index = data.edge_index - node_start[tree_of[child] // trees_per_sample]

    slices = {"edge_index": edge_start, "slot": edge_start, "level": node_start, "level_reversed": node_start}
    for name, value in per_node.items():
        data[name], slices[name] = value, node_start
    for name, value in (per_child or {}).items():
        data[name], slices[name] = value[child], edge_start
    for name, value in per_sample.items():
        data[name], slices[name] = value, torch.arange(count + 1) * (len(value) // count)
    if count > 1:
        data._num_nodes = (node_start[1:] - node_start[:-1]).tolist()
    else:  # PyG hands out the storage itself as the one sample
        for name, value in per_sample.items():
            data[name] = value[0] if isinstance(value, list) else value
    return Samples(data, slices, info)


class TreeDataset(InMemoryDataset):
    """Samples that are made once, kept in the user's cache, and read from there the next time.

    A subclass says what its samples depend on (`key`) and how they are made (`make`).
    """

    def __init__(
        self,
        split: str,
        key: Mapping[str, object],
        transform: Callable[[Data], Data] | None,
    ) -> None:
        super().__init__(transform=transform)
        self.split = split
        text = json.dumps({"format": FORMAT, **key}, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        folder = cache_folder() / "processed" / type(self).__name__ / digest
        if not (folder / f"{split}.pt").is_file():
            make_folder(folder)  # before the work, which would else be lost
            for name, samples in self.make().items():
                with written_at_once(folder / f"{name}.pt") as path:
                    torch.save((samples.data.to_dict(), samples.slices, samples.info), path)
        remove_leftovers(folder / f"{split}.pt")
        self._data, self.slices, self.info = _load(folder / f"{split}.pt")

    @property
    def vocabulary(self) -> list[str]:
        """The words by their number; the first are no words but stand for what the class says."""
        return self.info["vocabulary"]

    @property
    def classes(self) -> list[str]:
        """What the values of `y` mean."""
        return self.info["classes"]

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def make(self) -> dict[str, Samples]:
        """The samples of this split, and of others that come with it at no cost."""
        raise NotImplementedError


def _load(path: Path) -> Samples:
    try:
        data, slices, info = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many types, depending on where the damage is
        raise ValueError(
            f"the cached samples in {path} are damaged ({error}): delete the file to have them made again."
        ) from error
    return Samples(Data.from_dict(data), slices, info)

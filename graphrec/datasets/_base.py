"""Trees and DAGs that are made once and kept: how samples are stored, cached and handed out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from ..io import to_pyg
from ..io.pyg import PYG_NAMES
from ..structure import Structure, TreeRows, batch
from ..structure.structure import EDGE_FIELDS
from ..structure.written import told
from ..transforms import AddLevels
from ._files import cache_folder, make_folder, remove_leftovers, written_at_once

FORMAT = 3  # part of every cache key: raise it when what is stored changes

_OF_EDGES = {"edge_index", *(PYG_NAMES[name] for name in EDGE_FIELDS)}


class Samples(NamedTuple):
    """G samples in PyG's storage, and what belongs to them all."""

    data: Data
    slices: dict[str, Tensor]  # per attribute [G + 1], where each sample begins
    info: dict[str, list[str]]  # what the numbers mean, such as "vocabulary" and "classes"


def store(
    structures: Sequence[Structure] | Sequence[TreeRows],
    per_node: Mapping[str, Tensor] | None = None,
    per_sample: Mapping[str, Tensor | list[str]] | None = None,
    info: dict[str, list[str]] | None = None,
    per_edge: Mapping[str, Tensor] | None = None,
    structures_per_sample: int = 1,
) -> Samples:
    """What `TreeDataset.make` returns for a split: structures, and what is known of their nodes, edges and samples.

    A sample has the names that PyG uses, and that `graphrec.from_pyg` reads back: `edge_index`, `slot`, the levels
    `level` and `level_reversed`, and, where the structures carry them, `edge_type` (relation), `node_type` (kind),
    `edge_attr`, `edge_weight`, `past`, `tokens` and `labels`. All levels are found in one go, since they are the same
    in a disjoint union as alone: 100,000 small graphs one by one would take minutes.

    Args:
        structures: without cycles, such as trees and DAGs, all with the same fields. Sample g is made of those from
            `g * structures_per_sample` on.
        per_node: tensors `[N, ...]` over the nodes of all structures, one after another.
        per_sample: tensors `[G * k, ...]`, k rows for each sample, or lists of G texts.
        info: the meaning of numbers, for instance `{"vocabulary": [...], "classes": [...]}`.
        per_edge: tensors `[E, ...]` over the edges of all structures.
        structures_per_sample: how many structures a sample has.

    Raises:
        ValueError: values that are not as many as there are nodes, edges or samples, or that have the name of
            something that the structures carry.
        CycleError: a structure with a cycle.
    """
    whole, nodes, edges = _side_by_side(structures)
    count, left = divmod(len(nodes), structures_per_sample)
    if left:
        raise ValueError(
            f"expected {structures_per_sample} structures for each sample, got {len(nodes)} in all, which leaves "
            f"{left}: add what is missing, or give another structures_per_sample."
        )
    node_start, edge_start = (_starts(sizes)[::structures_per_sample] for sizes in (nodes, edges))
    data = AddLevels()(to_pyg(whole.replace(tokens=None, labels=None)))
    data.edge_index = data.edge_index - node_start[:-1].repeat_interleave(edge_start.diff())
    slices = {name: edge_start if name in _OF_EDGES else node_start for name in _tensors(data)}
    given: list[tuple[str, Any, Tensor]] = [
        *(
            (name, _rows(name, value, whole.num_nodes, "node"), node_start)
            for name, value in (per_node or {}).items()
        ),
        *(
            (name, _rows(name, value, whole.num_edges, "edge"), edge_start)
            for name, value in (per_edge or {}).items()
        ),
        *((name, *_per_sample(name, value, count)) for name, value in (per_sample or {}).items()),
    ]
    for name, texts in (("tokens", whole.tokens), ("labels", whole.labels)):
        if texts is not None:
            bounds = node_start.tolist()
            given.append((name, [list(texts[a:b]) for a, b in pairwise(bounds)], torch.arange(count + 1)))
    for name in ("relation_names", "kind_names"):
        if name in data:  # one text, which is every sample's
            given.append((name, [data[name]] * count, torch.arange(count + 1)))
            del data[name]
    for name, value, start in given:
        if name in data:
            raise ValueError(f"{name} is what the structures carry already: give your values another name.")
        if isinstance(value, Tensor) and data.__cat_dim__(name, value) not in (0, -value.dim()):
            raise ValueError(
                f"PyG joins what is named {name} by its last dimension, got shape {list(value.shape)}: leave 'index' "
                f"out of its name."
            )
        data[name], slices[name] = value, start
    if count == 1:  # PyG hands out the storage itself as the one sample
        for name, value, _ in given:
            data[name] = value[0] if isinstance(value, list) else value
    else:
        data._num_nodes = node_start.diff().tolist()
    return Samples(data, slices, info or {})


def _side_by_side(
    structures: Sequence[Structure] | Sequence[TreeRows],
) -> tuple[Structure, list[int], list[int]]:
    """All structures as one graph, and how many nodes and edges each of them has."""
    if all(isinstance(one, TreeRows) for one in structures):
        return _forest(structures)  # pyright: ignore[reportArgumentType]
    whole = batch(structures)  # pyright: ignore[reportArgumentType]
    if whole.num_graphs != len(structures):
        raise ValueError(
            f"expected structures of one graph each, got {len(structures)} with {whole.num_graphs} graphs: give each "
            f"graph as a structure of its own."
        )
    sizes = ([one.num_nodes for one in structures], [one.num_edges for one in structures])  # pyright: ignore
    return whole.replace(graph=torch.zeros_like(whole.graph), num_graphs=1), *sizes


def _forest(trees: Sequence[TreeRows]) -> tuple[Structure, list[int], list[int]]:
    size = torch.tensor([len(tree.parent) for tree in trees], dtype=torch.long)
    first = _starts(size.tolist())[:-1].repeat_interleave(size)
    parent = torch.tensor([p for tree in trees for p in tree.parent], dtype=torch.long)
    slot = torch.tensor([s for tree in trees for s in tree.slot], dtype=torch.long)
    child = (parent >= 0).nonzero().flatten()
    edge_index = torch.stack([child, parent[child] + first[child]])
    return Structure(int(size.sum()), edge_index, slot=slot[child]), size.tolist(), (size - 1).tolist()


def _starts(sizes: Sequence[int]) -> Tensor:
    """`[S + 1]`: where each begins, and where the last one ends."""
    return torch.tensor([*accumulate(sizes, initial=0)])


def _tensors(data: Data) -> list[str]:
    # (In the order of data.keys(), which is that of a set, no two processes would write the same.)
    return [name for name, value in data.to_dict().items() if isinstance(value, Tensor)]


def _rows(name: str, value: Tensor, count: int, what: str) -> Tensor:
    if not isinstance(value, Tensor) or not value.dim() or len(value) != count:
        got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must be a tensor with a row for each of the {count} {what}s, got {got}.")
    return value


def _per_sample(name: str, value: Tensor | list[str], count: int) -> tuple[Tensor | list[str], Tensor]:
    """The values, and where those of each sample begin."""
    rows = len(value)
    if rows % count if count and isinstance(value, Tensor) else rows != count:
        raise ValueError(
            f"{name} must have as many values for each of the {count} samples, got {rows} in all."
        )
    return value, torch.arange(count + 1) * (rows // max(count, 1))


class TreeDataset(InMemoryDataset):
    """Trees or DAGs that are made once, kept in the user's cache, and read from there the next time.

    A subclass says what its samples depend on (`key`) and how they are made (`make`); its samples are PyG's `Data`,
    whose levels are known, so that no schedule of a batch walks a tree again:

        class Expressions(gr.datasets.TreeDataset):
            def __init__(self, file, split="train", transform=None):
                self.file = Path(file)
                super().__init__(split, {"file": gr.datasets.checksum(self.file)}, transform)

            def make(self):
                lines = [line.split("\\t") for _, line in gr.datasets.read_lines(self.file)]
                trees = [gr.tree(text) for _, text in lines]
                y = torch.tensor([int(value) for value, _ in lines])
                return {"train": gr.datasets.store(trees, per_sample={"y": y})}

    Files are kept under `$XDG_CACHE_HOME/graphrec` (by default `~/.cache/graphrec`), in a folder for each class and
    key. Nobody sees half of one, whether processes write at the same time or are killed.

    Args:
        split: which of the parts that `make` returns.
        key: all that the samples depend on, as JSON can write it: checksums of files, options, and a number to be
            raised when the code of `make` changes, for a cache does not know that.
        transform: applied to each sample when it is taken.

    Attributes:
        split: as given.
        info: what the numbers mean, as `make` has stored it; `vocabulary` and `classes` are two of its entries.

    Raises:
        ValueError: `make` returns no such split, or the cached file is damaged.
        OSError: the cache cannot be written into.
    """

    def __init__(
        self,
        split: str,
        key: Mapping[str, object],
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(transform=transform)
        self.split = split
        kind = type(self)
        of = {"format": FORMAT, "class": f"{kind.__module__}.{kind.__qualname__}", **key}
        digest = hashlib.sha256(json.dumps(of, sort_keys=True, default=str).encode()).hexdigest()[:16]
        folder = cache_folder() / "processed" / kind.__name__ / digest
        if not (folder / f"{split}.pt").is_file():
            make_folder(folder)  # before the work, which would else be lost
            made = self.make()
            if split not in made:
                raise ValueError(
                    f"{kind.__name__}.make returned the splits {', '.join(made) or 'none'}, but {split!r} is asked for."
                )
            for name, samples in made.items():
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
        """How many classes there are; where `make` names none, as PyG infers it from `y`."""
        return len(self.classes) if "classes" in self.info else super().num_classes

    def make(self) -> dict[str, Samples]:
        """The samples of this split, and of others that come with it at no cost; see `store`."""
        raise NotImplementedError


def _load(path: Path) -> Samples:
    try:
        data, slices, info = torch.load(path, weights_only=True)
        if not (isinstance(slices, dict) and isinstance(info, dict)):
            raise TypeError("no samples of TreeDataset")
        return Samples(Data.from_dict(data), slices, info)
    except Exception as error:  # torch raises many types, depending on where the damage is
        raise ValueError(
            f"the cached samples in {path} are damaged ({told(error)}): delete the file to have them made again."
        ) from error
